//! Turns a kernel's name and numbers into something that a pipeline cache and a runner understand.

use super::kernels;

/// The numbers of one dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// Stem of the kernel's file.
    pub kernel: &'static str,
    /// What it multiplies; sums are f32.
    pub operand_type: Scalar,
    /// Its `override` constants: they choose the pipeline.
    pub constants: Vec<(&'static str, f64)>,
    /// The words of its `Params`, in order; f32 as bits.
    pub params: Vec<u32>,
    /// What bindings 1, 2, … hold.
    pub bindings: Vec<Binding>,
    /// Workgroups along each axis.
    pub groups: [u32; 3],
}

/// What a binding of a kernel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The step's input with this index.
    Input(usize),
    /// The plan's run-time numbers.
    Scalars,
    /// The step's output.
    Output,
}

/// Why a step has no launch.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the {kernel} kernel {reason}")]
pub struct LaunchError {
    /// Stem of the kernel's file.
    pub kernel: &'static str,
    /// What is out of its range.
    pub reason: String,
}

/// Most workgroups along one axis that every WebGPU device takes.
pub const MAX_GROUPS: u32 = 65_535;

impl Launch {
    /// A launch with inputs 0, 1, … and the output bound in this order.
    pub fn new(kernel: &'static str, inputs: usize, params: Vec<u32>, groups: [u32; 3]) -> Launch {
        let mut bindings: Vec<Binding> = (0..inputs).map(Binding::Input).collect();
        bindings.push(Binding::Output);
        Launch { kernel, operand_type: Scalar::F32, constants: Vec::new(), params, bindings, groups }
    }

    /// The same with an `override` constant.
    pub fn with(mut self, name: &'static str, value: impl Into<f64>) -> Launch {
        self.constants.push((name, value.into()));
        self
    }

    /// The launch itself, where every WebGPU device takes as many workgroups.
    pub fn checked(self) -> Result<Launch, LaunchError> {
        match self.fits() {
            true => Ok(self),
            false => {
                let reason = format!("would take {:?} workgroups, of at most {MAX_GROUPS} along an axis", self.groups);
                Err(LaunchError { kernel: self.kernel, reason })
            }
        }
    }

    /// Whether every WebGPU device takes as many workgroups.
    pub fn fits(&self) -> bool {
        self.groups.iter().all(|&count| count <= MAX_GROUPS)
    }

    /// One invocation of 256 for each of `count` numbers.
    pub fn elementwise(kernel: &'static str, inputs: usize, count: u64, rest: &[u32]) -> Result<Launch, LaunchError> {
        let mut params = vec![to_u32(kernel, count)?];
        params.extend_from_slice(rest);
        Ok(Launch::new(kernel, inputs, params, workgroup_grid(kernel, count.div_ceil(256))?))
    }
}

/// A count as a shader's u32.
pub fn to_u32<N: Copy + std::fmt::Display>(kernel: &'static str, count: N) -> Result<u32, LaunchError>
where
    u32: TryFrom<N>,
{
    u32::try_from(count).map_err(|_| LaunchError { kernel, reason: format!("cannot count to {count}") })
}

/// `count` workgroups over the first two axes, as `flat` in common.wgsl reads them.
pub fn workgroup_grid(kernel: &'static str, count: u64) -> Result<[u32; 3], LaunchError> {
    let count = to_u32(kernel, count)?;
    let rows = count.div_ceil(MAX_GROUPS).max(1);
    Ok([count.div_ceil(rows), rows, 1])
}

/// How kernels that sum over many numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// Workgroups share tiles in their fast memory: graphics processors.
    Tiled,
    /// Invocations work alone, or few together: software devices, where a barrier is a change of
    /// context and caches are large.
    Untiled,
}

/// A type of numbers: of a kernel's tensors, or of what it multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, where the device has `shader-f16`.
    F16,
}

impl Scalar {
    /// As WGSL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::F32 => "f32",
            Scalar::F16 => "f16",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        match self {
            Scalar::F32 => 4,
            Scalar::F16 => 2,
        }
    }
}

/// Ends the names of kernels for devices with subgroups.
pub const SUBGROUPS: &str = "_subgroups";

/// The whole text of a kernel whose tensors and factors are of these types.
pub fn source(kernel: &str, scalar: Scalar, factors: Scalar) -> Option<String> {
    let (_, own) = kernels::ALL.iter().find(|(name, _)| *name == kernel)?;
    let f16 = if [scalar, factors].contains(&Scalar::F16) { "enable f16;\n" } else { "" };
    // Browsers want to be asked; naga, which compiles natively, does not know the line.
    let is_asked = kernel.ends_with(SUBGROUPS) && cfg!(target_os = "unknown");
    let subgroups = if is_asked { "enable subgroups;\n" } else { "" };
    let halves = u32::from(factors == Scalar::F16);
    let (scalar, factor) = (scalar.name(), factors.name());
    let types = format!("alias Scalar = {scalar};\nalias Operand = {factor};\nconst F16_OPERANDS: u32 = {halves};\n");
    Some([f16, subgroups, &types, kernels::HEADER, own].concat())
}

#[cfg(test)]
mod tests {
    use super::super::Gpu;
    use crate::ops::Storage;

    /// Adds up 1, 2, … and 2, 4, …, one number an invocation, in an order of the invocations that is not the
    /// device's: what another device's own order may be.
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
    #[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
    fn sums_by_subgroups_are_right_whichever_invocations_these_are() {
        pollster::block_on(async {
            let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
            if !gpu.has_subgroups() {
                println!("without subgroups");
                return;
            }
            let text = include_str!("kernels/workgroup_sum_subgroups.wgsl");
            let source = wgpu::ShaderSource::Wgsl(format!("{text}{MAIN}").into());
            let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
            // Odd, so that every invocation has a place; 1 is the device's own order.
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
                let output = gpu.tensor_stored("output", 2 * u64::from(threads), Storage::F32).expect("room");
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
                // Whole numbers, which f32 adds up exactly in any order.
                let sum = (threads * (threads + 1) / 2) as f32;
                let wanted: Vec<f32> = (0..threads).flat_map(|_| [sum, 2.0 * sum]).collect();
                let got = gpu.read(&output).await.expect("numbers");
                assert_eq!(got, wanted, "{threads} invocations, {factor} apart");
            }
        });
    }
}
