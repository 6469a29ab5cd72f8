//! OFT and BOFT: block-diagonal rotations of a weight's rows, parametrized by skew-symmetric matrices.
//!
//! Qiu et al. 2023 (OFT; sd-scripts' and LyCORIS's Diag-OFT): Q = B − Bᵀ, R = (I + Q)(I − Q)⁻¹ and W' = RᵀW, block by
//! block. Liu et al. 2024 (BOFT): several stages, each over different rows, with R instead of Rᵀ. Strength s replaces
//! R by I + s(R − I) in every stage; the factors of `rescale` then apply in full, as in LyCORIS, unless s is 0. A
//! positive alpha limits ‖Q‖ to alpha · outputs; an alpha of 0 means no effect in files of sd-scripts and no limit in
//! files of LyCORIS.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use super::rotation::{cayley, skew};
use crate::model::spelling::Role;
use crate::num::to_f32;
use crate::ops::{Axis, Rotate, Scale};
use crate::plan::{PlanError, ValueId};

/// Rotations in one or more stages.
#[derive(Debug)]
pub struct Oft {
    /// (blocks, size, size), or (stages, blocks, size, size).
    blocks: Factor,
    /// LyCORIS: the factor of each row of the result.
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
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Oft, LeftoverReason> {
        let blocks =
            group.get(Role::OftBlocks).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "oft_blocks" })?;
        let rescale = group.get(Role::Rescale).map(Factor::of);
        let (count, size) = match blocks.shape[..] {
            [count, rows, columns] if rows == columns => (count, rows),
            [stages, count, rows, columns] if rows == columns && rows % 2 == 0 && stages > 0 => (count, rows),
            _ => return Err(LeftoverReason::malformed(&blocks, "shape.square_stack")),
        };
        let mut shape = layer.module.weight_shape();
        let rows = count.checked_mul(size).filter(|&rows| rows > 0 && shape.len() > 1);
        shape[0] = rows.ok_or_else(|| LeftoverReason::malformed(&blocks, "shape.rows"))?;
        if let Some(rescale) = rescale.as_ref().filter(|rescale| rescale.from_axis(0) != shape[0]) {
            return Err(LeftoverReason::malformed(rescale, "shape.element_per_output"));
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

    /// Returns R − I (or its transpose) of every block of one stage.
    fn rotated(&self, blocks: &[f32], q_scale: f64) -> Vec<f32> {
        let size = self.size();
        let mut out = Vec::with_capacity(blocks.len());
        for block in blocks.chunks_exact(size * size) {
            let r = cayley(&skew(block, size, q_scale)).data;
            for row in 0..size {
                for column in 0..size {
                    let at = if self.is_butterfly() { row * size + column } else { column * size + row };
                    out.push(to_f32(r[at] - f64::from(u8::from(row == column))));
                }
            }
        }
        out
    }
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
        let stages = blocks.chunks_exact(blocks.len() / self.stages()).enumerate();
        let mut prepared: FactorData =
            stages.map(|(stage, blocks)| (self.key(stage), self.rotated(blocks, q_scale))).collect();
        let rescale = self.rescale.as_ref().and_then(|rescale| Some((&rescale.key, numbers.get(&rescale.key)?)));
        prepared.extend(rescale.map(|(key, factors)| (key.clone(), factors.iter().map(|x| x - 1.0).collect())));
        prepared
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let size = self.size();
        let mut value = base;
        for stage in 0..self.stages() {
            let rotation = fold.factor(&self.key(stage), &[self.shape[0] / size, size, size]);
            let stride = if self.is_butterfly() { (size / 2) << stage } else { 0 };
            let change = fold.push(Rotate { axis: Axis::Rows, stride, area: 1 }, &[rotation, value])?;
            value = fold.blend(value, change)?;
        }
        let Some(rescale) = &self.rescale else { return Ok(value) };
        let factors = fold.factor(&rescale.key, &[self.shape[0]]);
        let change = fold.push(Scale { axis: Axis::Rows }, &[value, factors])?;
        fold.gate(value, change)
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}
