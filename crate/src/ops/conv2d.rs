//! Turns a feature map (B, H, W, C) into one with other channels: PyTorch's `conv2d`, channels last.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// A square convolution with zero padding; the weight is (O, kernel * kernel * C) with the
/// kernel's rows outermost and the channels innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv2d {
    /// Edge of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Zeros around the map.
    pub padding: usize,
    /// Zeros below and to the right beyond those (the VAE encoder's strided convolutions).
    #[serde(default)]
    pub extra: usize,
    /// A third input (O) is added to every pixel.
    pub bias: bool,
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        if inputs.len() != 2 + usize::from(self.bias) {
            return Err(self.refuse(inputs, "wrong number of inputs"));
        }
        let (&[batch, height, width, channels], &[outputs, span]) = (inputs[0], inputs[1]) else {
            return Err(self.refuse(inputs, "x must be (B, H, W, C) and the weight (O, kernel * kernel * C)"));
        };
        let wanted = self.kernel * self.kernel * channels;
        if span != wanted {
            return Err(self.refuse(inputs, format!("the weight spans {span} numbers an output, x wants {wanted}")));
        }
        if self.bias && inputs[2] != [outputs] {
            return Err(self.refuse(inputs, format!("the bias must have {outputs} numbers")));
        }
        let edge = |length: usize| {
            (length + 2 * self.padding + self.extra).checked_sub(self.kernel).map(|room| room / self.stride + 1)
        };
        match (edge(height), edge(width)) {
            (Some(height), Some(width)) => Ok(vec![batch, height, width, outputs]),
            _ => Err(self.refuse(inputs, format!("the map is smaller than the kernel of {}", self.kernel))),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let &[batch, height, width, channels] = inputs[0].shape else { return };
        let (x, weight, outputs) = (inputs[0].data, inputs[1].data, inputs[1].shape[0]);
        let edge = |length: usize| (length + 2 * self.padding + self.extra - self.kernel) / self.stride + 1;
        let (out_height, out_width) = (edge(height), edge(width));
        let span = self.kernel * self.kernel * channels;
        let inside = |at: usize, tap: usize, length: usize| {
            (at * self.stride + tap).checked_sub(self.padding).filter(|&position| position < length)
        };
        for (pixel, out) in output.chunks_exact_mut(outputs).enumerate() {
            let (image, row, column) =
                (pixel / (out_height * out_width), pixel / out_width % out_height, pixel % out_width);
            debug_assert!(image < batch);
            for (channel, out) in out.iter_mut().enumerate() {
                let mut sum = if self.bias { f64::from(inputs[2].data[channel]) } else { 0.0 };
                for ky in 0..self.kernel {
                    let Some(y) = inside(row, ky, height) else { continue };
                    for kx in 0..self.kernel {
                        let Some(x_at) = inside(column, kx, width) else { continue };
                        let from = ((image * height + y) * width + x_at) * channels;
                        let taps = channel * span + (ky * self.kernel + kx) * channels;
                        for (value, weight) in x[from..from + channels].iter().zip(&weight[taps..taps + channels]) {
                            sum += f64::from(*value) * f64::from(*weight);
                        }
                    }
                }
                *out = sum as f32;
            }
        }
    }

    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        2 * (output.iter().product::<usize>() * inputs[1][1]) as u64
    }

    fn details(&self) -> String {
        let stride = if self.stride == 1 { String::new() } else { format!(" stride {}", self.stride) };
        format!("{0}x{0}{stride}{1}", self.kernel, if self.bias { " bias" } else { "" })
    }
}
