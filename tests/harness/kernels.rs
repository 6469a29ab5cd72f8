//! Single operations on the GPU and by their definitions.

use crate::ops::Case;
use lora_loupe::gpu::{Gpu, KernelConfig, Runner};
use lora_loupe::plan::{Plan, interpret};

/// Tolerance of kernels, which sum in f32 in another order and approximate erf to 1.5e-7. The worst case is a dot
/// product of 1000 elements under a softmax, 3.4e-6 on software Vulkan; the others stay below 2e-6.
pub const KERNEL: f64 = 5e-6;

/// Computes a case by the operation's definition.
pub fn reference(case: &Case) -> Vec<f32> {
    let mut give = |name: &str| name[1..].parse::<usize>().ok().map(|i| case.inputs[i].clone());
    interpret(&case.plan, &mut give, &case.scalars).expect("the reference runs").remove("y").expect("an output")
}

/// Computes a case on the GPU.
pub async fn compute(gpu: &Gpu, config: &KernelConfig, case: &Case) -> Vec<f32> {
    run(gpu, config, &case.plan, case).await.0
}

/// Computes `plan` with the inputs of a case on the GPU; also returns whether f16 math was used.
pub async fn run(gpu: &Gpu, config: &KernelConfig, plan: &Plan, case: &Case) -> (Vec<f32>, bool) {
    let runner = Runner::new(gpu, config, plan, &|_| None).await.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    for (i, data) in case.inputs.iter().enumerate() {
        runner.set(gpu, &format!("x{i}"), data).expect("an input");
    }
    runner.set_scalars(gpu, &case.scalars);
    let got = runner.compute(gpu, "y").await.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    (got, runner.uses_f16_math)
}
