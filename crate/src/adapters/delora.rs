//! DeLoRA: a product of normalized factors, with a learned norm per layer and the norms of the weight's columns.
//!
//! Bini et al. 2025 (DeLoRA), PEFT's DeLoRA: (λ / rank) · Σ over i of (b_i / ‖b_i‖)(a_i / ‖a_i‖)ᵀ · diag(w), with the
//! norms w of the base weight's columns as the file has them. Norms are at least 1e-4.

use super::algorithm::Algorithm;
use super::composed::{Composed, scale_rows};
use super::delta::Factor;
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use crate::linalg::norm;
use crate::model::spelling::Role;
use crate::num::to_f32;

/// Roles of the factors.
pub(super) const ROLES: &[Role] = &[Role::DeloraA, Role::DeloraB, Role::DeloraLambda, Role::DeloraWNorm];

/// Lower bound of norms.
const MIN_NORM: f64 = 1e-4;

/// Creates the change from a group, or returns an error if the shapes of its factors do not match.
pub(super) fn from_group(group: &Group, _layer: &Layer) -> Result<Composed, LeftoverReason> {
    let factor = |role, name| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: name });
    let (a, b) = (factor(Role::DeloraA, "delora_A")?, factor(Role::DeloraB, "delora_B")?);
    let (lambda, norms) = (factor(Role::DeloraLambda, "delora_lambda")?, factor(Role::DeloraWNorm, "delora_w_norm")?);
    let (outputs, rank, columns) = (b.axis(0), a.axis(0), a.from_axis(1));
    if rank == 0 || outputs == 0 || columns == 0 {
        return Err(LeftoverReason::malformed(&a, "shape.not_empty"));
    }
    if b.from_axis(1) != rank {
        return Err(LeftoverReason::RankMismatch { up: b.from_axis(1), down: rank });
    }
    if lambda.from_axis(0) != 1 || norms.from_axis(0) != columns {
        return Err(LeftoverReason::malformed(&norms, "shape.norm_per_input"));
    }
    let (shape, factors) = (vec![outputs, columns], vec![lambda, b, a, norms]);
    Ok(Composed {
        algorithm: Algorithm::Delora,
        factors,
        rank,
        alpha_rank: None,
        shape,
        projections: None,
        is_sized: true,
        compute: |tensors, sizes| {
            let &[lambda, b, a, norms] = tensors else { return None };
            let lambda = f64::from(*lambda.first()?) / sizes.rank as f64;
            let scales: Vec<f32> = a
                .chunks_exact(sizes.columns)
                .enumerate()
                .map(|(at, row)| {
                    let column: Vec<f32> = b.iter().skip(at).step_by(sizes.rank).copied().collect();
                    to_f32(lambda / (norm(row).max(MIN_NORM) * norm(&column).max(MIN_NORM)))
                })
                .collect();
            let mut right = a.to_vec();
            scale_rows(&mut right, sizes.columns, &scales);
            right
                .chunks_exact_mut(sizes.columns)
                .for_each(|row| row.iter_mut().zip(norms).for_each(|(x, norm)| *x *= norm));
            Some((b.to_vec(), right))
        },
    })
}
