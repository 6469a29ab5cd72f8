//! VeRA: two random projections that all layers share, scaled by two learned vectors per layer.
//!
//! Kopiczko et al. 2024 (VeRA), PEFT's VeRA: diag(λ_b) · B · diag(λ_d) · A, with the first rows of B and the first
//! columns of A. Without the projections in the file, they follow from a seed and PyTorch's generator (`projections.rs`).

use super::algorithm::Algorithm;
use super::composed::{Composed, scale_rows};
use super::delta::Factor;
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use crate::model::spelling::Role;

/// Roles of the factors; the projections are those of the whole file.
pub(super) const ROLES: &[Role] = &[Role::VeraLambdaB, Role::VeraLambdaD, Role::VeraA, Role::VeraB];

/// Creates the change of this layer from a group, or returns an error if the shapes of its factors do not match.
pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Composed, LeftoverReason> {
    let factor = |role, name| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: name });
    let (by_output, by_rank) =
        (factor(Role::VeraLambdaB, "vera_lambda_b")?, factor(Role::VeraLambdaD, "vera_lambda_d")?);
    let (rank, outputs) = (by_rank.from_axis(0), by_output.from_axis(0));
    let &[rows, columns] = &*layer.module.weight_shape() else {
        return Err(LeftoverReason::malformed(&by_output, "shape.not_linear"));
    };
    let stored = group.get(Role::VeraA).map(Factor::of).zip(group.get(Role::VeraB).map(Factor::of));
    let (columns, stored, projections) = match (stored, layer.projections) {
        (Some((a, b)), _) => {
            if a.shape.len() != 2 || a.axis(0) != rank || a.axis(1) == 0 {
                return Err(LeftoverReason::malformed(&a, "shape.vera_a"));
            }
            if b.shape.len() != 2 || b.axis(1) != rank || outputs == 0 || b.axis(0) < outputs {
                return Err(LeftoverReason::malformed(&b, "shape.vera_b"));
            }
            // The first columns of the largest layer's projection.
            (columns.min(a.axis(1)), vec![a, b], None)
        }
        (None, Some(projections)) => (columns, Vec::new(), Some(projections)),
        (None, None) => return Err(LeftoverReason::UnsupportedAlgorithm("unsupported.vera")),
    };
    let (shape, factors) = (vec![outputs, columns], [vec![by_output, by_rank], stored].concat());
    Ok(Composed {
        algorithm: Algorithm::Vera,
        factors,
        rank,
        alpha_rank: None,
        shape,
        projections,
        is_sized: outputs == rows && projections.is_none_or(|projections| projections.is_sized),
        compute: |tensors, sizes| {
            let &[by_output, by_rank, a, b] = tensors else { return None };
            let width = a.len() / sizes.rank.max(1);
            let mut down: Vec<f32> = a.chunks_exact(width).flat_map(|row| &row[..sizes.columns]).copied().collect();
            let mut up = b.get(..sizes.outputs * sizes.rank)?.to_vec();
            scale_rows(&mut down, sizes.columns, by_rank);
            scale_rows(&mut up, sizes.rank, by_output);
            Some((up, down))
        },
    })
}
