//! Turns a base tensor and the deltas on it into the changed tensor, on the CPU.

use super::delta::{Delta, Numbers};
use crate::plan::{Builder, Layout, PlanError, interpret};

/// One delta with its factors (as [`Delta::read`] gives them) and its strength.
pub type Folding<'a> = (&'a Delta, &'a Numbers, f32);

/// `base`, of PyTorch shape `shape`, with every delta added in f32, in the order given.
pub fn fold_on_cpu(base: Vec<f32>, shape: &[usize], deltas: &[Folding]) -> Result<Vec<f32>, PlanError> {
    const BASE: &str = "base";
    let mut builder = Builder::new("fold");
    let matrix = match shape {
        [width] => vec![*width],
        [outputs, rest @ ..] => vec![*outputs, rest.iter().product()],
        [] => vec![1],
    };
    let mut value = builder.weight(BASE, &matrix, Layout::Plain);
    let mut tensors = Numbers::from([(BASE.to_owned(), Layout::Ohwi.arrange(base, shape))]);
    let mut strengths = Vec::new();
    for (index, (delta, numbers, strength)) in deltas.iter().enumerate() {
        let prefix = format!("{index}:");
        let scalar = builder.scalar(&prefix);
        value = delta.fold(&mut builder, value, scalar, &prefix)?;
        strengths.push(*strength);
        tensors.extend(delta.prepare(numbers).into_iter().map(|(key, data)| (format!("{prefix}{key}"), data)));
    }
    builder.output("folded", value);
    let mut outputs = interpret(&builder.finish(), &mut |name| tensors.get(name).cloned(), &strengths)?;
    Ok(Layout::Ohwi.restore(outputs.remove("folded").unwrap_or_default(), shape))
}
