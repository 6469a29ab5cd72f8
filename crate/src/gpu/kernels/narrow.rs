//! Launch of the conversion from f32 to a smaller storage type.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::{Narrow, SUPERBLOCK};

params! {
    /// Uniforms of narrow.wgsl and narrow_blocks.wgsl: pairs of elements or of blocks, and elements.
    NarrowParams { pairs: u32, count: u32 }
}

/// Pairs of blocks of a superblock.
const PAIRS: u64 = 4;

/// Returns the launch of narrow.wgsl or narrow_blocks.wgsl.
pub fn launch(op: &Narrow, output: &[usize]) -> Result<Launch, LaunchError> {
    let count = numel(output);
    let (kernel, pairs) = match op.storage.blocks() {
        Some(_) => (Kernel::NarrowBlocks, PAIRS * count.div_ceil(SUPERBLOCK as u64)),
        None => (Kernel::Narrow, count.div_ceil(2)),
    };
    let params = NarrowParams { pairs: to_u32(kernel, pairs)?, count: to_u32(kernel, count)? };
    Ok(Launch::elementwise(kernel, 1, pairs, params)?.with("STORAGE", op.storage.code()))
}
