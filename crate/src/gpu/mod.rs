//! GPU backend: plans -> compute dispatches, through wgpu, natively and on the web.
//!
//! The only module that depends on wgpu. It handles steps, shapes and names, and is independent of model architectures.

mod alloc;
mod config;
mod device;
pub mod kernel;
pub mod kernels;
pub mod params;
mod readback;
mod roofline;
mod runner;
mod self_test;
mod tune;

pub use config::KernelConfig;
pub use device::{DeviceCaps, Gpu, GpuError, GpuInfo, ResourceStats, Tensor};
pub use kernel::{Launch, Scalar, Style};
pub use roofline::{BenchBudget, RooflinePeak};
pub use runner::{Arena, Runner};
pub use self_test::{TOLERANCE_F16, numbers};
pub use tune::{F16_VARIANT, TileChoice, Tuning};
