//! Launches of kernels, and sequences of dispatches.

use super::kernels::Kernel;
use super::params::Uniforms;

/// A kernel launch: pipeline key, parameters, bindings and grid of one dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// Kernel.
    pub kernel: Kernel,
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
    /// Name of the kernel or operation.
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
    pub fn new(kernel: Kernel, inputs: usize, params: impl Into<Uniforms>, workgroups: [u32; 3]) -> Launch {
        let mut bindings: Vec<Binding> = (0..inputs).map(Binding::Input).collect();
        bindings.push(Binding::Output);
        let (params, constants) = (params.into(), Vec::new());
        Launch { kernel, operand_type: Scalar::F32, constants, params, bindings, workgroups }
    }

    /// Returns a uniform by name, or None if the kernel has none of this name.
    pub fn uniform(&self, name: &str) -> Option<u32> {
        self.params.get(name)
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
                Err(LaunchError { kernel: self.kernel.name(), reason })
            }
        }
    }

    /// Returns whether the grid is within [`MAX_WORKGROUPS_PER_AXIS`] along each axis.
    pub fn fits(&self) -> bool {
        self.workgroups.iter().all(|&count| count <= MAX_WORKGROUPS_PER_AXIS)
    }

    /// Creates an elementwise launch: one invocation per element, 256 per workgroup.
    pub fn elementwise(
        kernel: Kernel,
        inputs: usize,
        count: u64,
        params: impl Into<Uniforms>,
    ) -> Result<Launch, LaunchError> {
        Ok(Launch::new(kernel, inputs, params, workgroup_grid(kernel, count.div_ceil(256))?))
    }
}

/// Converts a count to the u32 of a shader.
pub fn to_u32<N: Copy + std::fmt::Display>(kernel: Kernel, count: N) -> Result<u32, LaunchError>
where
    u32: TryFrom<N>,
{
    u32::try_from(count)
        .map_err(|_| LaunchError { kernel: kernel.name(), reason: format!("takes 32-bit counts, but one is {count}") })
}

/// Returns a two-dimensional grid of at least `count` workgroups; see `workgroup_index` in common.wgsl.
pub fn workgroup_grid(kernel: Kernel, count: u64) -> Result<[u32; 3], LaunchError> {
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

/// Number of scratch buffers that a step's dispatches can use.
pub const SCRATCH: usize = 3;

/// Dispatches of one step, and the scratch buffers that they need.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelSequence {
    /// Dispatches in execution order.
    pub dispatches: Vec<Dispatch>,
    /// Number of elements of each scratch buffer.
    pub scratch: [u64; SCRATCH],
}

/// A launch with its buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The launch; its `Binding::Input` indexes `inputs`.
    pub launch: Launch,
    /// Inputs of the launch.
    pub inputs: Vec<BufferRef>,
    /// Output of the launch.
    pub output: BufferRef,
    /// Floating-point operations.
    pub flops: u64,
}

/// A buffer that a dispatch reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferRef {
    /// The step's input with this index.
    Input(usize),
    /// The step's output.
    Output,
    /// The scratch buffer with this index.
    Scratch(usize),
}
