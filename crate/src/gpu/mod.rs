//! GPU backend: plans -> compute dispatches, through wgpu, natively and on the web.
//!
//! The only module that depends on wgpu. It handles steps, shapes and names, and is independent of model architectures.

mod alloc;
mod arena;
mod compile;
mod config;
mod device;
pub mod kernel;
pub mod kernels;
pub mod lower;
pub mod params;
mod pipelines;
mod readback;
mod roofline;
mod runner;
mod self_test;
mod tune;
mod variants;
pub mod wgsl;

pub use arena::Arena;
pub use config::{KernelConfig, TileChoice, Tuning, WeightChoice, Winograd};
pub use device::{Gpu, GpuError, GpuInfo, ResourceStats, Tensor};
pub use kernel::{Launch, Scalar, Style};
pub use kernels::Kernel;
pub use pipelines::BackgroundCompiler;
pub use roofline::{BenchBudget, RooflinePeak};
pub use runner::Runner;
pub use self_test::{TOLERANCE_F16, numbers};
pub use variants::F16_VARIANT;
