//! Speed of a device in an operation of the networks.

use super::{Device, DeviceError, Runner};
use crate::gpu::{BenchBudget, KernelConfig};
use crate::ops::Conv2d;
use crate::plan::Builder;
use std::time::Duration;

/// Channels of SD 1.5's first UNet blocks.
const CHANNELS: usize = 320;
/// The best of three rounds, each about 0.1 s on a slow CPU.
const BUDGET: BenchBudget = BenchBudget { rounds: 3, limit: Duration::from_secs(1) };

impl Device {
    /// Measures the floating-point operations per second in a 3x3 convolution of SD 1.5's UNet at 32x32 latents.
    pub async fn flops_per_second(&self, config: &KernelConfig) -> Result<f64, DeviceError> {
        let mut builder = Builder::new("speed");
        let x = builder.input("x", &[1, 32, 32, CHANNELS]);
        let weight = builder.input("weight", &[CHANNELS, 9 * CHANNELS]);
        let conv = Conv2d { kernel: 3, stride: 1, padding: 1, ..Conv2d::default() };
        let y = builder.push(conv, &[x, weight], "conv")?;
        builder.output("y", y);
        let runner = Runner::new(self, config, &builder.finish(), &|_| None).await?;
        let rounds = self.time(BUDGET, &runner).await?;
        let shortest = rounds.into_iter().fold(f64::INFINITY, f64::min);
        Ok(runner.flops() as f64 / (shortest / 1e3).max(1e-6))
    }
}
