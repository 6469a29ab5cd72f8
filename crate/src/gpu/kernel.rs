//! Kernel launches and WGSL source assembly.

use super::kernels;
use super::params::Uniforms;

/// A kernel launch: pipeline key, parameters, bindings and grid of one dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// Kernel name, as in [`kernels::ALL`].
    pub kernel: &'static str,
    /// Type of the multiplied operands; accumulation is f32.
    pub operand_type: Scalar,
    /// `override` constants; part of the pipeline key.
    pub constants: Vec<(&'static str, f64)>,
    /// Uniforms, `Params` in WGSL.
    pub params: Uniforms,
    /// Contents of bindings 1, 2, …
    pub bindings: Vec<Binding>,
    /// Workgroup count along each axis.
    pub workgroups: [u32; 3],
}

/// Contents of a kernel's binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The step's input with this index.
    Input(usize),
    /// The plan's run-time scalars.
    Scalars,
    /// The step's output.
    Output,
}

/// An unsupported launch.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the {kernel} kernel {reason}")]
pub struct LaunchError {
    /// Kernel name.
    pub kernel: &'static str,
    /// Reason, worded to follow the kernel's name.
    pub reason: String,
}

/// WebGPU's default limit of workgroups along one axis, which every device supports.
pub const MAX_WORKGROUPS_PER_AXIS: u32 = 65_535;

/// Maximum loop iterations of one invocation, over all its loops: llvmpipe ends its loops after so many and reports
/// nothing (`LP_MAX_TGSI_LOOP_ITERATIONS` of Mesa 22.3), and SD 1.5's VAE decoder came out wrong at 512x512.
pub const MAX_LOOP_ITERATIONS: u64 = 65_535;

impl Launch {
    /// Creates a launch that binds inputs 0, 1, … and then the output.
    pub fn new(kernel: &'static str, inputs: usize, params: impl Into<Uniforms>, workgroups: [u32; 3]) -> Launch {
        let mut bindings: Vec<Binding> = (0..inputs).map(Binding::Input).collect();
        bindings.push(Binding::Output);
        let (params, constants) = (params.into(), Vec::new());
        Launch { kernel, operand_type: Scalar::F32, constants, params, bindings, workgroups }
    }

    /// Returns a uniform by name; 0 if the kernel has none of this name.
    pub fn uniform(&self, name: &str) -> u32 {
        self.params.get(name).unwrap_or(0)
    }

    /// Adds an `override` constant.
    pub fn with(mut self, name: &'static str, value: impl Into<f64>) -> Launch {
        self.constants.push((name, value.into()));
        self
    }

    /// Returns the launch, or an error if its grid exceeds [`MAX_WORKGROUPS_PER_AXIS`] along an axis.
    pub fn checked(self) -> Result<Launch, LaunchError> {
        match self.fits() {
            true => Ok(self),
            false => {
                let reason = format!(
                    "needs {:?} workgroups, but the limit is {MAX_WORKGROUPS_PER_AXIS} per axis",
                    self.workgroups
                );
                Err(LaunchError { kernel: self.kernel, reason })
            }
        }
    }

    /// Returns whether the grid is within [`MAX_WORKGROUPS_PER_AXIS`] along each axis.
    pub fn fits(&self) -> bool {
        self.workgroups.iter().all(|&count| count <= MAX_WORKGROUPS_PER_AXIS)
    }

    /// Creates an elementwise launch: one invocation per element, 256 per workgroup.
    pub fn elementwise(
        kernel: &'static str,
        inputs: usize,
        count: u64,
        params: impl Into<Uniforms>,
    ) -> Result<Launch, LaunchError> {
        Ok(Launch::new(kernel, inputs, params, workgroup_grid(kernel, count.div_ceil(256))?))
    }
}

/// Converts a count to the u32 of a shader.
pub fn to_u32<N: Copy + std::fmt::Display>(kernel: &'static str, count: N) -> Result<u32, LaunchError>
where
    u32: TryFrom<N>,
{
    u32::try_from(count).map_err(|_| LaunchError { kernel, reason: format!("takes 32-bit counts, but one is {count}") })
}

/// Returns a two-dimensional grid of at least `count` workgroups; see `workgroup_index` in common.wgsl.
pub fn workgroup_grid(kernel: &'static str, count: u64) -> Result<[u32; 3], LaunchError> {
    let count = to_u32(kernel, count)?;
    let rows = count.div_ceil(MAX_WORKGROUPS_PER_AXIS).max(1);
    Ok([count.div_ceil(rows), rows, 1])
}

/// Implementation style of kernels with reductions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// Tiles in workgroup memory: for GPUs.
    Tiled,
    /// No workgroup memory, or small workgroups: for software rasterizers, where a barrier costs a context switch and
    /// caches are large.
    Untiled,
}

/// Element type of a kernel's tensors (`Scalar` in WGSL) or of its multiplied operands (`Operand`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// 32-bit float.
    F32,
    /// 16-bit float; requires `shader-f16`.
    F16,
}

impl Scalar {
    /// Returns the WGSL type name.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::F32 => "f32",
            Scalar::F16 => "f16",
        }
    }

    /// Returns the size of an element in bytes.
    pub fn bytes(self) -> u64 {
        match self {
            Scalar::F32 => 4,
            Scalar::F16 => 2,
        }
    }
}

/// Name suffix of kernels that require subgroups.
pub const SUBGROUPS: &str = "_subgroups";

/// Returns the complete WGSL source of a kernel for the given types of tensors and operands; None for an unknown name.
pub fn source(kernel: &str, scalar: Scalar, operand: Scalar) -> Option<String> {
    let (_, body, _) = kernels::ALL.iter().find(|(name, ..)| *name == kernel)?;
    let f16 = if [scalar, operand].contains(&Scalar::F16) { "enable f16;\n" } else { "" };
    // Browsers require the directive; naga, the native compiler, does not support it.
    let needs_directive = kernel.ends_with(SUBGROUPS) && cfg!(target_os = "unknown");
    let subgroups = if needs_directive { "enable subgroups;\n" } else { "" };
    let f16_operands = u32::from(operand == Scalar::F16);
    let (scalar, operand) = (scalar.name(), operand.name());
    let types =
        format!("alias Scalar = {scalar};\nalias Operand = {operand};\nconst F16_OPERANDS: u32 = {f16_operands};\n");
    Some([f16, subgroups, &types, &kernels::wgsl_constants(), kernels::HEADER, body].concat())
}

#[cfg(test)]
mod tests {
    use super::super::Gpu;
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
            if !gpu.has_subgroups() {
                println!("skipped: the device has no subgroups");
                return;
            }
            let text = include_str!("kernels/workgroup_sum_subgroups.wgsl");
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
