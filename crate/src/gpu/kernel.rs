//! Turns a kernel's name and numbers into something that a pipeline cache and a runner understand.

use super::kernels;

/// The numbers of one dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// Stem of the kernel's file.
    pub kernel: &'static str,
    /// What it multiplies; sums are f32.
    pub factors: Scalar,
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
        Launch { kernel, factors: Scalar::F32, constants: Vec::new(), params, bindings, groups }
    }

    /// The same with an `override` constant.
    pub fn with(mut self, name: &'static str, value: impl Into<f64>) -> Launch {
        self.constants.push((name, value.into()));
        self
    }

    /// One invocation of 256 for each of `count` numbers.
    pub fn elementwise(kernel: &'static str, inputs: usize, count: u64, rest: &[u32]) -> Result<Launch, LaunchError> {
        let mut params = vec![number(kernel, count)?];
        params.extend_from_slice(rest);
        Ok(Launch::new(kernel, inputs, params, spread(kernel, count.div_ceil(256))?))
    }
}

/// A count as a shader's u32.
pub fn number<N: Copy + std::fmt::Display>(kernel: &'static str, count: N) -> Result<u32, LaunchError>
where
    u32: TryFrom<N>,
{
    u32::try_from(count).map_err(|_| LaunchError { kernel, reason: format!("cannot count to {count}") })
}

/// `count` workgroups over the first two axes, as `flat` in common.wgsl reads them.
pub fn spread(kernel: &'static str, count: u64) -> Result<[u32; 3], LaunchError> {
    let count = number(kernel, count)?;
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
    Direct,
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
pub fn text(kernel: &str, scalar: Scalar, factors: Scalar) -> Option<String> {
    let (_, own) = kernels::ALL.iter().find(|(name, _)| *name == kernel)?;
    let f16 = if [scalar, factors].contains(&Scalar::F16) { "enable f16;\n" } else { "" };
    // Browsers want to be asked; naga, which compiles natively, does not know the line.
    let is_asked = kernel.ends_with(SUBGROUPS) && cfg!(target_os = "unknown");
    let subgroups = if is_asked { "enable subgroups;\n" } else { "" };
    let halves = u32::from(factors == Scalar::F16);
    let (scalar, factor) = (scalar.name(), factors.name());
    let types = format!("alias Scalar = {scalar};\nalias Factor = {factor};\nconst HALVES: u32 = {halves};\n");
    Some([f16, subgroups, &types, kernels::HEADER, own].concat())
}
