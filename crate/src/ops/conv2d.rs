//! 2D convolution of a feature map (B, H, W, C): PyTorch's `conv2d`, channels last.

use super::{Epilogue, Operation, ProductOperands, Prologue, ShapeError, View, leading, operand_indices};
use crate::num::numel;
use serde::{Deserialize, Serialize};

/// A convolution with a square kernel and zero padding; the weight is (O, kernel * kernel * C), in
/// (O, KH, KW, C) order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conv2d {
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Stride on both axes.
    pub stride: usize,
    /// Zero padding on all sides.
    pub padding: usize,
    /// Additional zero padding at the bottom and right (the VAE encoder's strided convolutions).
    #[serde(default)]
    pub pad_end: usize,
    /// Whether a bias (O) is added to every pixel.
    pub bias: bool,
    /// Height and width that the input is first upsampled to, nearest-neighbor (as [`super::Upsample`]).
    #[serde(default)]
    pub upsample_to: Option<(usize, usize)>,
    /// Operations fused after the convolution.
    #[serde(default)]
    pub epilogue: Epilogue,
}

impl Conv2d {
    /// Returns the index of each operand among the inputs.
    pub fn operand_indices(&self) -> ProductOperands<usize> {
        operand_indices(self.bias, Prologue::None, self.epilogue)
    }

    /// Returns the inputs by name, or None if their number is wrong.
    pub fn operands<T: Copy>(&self, inputs: &[T]) -> Option<ProductOperands<T>> {
        self.operand_indices().select(inputs)
    }

    /// Returns the height and width of the convolution's input after upsampling.
    pub fn upsampled_size(&self, height: usize, width: usize) -> (usize, usize) {
        self.upsample_to.unwrap_or((height, width))
    }
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let Some(operands) = self.operands(inputs) else {
            return Err(self.shape_error(inputs, "wrong number of inputs"));
        };
        let (&[batch, height, width, channels], &[outputs, span]) = (operands.x, operands.weight) else {
            return Err(self.shape_error(inputs, "x must be (B, H, W, C) and the weight (O, kernel * kernel * C)"));
        };
        let expected = self.kernel * self.kernel * channels;
        if span != expected {
            return Err(self.shape_error(
                inputs,
                format!("the weight has {span} elements per output channel, x needs {expected}"),
            ));
        }
        if operands.bias.is_some_and(|bias| bias != [outputs]) {
            return Err(self.shape_error(inputs, format!("the bias must have {outputs} elements")));
        }
        let output_len = |length: usize| {
            (length + 2 * self.padding + self.pad_end)
                .checked_sub(self.kernel)
                .map(|last_start| last_start / self.stride + 1)
        };
        if self.upsample_to.is_some_and(|(new_height, new_width)| new_height < height || new_width < width) {
            return Err(self.shape_error(inputs, "cannot upsample to a smaller size"));
        }
        let (height, width) = self.upsampled_size(height, width);
        let (Some(height), Some(width)) = (output_len(height), output_len(width)) else {
            return Err(
                self.shape_error(inputs, format!("the feature map is smaller than the {0}x{0} kernel", self.kernel))
            );
        };
        let shape = vec![batch, height, width, self.epilogue.output_columns(outputs)];
        match self.epilogue.mismatch(&operands, &shape, outputs) {
            Some(reason) => Err(self.shape_error(inputs, reason)),
            None => Ok(shape),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let Some(operands) = self.operands(inputs) else { return };
        let &[batch, height, width, channels] = operands.x.shape else { return };
        let (x, weight, outputs) = (operands.x.data, operands.weight.data, operands.weight.shape[0]);
        let output_len = |length: usize| (length + 2 * self.padding + self.pad_end - self.kernel) / self.stride + 1;
        let (upsampled_height, upsampled_width) = self.upsampled_size(height, width);
        let (out_height, out_width) = (output_len(upsampled_height), output_len(upsampled_width));
        let rows = batch * out_height * out_width;
        let mut sums = vec![0.0; outputs];
        let span = self.kernel * self.kernel * channels;
        let source_index = |index: usize, tap: usize, length: usize| {
            (index * self.stride + tap).checked_sub(self.padding).filter(|&position| position < length)
        };
        for (pixel, out) in output.chunks_exact_mut(self.epilogue.output_columns(outputs)).enumerate() {
            let (image, row, column) =
                (pixel / (out_height * out_width), pixel / out_width % out_height, pixel % out_width);
            for (channel, sum) in sums.iter_mut().enumerate() {
                *sum = operands.bias.map_or(0.0, |bias| f64::from(bias.data[channel]));
                for ky in 0..self.kernel {
                    let Some(y) = source_index(row, ky, upsampled_height) else { continue };
                    let y = y * height / upsampled_height;
                    for kx in 0..self.kernel {
                        let Some(x_index) = source_index(column, kx, upsampled_width) else { continue };
                        let x_index = x_index * width / upsampled_width;
                        let pixel_start = ((image * height + y) * width + x_index) * channels;
                        let weight_start = channel * span + (ky * self.kernel + kx) * channels;
                        for (value, weight) in x[pixel_start..pixel_start + channels]
                            .iter()
                            .zip(&weight[weight_start..weight_start + channels])
                        {
                            *sum += f64::from(*value) * f64::from(*weight);
                        }
                    }
                }
            }
            self.epilogue.apply(&operands, pixel, rows, &mut sums, out);
        }
    }

    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        2 * leading(output) * numel(inputs[1])
    }

    fn details(&self) -> String {
        let stride = if self.stride == 1 { String::new() } else { format!(" stride {}", self.stride) };
        let upsample =
            self.upsample_to.map(|(height, width)| format!(" upsample {height}x{width}")).unwrap_or_default();
        let bias = if self.bias { " bias" } else { "" };
        format!("{0}x{0}{stride}{upsample}{bias}{1}", self.kernel, self.epilogue.details())
    }
}
