//! Launch of the conversion from f32 to f16 or bf16.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Narrow;

params! {
    /// Uniforms of narrow.wgsl.
    NarrowParams { pairs: u32, count: u32 }
}

/// Returns the launch of narrow.wgsl.
pub fn launch(op: &Narrow, output: &[usize]) -> Result<Launch, LaunchError> {
    let count = numel(output);
    let pairs = count.div_ceil(2);
    let params = NarrowParams { pairs: to_u32(Kernel::Narrow, pairs)?, count: to_u32(Kernel::Narrow, count)? };
    Ok(Launch::elementwise(Kernel::Narrow, 1, pairs, params)?.with("STORAGE", op.storage.code()))
}
