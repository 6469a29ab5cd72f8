//! Launch of the conversion to f32.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::{Storage, Widen};

params! {
    /// Uniforms of widen.wgsl.
    WidenParams { count: u32 }
}

/// Returns the launch of widen.wgsl.
pub fn launch(_op: &Widen, output: &[usize], stored: Storage) -> Result<Launch, LaunchError> {
    let count = numel(output);
    let params = WidenParams { count: to_u32(Kernel::Widen, count)? };
    Ok(Launch::elementwise(Kernel::Widen, 1, count, params)?.with("STORAGE", stored.code()))
}
