//! Changes that depend on the base model's weights, as matrices: what the adapter makes of a weight, minus the weight.

use super::error::EditError;
use super::model_side::ModelSide;
use super::open::Opened;
use crate::adapters::{BakeError, BakedAdapter, Delta, Part, Strengths, fold_part};
use crate::linalg::{Dense, Factorization};
use crate::num::{host_len, numel};

/// Returns whether a delta changes the base model's weight, a matrix or a kernel, as a function of it.
pub(super) fn is_matrix_of_base(delta: &Delta) -> bool {
    delta.algorithm.needs_base() && delta.part == Part::Weight && delta.change.shape().len() > 1
}

/// Returns the change of the base model's weight by a delta at a strength.
pub(super) async fn change_of_base(
    opened: &Opened<'_>,
    base: Option<ModelSide<'_>>,
    delta: &Delta,
    strength: f32,
) -> Result<Factorization, EditError> {
    let name = delta.tensor();
    let tensor = base.and_then(|base| Some((base, base.tensor(&name)?)));
    let (base, tensor) = tensor.ok_or_else(|| BakeError::NoTensor(name.clone()))?;
    let (weight, shape) = (base.read(&name).await?, tensor.shape());
    let adapter = BakedAdapter {
        name: &opened.file,
        source: &opened.source,
        header: &opened.header,
        adapter: &opened.adapter,
        strength,
        blocks: &Strengths::default(),
    };
    let changed = fold_part(weight.clone(), &shape, &name, &[(&adapter, delta)]).await?;
    let difference = changed.iter().zip(&weight).map(|(changed, weight)| changed - weight).collect();
    Ok(Factorization::Whole(Dense::new(difference, host_len(numel(shape.get(1..).unwrap_or_default())))))
}
