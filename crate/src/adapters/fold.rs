//! The plan that folds deltas into one base tensor.

use super::delta::{Delta, FactorData};
use crate::num::{host_len, numel};
use crate::plan::{Builder, Layout, Plan, PlanError, interpret};

/// A delta, its factors as returned by [`Delta::read`], and its strength.
pub type Folding<'a> = (&'a Delta, &'a FactorData, f32);

/// Name of the base tensor in a fold's plan.
pub const BASE: &str = "base";

/// Name of the result in a fold's plan.
pub const FOLDED: &str = "folded";

/// Returns the plan that adds the deltas in order to a tensor of PyTorch shape `shape`, the tensors that it reads
/// besides [`BASE`], and its scalars.
pub fn fold_plan(shape: &[usize], deltas: &[Folding]) -> Result<(Plan, FactorData, Vec<f32>), PlanError> {
    let mut builder = Builder::new("fold");
    let matrix = match shape {
        [width] => vec![*width],
        [outputs, rest @ ..] => vec![*outputs, host_len(numel(rest))],
        [] => vec![1],
    };
    let mut value = builder.weight(BASE, &matrix, Layout::Plain);
    let (mut tensors, mut strengths) = (FactorData::new(), Vec::new());
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

/// Adds every delta to `base`, of PyTorch shape `shape`, in f32 on the CPU.
pub fn fold_on_cpu(base: Vec<f32>, shape: &[usize], deltas: &[Folding]) -> Result<Vec<f32>, PlanError> {
    let (plan, mut tensors, strengths) = fold_plan(shape, deltas)?;
    tensors.insert(BASE.into(), Layout::Ohwi.arrange(base, shape));
    let mut outputs = interpret(&plan, &mut |name| tensors.get(name).cloned(), &strengths)?;
    Ok(Layout::Ohwi.restore(outputs.remove(FOLDED).unwrap_or_default(), shape))
}
