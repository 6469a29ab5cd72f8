//! Times of products whose weights are quantized, relative to those with f16 weights: the minimum of many short rounds in
//! turns, for both styles of kernels and for the CPU.
//!
//!     cargo run --release -p lora-loupe-tests -- bench_quantized

use lora_loupe::bench::{Case, Prepared, Size, cases};
use lora_loupe::device::Device;
use lora_loupe::gpu::{BenchBudget, Gpu, KernelConfig, Style};
use lora_loupe::ops::Storage;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

const STORAGES: [Storage; 3] = [Storage::F16, Storage::Q8, Storage::Q4];
const ROUNDS: usize = 8;
const ONCE: BenchBudget = BenchBudget { rounds: 1, limit: Duration::ZERO };

pub fn run() -> Result<(), Box<dyn Error>> {
    pollster::block_on(async {
        let gpu = Rc::new(Gpu::open().await?);
        println!("{}; ms with f16 weights, and q8 and q4 relative to them", gpu.info().adapter);
        let config = KernelConfig { f16_weights: false, ..gpu.default_config() };
        let is_product = |case: &Case| ["conv2d", "matmul"].contains(&case.plan.steps[0].op.get().name());
        let listed: Vec<Case> = cases(Size::Small, &config)?.into_iter().filter(is_product).collect();
        let styled =
            |style| (format!("{style:?}"), Device::from(gpu.clone()), KernelConfig { style, ..config.clone() });
        let devices = [styled(Style::Tiled), styled(Style::Untiled), ("CPU".into(), Device::cpu(), KernelConfig::CPU)];
        for case in listed.iter().filter(|case| !case.plan.allows_winograd && case.plan.steps.len() == 1) {
            for (name, device, config) in &devices {
                let mut prepared = Vec::new();
                for storage in STORAGES {
                    prepared.push(Prepared::new(device, config, &case.plan, storage).await?);
                }
                let mut best = [f64::INFINITY; 3];
                for _ in 0..ROUNDS {
                    for (best, prepared) in best.iter_mut().zip(&prepared) {
                        *best = prepared.time(ONCE).await?.into_iter().fold(*best, f64::min);
                    }
                }
                print(name, &case.name, best);
            }
        }
        Ok(())
    })
}

fn print(device: &str, name: &str, [f16, q8, q4]: [f64; 3]) {
    println!("{device:8} {name:40} {f16:8.2} {:6.2} {:6.2}", q8 / f16, q4 / f16);
}
