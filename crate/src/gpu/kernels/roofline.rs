//! Uniforms of the kernels that measure a device's peak throughput.

use crate::gpu::params::params;

params! {
    /// Uniforms of roofline_arithmetic.wgsl.
    ArithmeticParams { rounds: u32 }
}
