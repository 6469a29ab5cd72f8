//! Complete WGSL sources of the kernels.

use super::kernel::Scalar;
use super::kernels::{Kernel, epilogue};

/// WGSL shared by all kernels; it follows the definitions of `Scalar`, `Operand` and `F16_OPERANDS`.
const HEADER: &str = embedded!("gpu/kernels/common.wgsl");

/// Returns the constants that WGSL shares with the launches.
fn constants() -> String {
    let constants = epilogue::FLAGS.iter().chain(&epilogue::ACTIVATIONS);
    constants.map(|(name, value)| format!("const {name}: u32 = {value};\n")).collect()
}

/// Returns the complete WGSL source of a kernel for the given types of tensors and operands.
pub fn source(kernel: Kernel, scalar: Scalar, operand: Scalar) -> String {
    let f16 = if [scalar, operand].contains(&Scalar::F16) { "enable f16;\n" } else { "" };
    // Browsers require the directive; naga, the native compiler, does not support it.
    let needs_directive = kernel.requires_subgroups() && cfg!(target_os = "unknown");
    let subgroups = if needs_directive { "enable subgroups;\n" } else { "" };
    let f16_operands = u32::from(operand == Scalar::F16);
    let (scalar, operand) = (scalar.name(), operand.name());
    let types =
        format!("alias Scalar = {scalar};\nalias Operand = {operand};\nconst F16_OPERANDS: u32 = {f16_operands};\n");
    [f16, subgroups, &types, &constants(), HEADER, kernel.body()].concat()
}

/// Returns a hash of all kernels' sources: FNV-1a.
pub fn hash() -> u32 {
    let bytes = Kernel::ALL.iter().flat_map(|&kernel| kernel.body().bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use crate::gpu::Gpu;
    use crate::ops::Storage;

    /// Sums 1, 2, … and 2, 4, …, one term per invocation. FACTOR permutes the invocations, since other devices may
    /// assign them to subgroups in a different order.
    const MAIN: &str = "
        @group(0) @binding(0) var<storage, read_write> output: array<f32>;
        override FACTOR: u32 = 1;
        @compute @workgroup_size(THREADS)
        fn main(@builtin(local_invocation_index) index: u32) {
            let local = index * FACTOR % THREADS;
            let first = workgroup_sum(local, f32(local + 1u), false);
            let second = workgroup_sum(local, 2.0 * f32(local + 1u), true);
            output[2u * local] = first;
            output[2u * local + 1u] = second;
        }";

    #[test]
    #[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
    fn subgroup_sums_are_right_for_any_assignment_of_invocations() {
        pollster::block_on(async {
            let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
            if !gpu.default_config().subgroups {
                println!("skipped: the device has no subgroups");
                return;
            }
            let text = embedded!("gpu/kernels/workgroup_sum_subgroups.wgsl");
            let source = wgpu::ShaderSource::Wgsl(format!("{text}{MAIN}").into());
            let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
            // Odd factors are coprime with the power-of-two workgroup sizes, so they permute; 1 is the identity.
            for (threads, factor) in
                [8u32, 32, 64, 256].into_iter().flat_map(|n| [1, 3, 17, 33, 91, n - 1].map(|f| (n, f)))
            {
                let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: None,
                    layout: None,
                    module: &module,
                    entry_point: Some("main"),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants: &[("THREADS", f64::from(threads)), ("FACTOR", f64::from(factor))],
                        zero_initialize_workgroup_memory: false,
                    },
                    cache: None,
                });
                let output = gpu.tensor_with_storage("output", 2 * u64::from(threads), Storage::F32).expect("a tensor");
                let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &pipeline.get_bind_group_layout(0),
                    entries: &[wgpu::BindGroupEntry { binding: 0, resource: output.binding() }],
                });
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                {
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    pass.set_pipeline(&pipeline);
                    pass.set_bind_group(0, &group, &[]);
                    pass.dispatch_workgroups(1, 1, 1);
                }
                gpu.queue.submit([encoder.finish()]);
                // Sums of small integers are exact in f32 in any order.
                let sum = (threads * (threads + 1) / 2) as f32;
                let wanted: Vec<f32> = (0..threads).flat_map(|_| [sum, 2.0 * sum]).collect();
                let got = gpu.read(&output).await.expect("the output");
                assert_eq!(got, wanted, "{threads} invocations, factor {factor}");
            }
        });
    }
}
