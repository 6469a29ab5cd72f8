//! Lowering: a step of a plan -> dispatches. The kernel configuration alone decides which: tile shapes, f16 operands,
//! subgroups and Winograd's algorithm.

use super::config::{KernelConfig, TileChoice};
use super::kernel::{BufferRef, Dispatch, KernelSequence, Launch, LaunchError, SCRATCH};
use super::kernels::{self, attention, winograd};
use super::variants::{VariantSupport, class, variants};
use crate::ops::{Op, Storage};
use crate::plan::{Plan, Step};

/// A step to lower: an operation, the shapes and storage types of its tensors, and what its plan allows.
#[derive(Debug, Clone, Copy)]
pub struct StepSignature<'a> {
    /// Operation.
    pub op: &'a Op,
    /// Shapes of the inputs.
    pub inputs: &'a [&'a [usize]],
    /// Shape of the output.
    pub output: &'a [usize],
    /// Storage types of the inputs.
    pub stored: &'a [Storage],
    /// See [`Plan::allows_f16_math`].
    pub allows_f16_math: bool,
    /// See [`Plan::allows_winograd`].
    pub allows_winograd: bool,
}

/// Lowers a step to dispatches.
pub fn lower(step: &StepSignature, config: &KernelConfig) -> Result<KernelSequence, LaunchError> {
    let mut sequence = match sequence(step, config)? {
        Some(sequence) => sequence,
        None => single(step, config)?,
    };
    for dispatch in &mut sequence.dispatches {
        let launch = select_variant(&dispatch.launch, step, config).unwrap_or_else(|| dispatch.launch.clone());
        dispatch.launch = launch.checked()?;
    }
    Ok(sequence)
}

/// Lowers a step of a plan to dispatches; `stored` holds its inputs' storage types.
pub fn lower_step(
    plan: &Plan,
    step: &Step,
    stored: &[Storage],
    config: &KernelConfig,
) -> Result<KernelSequence, LaunchError> {
    let signature = StepSignature {
        op: &step.op,
        inputs: &plan.input_shapes(step),
        output: &plan.value(step.output).shape,
        stored,
        allows_f16_math: plan.allows_f16_math,
        allows_winograd: plan.allows_winograd,
    };
    lower(&signature, config)
}

/// Lowers an operation that needs several dispatches; None if it needs one.
fn sequence(step: &StepSignature, config: &KernelConfig) -> Result<Option<KernelSequence>, LaunchError> {
    let StepSignature { op, inputs, output, stored, .. } = *step;
    match (op, config.winograd_min_channels().filter(|_| step.allows_winograd)) {
        (Op::Conv2d(conv), Some(min_channels)) => {
            let stored = stored[conv.operand_indices().weight];
            winograd::lower(conv, inputs, output, stored, config.style, min_channels)
        }
        (Op::Attention(attention), _) => attention::lower(attention, inputs, output, config.style),
        _ => Ok(None),
    }
}

/// Lowers an operation to a single dispatch.
fn single(step: &StepSignature, config: &KernelConfig) -> Result<KernelSequence, LaunchError> {
    let StepSignature { op, inputs, output, stored, .. } = *step;
    let dispatch = Dispatch {
        launch: kernels::launch(op, inputs, output, stored, config.style)?,
        inputs: (0..inputs.len()).map(BufferRef::Input).collect(),
        output: BufferRef::Output,
        flops: op.get().flops(inputs, output),
    };
    Ok(KernelSequence { dispatches: vec![dispatch], scratch: [0; SCRATCH] })
}

/// Returns the selected variant of a launch; None for the one that the size heuristic chose.
fn select_variant(launch: &Launch, step: &StepSignature, config: &KernelConfig) -> Option<Launch> {
    let support = VariantSupport::of(step.allows_f16_math, config);
    let index = match &config.tiles {
        TileChoice::Rule => None,
        TileChoice::Forced(index) => Some(*index),
        TileChoice::Tuned(tuning) => class(launch, support).and_then(|class| tuning.best.get(&class).copied()),
    };
    variants(launch, support).into_iter().nth(index?)
}
