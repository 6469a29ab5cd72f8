//! AdaLoRA: up · diag(E) · down, with learned singular values E between the factors.
//!
//! Zhang et al. 2023 (AdaLoRA), PEFT's AdaLoRA. Its scale is alpha / (initial rank + 1e-5): layers keep it when ranks
//! are pruned. A convolution's down is flattened.

use super::algorithm::Algorithm;
use super::composed::{Composed, scale_rows};
use super::delta::Factor;
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use crate::model::spelling::Role;

/// Creates the change from a group, or returns an error if the shapes of its factors do not match.
pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Composed, LeftoverReason> {
    let factor = |role, name| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: name });
    let (up, down) = (factor(Role::Up, "lora_B")?, factor(Role::Down, "lora_A")?);
    let values = factor(Role::LoraE, "lora_E")?;
    let (outputs, rank, columns) = (up.axis(0), down.axis(0), down.from_axis(1));
    if rank == 0 || outputs == 0 || columns == 0 {
        return Err(LeftoverReason::malformed(&down, "shape.not_empty"));
    }
    if up.from_axis(1) != rank || values.from_axis(0) != rank {
        return Err(LeftoverReason::RankMismatch { up: up.from_axis(1), down: rank });
    }
    let shape = layer.shape_of(outputs, columns);
    let factors = vec![up, down, values];
    Ok(Composed {
        algorithm: Algorithm::Adalora,
        factors,
        rank,
        alpha_rank: Some(rank),
        shape,
        projections: None,
        is_sized: true,
        compute: |tensors, sizes| {
            let &[up, down, values] = tensors else { return None };
            let mut down = down.to_vec();
            scale_rows(&mut down, sizes.columns, values);
            Some((up.to_vec(), down))
        },
    })
}
