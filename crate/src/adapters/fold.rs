//! Turns a base tensor and the deltas on it into the changed tensor.

use super::delta::{Delta, Numbers};
use crate::num::{host_len, numel};
use crate::plan::{Builder, Layout, Plan, PlanError, interpret};

/// One delta with its factors (as [`Delta::read`] gives them) and its strength.
pub type Folding<'a> = (&'a Delta, &'a Numbers, f32);

/// Name of the base tensor in the plan of its folds.
pub const BASE: &str = "base";

/// Name of the changed tensor in the plan of its folds.
pub const FOLDED: &str = "folded";

/// The plan that adds deltas to a tensor of PyTorch shape `shape` in the order given, the
/// tensors that it wants beside [`BASE`], and its scalars.
pub fn fold_plan(shape: &[usize], deltas: &[Folding]) -> Result<(Plan, Numbers, Vec<f32>), PlanError> {
    let mut builder = Builder::new("fold");
    let matrix = match shape {
        [width] => vec![*width],
        [outputs, rest @ ..] => vec![*outputs, host_len(numel(rest))],
        [] => vec![1],
    };
    let mut value = builder.weight(BASE, &matrix, Layout::Plain);
    let (mut tensors, mut strengths) = (Numbers::new(), Vec::new());
    for (index, (delta, numbers, strength)) in deltas.iter().enumerate() {
        let prefix = format!("{index}:");
        let scalar = builder.scalar(&prefix);
        value = delta.fold(&mut builder, value, scalar, &prefix)?;
        strengths.push(*strength);
        tensors.extend(delta.prepare(numbers).into_iter().map(|(key, data)| (format!("{prefix}{key}"), data)));
    }
    builder.output(FOLDED, value);
    Ok((builder.finish(), tensors, strengths))
}

/// `base`, of PyTorch shape `shape`, with every delta added in f32 on the CPU.
pub fn fold_on_cpu(base: Vec<f32>, shape: &[usize], deltas: &[Folding]) -> Result<Vec<f32>, PlanError> {
    let (plan, mut tensors, strengths) = fold_plan(shape, deltas)?;
    tensors.insert(BASE.into(), Layout::Ohwi.arrange(base, shape));
    let mut outputs = interpret(&plan, &mut |name| tensors.get(name).cloned(), &strengths)?;
    Ok(Layout::Ohwi.restore(outputs.remove(FOLDED).unwrap_or_default(), shape))
}
