//! Launch of the conversion to f32.

use crate::gpu::kernel::{Launch, LaunchError};
use crate::num::numel;
use crate::ops::{Storage, Widen};

/// Returns the launch of widen.wgsl.
pub fn launch(_op: &Widen, output: &[usize], stored: Storage) -> Result<Launch, LaunchError> {
    Ok(Launch::elementwise("widen", 1, numel(output), &[])?.with("STORAGE", stored.code()))
}
