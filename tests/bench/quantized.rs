//! Times of products whose weights are quantized, relative to those with f16 weights: the minimum of many short rounds in
//! turns, for both styles of kernels and for the CPU.
//!
//!     cargo run --release -p lora-loupe-tests --bin bench_quantized

use lora_loupe::bench::{Case, Prepared, Size, cases, numbers};
use lora_loupe::cpu;
use lora_loupe::gpu::{BenchBudget, Gpu, KernelConfig, Style};
use lora_loupe::ops::Storage;
use lora_loupe::plan::Source;
use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

const STORAGES: [Storage; 3] = [Storage::F16, Storage::Q8, Storage::Q4];
const ROUNDS: usize = 8;
const ONCE: BenchBudget = BenchBudget { rounds: 1, limit: Duration::ZERO };

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(async {
        let gpu = Gpu::open().await?;
        println!("{}; ms with f16 weights, and q8 and q4 relative to them", gpu.info().adapter);
        let config = KernelConfig { f16_weights: false, ..gpu.default_config() };
        let is_product = |case: &Case| ["conv2d", "matmul"].contains(&case.plan.steps[0].op.get().name());
        let listed: Vec<Case> = cases(Size::Small, &config)?.into_iter().filter(is_product).collect();
        for case in listed.iter().filter(|case| !case.plan.allows_winograd && case.plan.steps.len() == 1) {
            for style in [Style::Tiled, Style::Untiled] {
                let config = KernelConfig { style, ..config.clone() };
                let mut prepared = Vec::new();
                for storage in STORAGES {
                    prepared.push(Prepared::new(&gpu, &config, &case.plan, storage).await?);
                }
                let mut best = [f64::INFINITY; 3];
                for _ in 0..ROUNDS {
                    for (best, prepared) in best.iter_mut().zip(&prepared) {
                        *best = prepared.time(&gpu, ONCE).await?.into_iter().fold(*best, f64::min);
                    }
                }
                print(&format!("{style:?}"), &case.name, best);
            }
            print("CPU", &case.name, on_cpu(case)?);
        }
        Ok(())
    })
}

fn print(style: &str, name: &str, [f16, q8, q4]: [f64; 3]) {
    println!("{style:8} {name:40} {f16:8.2} {:6.2} {:6.2}", q8 / f16, q4 / f16);
}

/// Returns the times on the CPU.
fn on_cpu(case: &Case) -> Result<[f64; 3], Box<dyn Error>> {
    let mut runners = Vec::new();
    for storage in STORAGES {
        let mut weights = HashMap::new();
        for (name, _, shape) in case.plan.weights() {
            let data = numbers(name, shape);
            let tensor = cpu::Tensor::new(data.len() as u64, if shape.len() > 1 { storage } else { Storage::F32 });
            tensor.write_at(0, &data)?;
            weights.insert(name.to_owned(), tensor);
        }
        let arena = cpu::Arena::new(&[&case.plan]);
        let runner = cpu::Runner::new(&case.plan, &|name| weights.get(name).cloned(), &arena)?;
        for value in &case.plan.values {
            if let Source::Input(name) = &value.source {
                runner.set(name, &numbers(name, &value.shape))?;
            }
        }
        runners.push(runner);
    }
    let mut best = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        for (best, runner) in best.iter_mut().zip(&runners) {
            let start = Instant::now();
            runner.run()?;
            *best = best.min(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(best)
}
