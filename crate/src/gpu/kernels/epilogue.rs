//! Uniforms and bindings of epilogue.wgsl, which come first in a launch.

use crate::gpu::kernel::{Binding, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::ops::{Activation, Epilogue, ProductOperands};

params! {
    /// Uniforms of matmul, conv2d and winograd_sums, declared in epilogue.wgsl.
    ProductParams {
        rows: u32, columns: u32, inner: u32, item_rows: u32, channel_bias_width: u32, channel_bias_offset: u32,
        flags: u32, activation: u32, height: u32, width: u32, upsampled_height: u32, upsampled_width: u32,
        out_height: u32, out_width: u32, channels: u32, kernel: u32, stride: u32, padding: u32, x_columns: u32,
        eps: f32, first_tile: u32,
    }
}

/// Flags of [`ProductParams`], which become constants of the WGSL.
pub const FLAGS: [(&str, u32); 5] = [
    ("BIAS_FLAG", BIAS),
    ("CHANNEL_BIAS_FLAG", CHANNEL_BIAS),
    ("GEGLU_FLAG", GEGLU),
    ("RESIDUAL_FLAG", RESIDUAL),
    ("BATCHED_MATRICES_FLAG", BATCHED_MATRICES),
];
const BIAS: u32 = 1;
const CHANNEL_BIAS: u32 = 2;
/// The first half of the columns times GELU of the second.
const GEGLU: u32 = 4;
const RESIDUAL: u32 = 8;
/// Each batch item has its own matrix.
pub const BATCHED_MATRICES: u32 = 16;

/// Activations of [`ProductParams`], which become constants of the WGSL; 0 is none.
pub const ACTIVATIONS: [(&str, u32); 4] = [
    ("SILU_ACTIVATION", SILU),
    ("GELU_ACTIVATION", GELU),
    ("QUICK_GELU_ACTIVATION", QUICK_GELU),
    ("LEAKY_RELU_ACTIVATION", LEAKY_RELU),
];
const SILU: u32 = 1;
const GELU: u32 = 2;
const QUICK_GELU: u32 = 3;
const LEAKY_RELU: u32 = 4;

/// Epilogue of a kernel's accumulators, with what its parameters and bindings depend on.
pub struct EpilogueParams<'a> {
    /// Kernel.
    pub kernel: Kernel,
    /// Shapes of the step's inputs.
    pub inputs: &'a [&'a [usize]],
    /// Indices of the operands among the inputs.
    pub operands: ProductOperands<usize>,
    /// The epilogue.
    pub epilogue: Epilogue,
    /// Rows per batch item.
    pub item_rows: u64,
}

impl EpilogueParams<'_> {
    /// Returns whether the rows of all its tensors consist of whole vec4s.
    pub fn is_aligned(&self, columns: usize) -> bool {
        let widths =
            [self.epilogue.output_columns(columns), self.epilogue.channel_bias.unwrap_or(0), self.channel_bias_width()];
        widths.iter().all(|width| width.is_multiple_of(4))
    }

    fn channel_bias_width(&self) -> usize {
        self.operands.channel_bias.and_then(|input| self.inputs[input].last().copied()).unwrap_or(0)
    }

    /// Returns the parameters of a product of this size (rows, columns, depth), with what it has in `params` already.
    pub fn params(
        &self,
        (rows, columns, inner): (u32, u32, u32),
        params: ProductParams,
    ) -> Result<ProductParams, LaunchError> {
        let count = |n: usize| to_u32(self.kernel, n);
        let Epilogue { channel_bias, geglu, residual, activation } = self.epilogue;
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        Ok(ProductParams {
            rows,
            columns,
            inner,
            item_rows: to_u32(self.kernel, self.item_rows)?,
            channel_bias_width: count(self.channel_bias_width())?,
            channel_bias_offset: count(channel_bias.unwrap_or(0))?,
            flags: params.flags
                | flag(self.operands.bias.is_some(), BIAS)
                | flag(channel_bias.is_some(), CHANNEL_BIAS)
                | flag(geglu, GEGLU)
                | flag(residual, RESIDUAL),
            activation: match activation {
                None => 0,
                Some(Activation::Silu) => SILU,
                Some(Activation::Gelu) => GELU,
                Some(Activation::QuickGelu) => QUICK_GELU,
                Some(Activation::LeakyRelu) => LEAKY_RELU,
            },
            ..params
        })
    }

    /// Returns the first bindings. Absent inputs are bound to `other`, which the shader does not read.
    pub fn bindings(&self, other: usize) -> Vec<Binding> {
        let ProductOperands { bias, channel_bias, residual, .. } = self.operands;
        let inputs = [bias, channel_bias, residual].map(|input| Binding::Input(input.unwrap_or(other)));
        inputs.into_iter().chain([Binding::Output]).collect()
    }
}
