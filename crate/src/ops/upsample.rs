//! Nearest-neighbor upsampling of a feature map (B, H, W, C): PyTorch's `interpolate(mode="nearest")`.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Output pixel (y, x) is input pixel (y * H / height, x * W / width), rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upsample {
    /// Height of the output: the skip connection's, which is not always twice the input's.
    pub height: usize,
    /// Width of the output.
    pub width: usize,
}

impl Operation for Upsample {
    fn name(&self) -> &'static str {
        "upsample"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            &[&[batch, height, width, channels]] if height <= self.height && width <= self.width => {
                Ok(vec![batch, self.height, self.width, channels])
            }
            _ => {
                Err(self
                    .shape_error(inputs, format!("expects one feature map of at most {}x{}", self.height, self.width)))
            }
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let &[_, height, width, channels] = inputs[0].shape else { return };
        for (pixel, out) in output.chunks_exact_mut(channels).enumerate() {
            let image = pixel / (self.height * self.width);
            let y = pixel / self.width % self.height * height / self.height;
            let x = pixel % self.width * width / self.width;
            let input_start = ((image * height + y) * width + x) * channels;
            out.copy_from_slice(&inputs[0].data[input_start..input_start + channels]);
        }
    }

    fn details(&self) -> String {
        String::new()
    }
}
