//! OFT and BOFT: block-diagonal rotations of a weight's rows, parametrized by skew-symmetric matrices.
//!
//! Qiu et al. 2023 (OFT; sd-scripts' and LyCORIS's Diag-OFT): Q = B − Bᵀ, R = (I + Q)(I − Q)⁻¹ and W' = RᵀW, block by
//! block. Liu et al. 2024 (BOFT): several stages, each over different rows, with R instead of Rᵀ. Strength s replaces
//! R by I + s(R − I) in every stage. A positive alpha limits ‖Q‖ to alpha · outputs; an alpha of 0 means no effect in
//! files of sd-scripts and no limit in files of LyCORIS.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::leftover::LeftoverReason;
use crate::linalg::{Matrix, solve};
use crate::model::Module;
use crate::model::spelling::Role;
use crate::num::to_f32;
use crate::ops::Rotate;
use crate::plan::{PlanError, ValueId};

/// Rotations in one or more stages.
#[derive(Debug)]
pub struct Oft {
    /// (blocks, size, size), or (stages, blocks, size, size).
    blocks: Factor,
    /// Diag-OFT: the factor of each row of the result.
    rescale: Option<Factor>,
    alpha: Option<f32>,
    /// Whether sd-scripts wrote the file.
    is_kohya: bool,
    shape: Vec<usize>,
}

/// Roles of the factors.
pub(super) const ROLES: &[Role] = &[Role::OftBlocks, Role::Rescale];

impl Oft {
    /// Creates the change of this layer from a group, or returns an error if the shapes of its factors do not match.
    pub(super) fn from_group(group: &Group, module: &Module) -> Result<Oft, LeftoverReason> {
        let blocks =
            group.get(Role::OftBlocks).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "oft_blocks" })?;
        let rescale = group.get(Role::Rescale).map(Factor::of);
        let (stages, count, size) = match blocks.shape[..] {
            [count, rows, columns] if rows == columns => (1, count, rows),
            [stages, count, rows, columns] if rows == columns && rows % 2 == 0 => (stages, count, rows),
            _ => return Err(LeftoverReason::malformed(&blocks, "must be a stack of square matrices")),
        };
        if stages > 1 && rescale.is_some() {
            return Err(LeftoverReason::UnsupportedAlgorithm("BOFT with rescale"));
        }
        let mut shape = module.weight_shape();
        let rows = count.checked_mul(size).filter(|&rows| rows > 0 && shape.len() > 1);
        shape[0] =
            rows.ok_or_else(|| LeftoverReason::malformed(&blocks, "does not cover the rows of a matrix or kernel"))?;
        if let Some(rescale) = rescale.as_ref().filter(|rescale| rescale.from_axis(0) != shape[0]) {
            return Err(LeftoverReason::malformed(rescale, "must have one element per output"));
        }
        let (alpha, is_kohya) = (group.number(Role::Alpha), group.stem.starts_with("oft_"));
        Ok(Oft { blocks, rescale, alpha, is_kohya, shape })
    }

    fn is_butterfly(&self) -> bool {
        self.blocks.shape.len() == 4
    }

    fn stages(&self) -> usize {
        if self.is_butterfly() { self.blocks.axis(0) } else { 1 }
    }

    /// Returns the rows of a block, which is square.
    fn size(&self) -> usize {
        self.blocks.shape[self.blocks.shape.len() - 1]
    }

    fn key(&self, stage: usize) -> String {
        if stage == 0 { self.blocks.key.clone() } else { format!("{}·{stage}", self.blocks.key) }
    }

    /// Returns the factor that limits ‖Q‖.
    fn q_scale(&self, blocks: &[f32]) -> f64 {
        let Some(alpha) = self.alpha.filter(|&alpha| alpha > 0.0 || self.is_kohya) else { return 1.0 };
        let (size, limit) = (self.size(), f64::from(alpha) * self.shape[0] as f64);
        let squares = blocks.chunks_exact(size * size).flat_map(|block| {
            (0..size * size).map(move |at| f64::from(block[at]) - f64::from(block[at % size * size + at / size]))
        });
        let norm = squares.map(|q| q * q).sum::<f64>().sqrt();
        if norm > limit { limit / norm } else { 1.0 }
    }

    /// Returns R − I (or its transpose, rescaled) of every block of one stage.
    fn rotated(&self, blocks: &[f32], q_scale: f64, rescale: Option<&Vec<f32>>) -> Vec<f32> {
        let size = self.size();
        let mut out = Vec::with_capacity(blocks.len());
        for (index, block) in blocks.chunks_exact(size * size).enumerate() {
            let r = cayley(block, size, q_scale);
            for row in 0..size {
                let factor = rescale.and_then(|rescale| rescale.get(index * size + row)).map_or(1.0, |&x| f64::from(x));
                for column in 0..size {
                    let at = if self.is_butterfly() { row * size + column } else { column * size + row };
                    out.push(to_f32(r[at] * factor - f64::from(u8::from(row == column))));
                }
            }
        }
        out
    }
}

