//! The device that a command runs networks on.

use lora_loupe::device::Device;
use lora_loupe::gpu::{Gpu, KernelConfig};
use std::error::Error;
use std::rc::Rc;

/// Where the networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DeviceChoice {
    /// The GPU if there is one, not emulated in software; else the CPU
    Auto,
    /// The GPU, also one that is emulated in software
    Gpu,
    /// The CPU, with all cores
    Cpu,
}

/// Opens the device of this choice.
pub async fn open_device(choice: DeviceChoice) -> Result<(Device, KernelConfig), Box<dyn Error>> {
    let gpu = match choice {
        DeviceChoice::Cpu => None,
        DeviceChoice::Gpu => Some(Gpu::open().await?),
        DeviceChoice::Auto => Gpu::open().await.ok().filter(|gpu| !gpu.info().software),
    };
    let Some(gpu) = gpu else { return Ok((Device::cpu(), KernelConfig::CPU)) };
    let config = gpu.self_test(&gpu.default_config()).await?;
    Ok((Rc::new(gpu).into(), config))
}
