//! Pixels from channels and back: PyTorch's `pixel_shuffle` and `pixel_unshuffle`, channels last.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Channel c · factor² + dy · factor + dx of pixel (y, x) is channel c of pixel (y · factor + dy, x · factor + dx) of the
/// larger map, which is the output, or the input if `inverse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelShuffle {
    /// Height and width of the block of pixels that a pixel becomes.
    pub factor: usize,
    /// Whether blocks of pixels become pixels.
    pub inverse: bool,
}

impl Operation for PixelShuffle {
    fn name(&self) -> &'static str {
        "pixel_shuffle"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[&[batch, height, width, channels]] = inputs else {
            return Err(self.shape_error(inputs, "expects one feature map"));
        };
        let (factor, area) = (self.factor, self.factor * self.factor);
        let is_whole = |length: usize, part: usize| part > 0 && length.is_multiple_of(part);
        match self.inverse {
            true if is_whole(height, factor) && is_whole(width, factor) => {
                Ok(vec![batch, height / factor, width / factor, channels * area])
            }
            false if is_whole(channels, area) => Ok(vec![batch, height * factor, width * factor, channels / area]),
            _ => Err(self.shape_error(inputs, format!("the map does not divide into blocks of {factor}x{factor}"))),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let Ok(shape) = self.shape(&[inputs[0].shape]) else { return };
        let (small, large) = if self.inverse { (&shape[..], inputs[0].shape) } else { (inputs[0].shape, &shape[..]) };
        let (width, channels, factor) = (large[2], large[3], self.factor);
        for at in 0..output.len() {
            let (pixel, channel) = (at / channels, at % channels);
            let (row, column) = (pixel / width, pixel % width);
            let inner = (channel * factor + row % factor) * factor + column % factor;
            let shuffled = (row / factor * small[2] + column / factor) * small[3] + inner;
            match self.inverse {
                true => output[shuffled] = inputs[0].data[at],
                false => output[at] = inputs[0].data[shuffled],
            }
        }
    }

    fn details(&self) -> String {
        format!("{}{}", if self.inverse { "inverse " } else { "" }, self.factor)
    }
}