/// Returns the Cayley transform (I + Q)(I − Q)⁻¹ for Q = q_scale · (B − Bᵀ): the solution of (I − Q) R = I + Q.
/// I − Q is always invertible, since Q is skew-symmetric.
fn cayley(block: &[f32], size: usize, q_scale: f64) -> Vec<f64> {
    let (mut difference, mut sum) = (Matrix::identity(size), Matrix::identity(size));
    for at in 0..size * size {
        let q = q_scale * (f64::from(block[at]) - f64::from(block[at % size * size + at / size]));
        difference.data[at] -= q;
        sum.data[at] += q;
    }
    solve(difference, sum).data
}

impl Change for Oft {
    fn algorithm(&self) -> Algorithm {
        match (self.is_butterfly(), self.is_kohya) {
            (true, _) => Algorithm::Boft,
            (false, true) => Algorithm::Oft,
            (false, false) => Algorithm::DiagOft,
        }
    }

    fn factors(&self) -> Vec<&Factor> {
        [&self.blocks].into_iter().chain(&self.rescale).collect()
    }

    /// sd-scripts' dim is the number of blocks, LyCORIS's their size.
    fn rank(&self) -> Option<usize> {
        Some(if self.is_kohya { self.blocks.axis(0) } else { self.size() })
    }

    fn alpha_rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let Some(blocks) = numbers.get(&self.blocks.key) else { return FactorData::new() };
        let q_scale = self.q_scale(blocks);
        let rescale = self.rescale.as_ref().and_then(|rescale| numbers.get(&rescale.key));
        let stages = blocks.chunks_exact(blocks.len() / self.stages());
        stages.enumerate().map(|(stage, blocks)| (self.key(stage), self.rotated(blocks, q_scale, rescale))).collect()
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let size = self.size();
        let mut value = base;
        for stage in 0..self.stages() {
            let rotation = fold.factor(&self.key(stage), &[self.shape[0] / size, size, size]);
            let stride = if self.is_butterfly() { (size / 2) << stage } else { 0 };
            let change = fold.push(Rotate { stride }, &[rotation, value])?;
            value = fold.blend(value, change)?;
        }
        Ok(value)
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cayley_transform_is_a_rotation() {
        let block = [0.3, 0.9, -0.2, 0.1, 0.5, 0.7, -0.4, 0.2, 0.0];
        let r = cayley(&block, 3, 1.0);
        for row in 0..3 {
            for other in 0..3 {
                let dot: f64 = (0..3).map(|at| r[row * 3 + at] * r[other * 3 + at]).sum();
                assert!((dot - f64::from(u8::from(row == other))).abs() < 1e-12);
            }
        }
        assert!((cayley(&[0.0, 0.5, 0.0, 0.0], 2, 1.0)[1] - 0.8).abs() < 1e-12, "tan of the half angle is 0.5");
    }
}
