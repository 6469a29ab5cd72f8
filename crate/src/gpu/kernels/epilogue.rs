//! Parameters and bindings of epilogue.wgsl, which come first in a launch.

use crate::gpu::kernel::{Binding, LaunchError, to_u32};
use crate::ops::{Activation, Epilogue};

/// Epilogue of a kernel's accumulators, with what its parameters and bindings depend on.
pub struct EpilogueParams<'a> {
    /// Kernel name.
    pub kernel: &'static str,
    /// Shapes of the step's inputs.
    pub inputs: &'a [&'a [usize]],
    /// Index of the bias among the inputs, if any.
    pub bias: Option<usize>,
    /// The epilogue.
    pub epilogue: Epilogue,
    /// Index of the epilogue's first input.
    pub epilogue_start: usize,
    /// Rows per batch item.
    pub item_rows: u64,
}

impl EpilogueParams<'_> {
    /// Returns whether the rows of all its tensors consist of whole vec4s.
    pub fn is_aligned(&self, columns: usize) -> bool {
        let widths = [
            self.epilogue.output_columns(columns),
            self.epilogue.channel_bias.unwrap_or(0),
            self.channel_bias_width(),
        ];
        widths.iter().all(|width| width.is_multiple_of(4))
    }

    fn channel_bias_width(&self) -> usize {
        self.epilogue.channel_bias.and_then(|_| self.inputs[self.epilogue_start].last().copied()).unwrap_or(0)
    }

    /// Returns the first parameters, for a product of this size (rows, columns, depth).
    pub fn params(&self, (rows, columns, inner): (u32, u32, u32)) -> Result<Vec<u32>, LaunchError> {
        let count = |n: usize| to_u32(self.kernel, n);
        let Epilogue { channel_bias, geglu, residual, .. } = self.epilogue;
        let flags = [self.bias.is_some(), channel_bias.is_some(), geglu, residual];
        let flags = flags.iter().enumerate().map(|(bit, &flag)| u32::from(flag) << bit).sum();
        let (width, offset) = (count(self.channel_bias_width())?, count(channel_bias.unwrap_or(0))?);
        Ok(vec![
            rows,
            columns,
            inner,
            to_u32(self.kernel, self.item_rows)?,
            width,
            offset,
            flags,
            activation_code(self.epilogue.activation),
        ])
    }

    /// Returns the first bindings. Absent inputs are bound to `other`, which the shader does not read.
    pub fn bindings(&self, other: usize) -> Vec<Binding> {
        let Epilogue { channel_bias, residual, .. } = self.epilogue;
        let channel_bias = channel_bias.map(|_| self.epilogue_start);
        let residual = residual.then(|| self.epilogue_start + usize::from(channel_bias.is_some()));
        let inputs = [self.bias, channel_bias, residual].map(|input| Binding::Input(input.unwrap_or(other)));
        inputs.into_iter().chain([Binding::Output]).collect()
    }
}

/// Returns the code of an activation function in epilogue.wgsl.
fn activation_code(activation: Option<Activation>) -> u32 {
    match activation {
        None => 0,
        Some(Activation::Silu) => 1,
        Some(Activation::Gelu) => 2,
        Some(Activation::QuickGelu) => 3,
    }
}
