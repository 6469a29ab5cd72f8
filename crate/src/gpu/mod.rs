//! Turns plans into work on the graphics processor, through wgpu, natively and on the web.
//!
//! The only module that knows wgpu. It knows steps, shapes and names, not what a UNet is.

mod config;
mod device;
pub mod kernel;
pub mod kernels;
mod readback;
mod roof;
mod rooms;
mod run;
mod self_test;
mod tune;

pub use config::KernelConfig;
pub use device::{Gpu, GpuError, GpuInfo, Made, Means, Tensor};
pub use kernel::{Launch, Scalar, Style};
pub use roof::{Effort, Roof};
pub use run::{Arena, Runner};
pub use self_test::{TOLERANCE_OF_HALVES, numbers};
pub use tune::{Choice, HALVES, Tuning};
