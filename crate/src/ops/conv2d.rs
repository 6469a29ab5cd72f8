//! Turns a feature map (B, H, W, C) into one with other channels: PyTorch's `conv2d`, channels last.

use super::{Epilogue, Operation, ShapeError, View, leading};
use crate::num::numel;
use serde::{Deserialize, Serialize};

/// A square convolution with zero padding; the weight is (O, kernel * kernel * C) with the
/// kernel's rows outermost and the channels innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conv2d {
    /// Edge of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Zeros around the map.
    pub padding: usize,
    /// Zeros below and to the right beyond those (the VAE encoder's strided convolutions).
    #[serde(default)]
    pub pad_end: usize,
    /// A third input (O) is added to every pixel.
    pub bias: bool,
    /// Height and width to which the map is enlarged first, by the nearest pixel (as [`super::Upsample`]).
    #[serde(default)]
    pub upsample_to: Option<(usize, usize)>,
    /// What the sums go through; its inputs come last.
    #[serde(default)]
    pub epilogue: Epilogue,
}

impl Conv2d {
    /// Index of the first input of what follows.
    pub fn epilogue_start(&self) -> usize {
        2 + usize::from(self.bias)
    }

    /// Height and width of the map that the kernel moves over.
    pub fn upsampled_size(&self, height: usize, width: usize) -> (usize, usize) {
        self.upsample_to.unwrap_or((height, width))
    }
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        if inputs.len() != self.epilogue_start() + self.epilogue.inputs() {
            return Err(self.shape_error(inputs, "wrong number of inputs"));
        }
        let (&[batch, height, width, channels], &[outputs, span]) = (inputs[0], inputs[1]) else {
            return Err(self.shape_error(inputs, "x must be (B, H, W, C) and the weight (O, kernel * kernel * C)"));
        };
        let wanted = self.kernel * self.kernel * channels;
        if span != wanted {
            return Err(self.shape_error(inputs, format!("the weight spans {span} numbers an output, x wants {wanted}")));
        }
        if self.bias && inputs[2] != [outputs] {
            return Err(self.shape_error(inputs, format!("the bias must have {outputs} numbers")));
        }
        let edge = |length: usize| {
            (length + 2 * self.padding + self.pad_end).checked_sub(self.kernel).map(|room| room / self.stride + 1)
        };
        if self.upsample_to.is_some_and(|(large, wide)| large < height || wide < width) {
            return Err(self.shape_error(inputs, "the map cannot be enlarged to a smaller one"));
        }
        let (height, width) = self.upsampled_size(height, width);
        let (Some(height), Some(width)) = (edge(height), edge(width)) else {
            return Err(self.shape_error(inputs, format!("the map is smaller than the kernel of {}", self.kernel)));
        };
        let shape = vec![batch, height, width, self.epilogue.output_columns(outputs)];
        match self.epilogue.mismatch(&inputs[self.epilogue_start()..], &shape, outputs) {
            Some(reason) => Err(self.shape_error(inputs, reason)),
            None => Ok(shape),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let &[batch, height, width, channels] = inputs[0].shape else { return };
        let (x, weight, outputs) = (inputs[0].data, inputs[1].data, inputs[1].shape[0]);
        let edge = |length: usize| (length + 2 * self.padding + self.pad_end - self.kernel) / self.stride + 1;
        let (large, wide) = self.upsampled_size(height, width);
        let (out_height, out_width) = (edge(large), edge(wide));
        let rows = batch * out_height * out_width;
        let mut sums = vec![0.0; outputs];
        let span = self.kernel * self.kernel * channels;
        let inside = |at: usize, tap: usize, length: usize| {
            (at * self.stride + tap).checked_sub(self.padding).filter(|&position| position < length)
        };
        for (pixel, out) in output.chunks_exact_mut(self.epilogue.output_columns(outputs)).enumerate() {
            let (image, row, column) =
                (pixel / (out_height * out_width), pixel / out_width % out_height, pixel % out_width);
            for (channel, sum) in sums.iter_mut().enumerate() {
                *sum = if self.bias { f64::from(inputs[2].data[channel]) } else { 0.0 };
                for ky in 0..self.kernel {
                    let Some(y) = inside(row, ky, large) else { continue };
                    let y = y * height / large;
                    for kx in 0..self.kernel {
                        let Some(x_at) = inside(column, kx, wide) else { continue };
                        let x_at = x_at * width / wide;
                        let from = ((image * height + y) * width + x_at) * channels;
                        let taps = channel * span + (ky * self.kernel + kx) * channels;
                        for (value, weight) in x[from..from + channels].iter().zip(&weight[taps..taps + channels]) {
                            *sum += f64::from(*value) * f64::from(*weight);
                        }
                    }
                }
            }
            self.epilogue.store(&inputs[self.epilogue_start()..], pixel, rows, &mut sums, out);
        }
    }

    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        2 * leading(output) * numel(inputs[1])
    }

    fn details(&self) -> String {
        let stride = if self.stride == 1 { String::new() } else { format!(" stride {}", self.stride) };
        let large = self.upsample_to.map(|(height, width)| format!(" enlarged {height}x{width}")).unwrap_or_default();
        let bias = if self.bias { " bias" } else { "" };
        format!("{0}x{0}{stride}{large}{bias}{1}", self.kernel, self.epilogue.details())
    }
}
