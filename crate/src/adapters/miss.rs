//! MiSS, formerly Bone: a small matrix that is repeated along the inputs.
//!
//! Kang and Yin 2024 (Bone; MiSS in later versions), PEFT's MiSS: change[o, i] = block[i mod rank, o], and in the mini
//! variant block[i mod rank, o mod width]: the product of blockᵀ and a matrix of zeros and ones. The variant `bat`
//! (three axes), which multiplies the weight, is not computed.

use super::algorithm::Algorithm;
use super::composed::Composed;
use super::delta::Factor;
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use crate::model::spelling::Role;

/// Roles of the factor under both names.
pub(super) const ROLES: &[Role] = &[Role::MissBlock, Role::BoneBlock];

/// Creates the change of this layer from a group, or returns an error if the shape of its block does not match.
pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Composed, LeftoverReason> {
    let (block, algorithm) = match (group.get(Role::MissBlock), group.get(Role::BoneBlock)) {
        (Some(block), _) => (block, Algorithm::Miss),
        (None, Some(block)) => (block, Algorithm::Bone),
        (None, None) => return Err(LeftoverReason::Incomplete { missing: "miss_block" }),
    };
    let (block, weight) = (Factor::of(block), layer.module.weight_shape());
    if block.shape.len() == 3 {
        return Err(LeftoverReason::UnsupportedAlgorithm("unsupported.miss_bat"));
    }
    let (&[rank, width], &[outputs, columns]) = (&*block.shape, &*weight) else {
        return Err(LeftoverReason::malformed(&block, "shape.linear_matrix"));
    };
    if rank == 0 || width == 0 {
        return Err(LeftoverReason::malformed(&block, "shape.not_empty"));
    }
    // `mini` stores a divisor of the outputs, which then do not show; nothing shows the inputs.
    let is_mini = layer.config.is_none_or(|config| config.init_weights.as_deref() == Some("mini"));
    let is_sized = if is_mini { outputs.is_multiple_of(width) } else { outputs == width };
    let outputs = if is_sized { outputs } else { width };
    let (shape, factors) = (vec![outputs, columns], vec![block]);
    Ok(Composed {
        algorithm,
        factors,
        rank,
        alpha_rank: None,
        shape,
        projections: None,
        is_sized,
        compute: |tensors, sizes| {
            let block = *tensors.first()?;
            let width = block.len() / sizes.rank.max(1);
            let left = (0..sizes.outputs * sizes.rank)
                .map(|at| block[at % sizes.rank * width + at / sizes.rank % width])
                .collect();
            let right = (0..sizes.rank * sizes.columns)
                .map(|at| f32::from(u8::from(at % sizes.columns % sizes.rank == at / sizes.columns)))
                .collect();
            Some((left, right))
        },
    })
}
