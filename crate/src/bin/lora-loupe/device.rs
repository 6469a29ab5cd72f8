//! The device that a command runs networks on.

use lora_loupe::device::Device;
use lora_loupe::gpu::{Gpu, KernelConfig, WeightChoice};
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

/// How the model's weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WeightsArgument {
    /// In the 16-bit type of the file on a GPU, and LoRA strengths change at once: the fastest
    Auto,
    /// In 16 bits; this and the following read the file again when a LoRA or its strength changes, to save memory
    F16,
    /// In 8-bit blocks with a scale (q8_0): half as large, hardly different
    Q8,
    /// In 4-bit blocks with a scale (q4_0): a quarter, visibly different
    Q4,
    /// In 16 bits, the denoiser's read from the file in each step, part by part: the slowest, with the least memory
    Streamed,
}

impl From<WeightsArgument> for WeightChoice {
    fn from(argument: WeightsArgument) -> WeightChoice {
        match argument {
            WeightsArgument::Auto => WeightChoice::Auto,
            WeightsArgument::F16 => WeightChoice::F16,
            WeightsArgument::Q8 => WeightChoice::Q8,
            WeightsArgument::Q4 => WeightChoice::Q4,
            WeightsArgument::Streamed => WeightChoice::Streamed,
        }
    }
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
