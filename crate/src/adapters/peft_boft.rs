//! PEFT's BOFT: rotations of a layer's inputs in one or more stages, then factors of its outputs.
//!
//! Liu et al. 2024 (BOFT), PEFT's BOFT: W' = s ∘ (W · M_1ᵀ · … · M_nᵀ), with the Cayley transform of (Bᵀ − B) / 2 in
//! each block. A stage of the butterfly pairs halves of two blocks. A convolution's weight is the matrix (outputs,
//! inputs · kernel²). PEFT has no strength for it; here, strength s gives W + s · (W' − W).

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use super::rotation::{cayley, skew};
use crate::model::spelling::Role;
use crate::num::{host_len, numel, to_f32};
use crate::ops::{Axis, Rotate, Scale};
use crate::plan::{PlanError, ValueId};

/// Rotations and factors.
#[derive(Debug)]
pub(super) struct PeftBoft {
    /// (stages, blocks, size, size).
    blocks: Factor,
    /// One factor per output.
    factors: Factor,
    shape: Vec<usize>,
}

/// Roles of the factors.
pub(super) const ROLES: &[Role] = &[Role::BoftR, Role::BoftS];

impl PeftBoft {
    /// Creates the change of this layer from a group, or returns an error if the shapes of its factors do not match.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<PeftBoft, LeftoverReason> {
        let factor = |role, name| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: name });
        let (blocks, factors) = (factor(Role::BoftR, "boft_R")?, factor(Role::BoftS, "boft_s")?);
        let (stages, count, size) = match blocks.shape[..] {
            [stages, count, rows, columns] if rows == columns && stages > 0 => (stages, count, rows),
            _ => return Err(LeftoverReason::malformed(&blocks, "shape.square_stages")),
        };
        let columns = count.checked_mul(size).unwrap_or(0);
        // The last stage mixes 2 to the power of its index blocks.
        let chunk = u32::try_from(stages - 1).ok().and_then(|stage| size.checked_shl(stage));
        let divides = chunk.is_some_and(|chunk| chunk >= size && columns.is_multiple_of(chunk.max(1)));
        let is_even = stages == 1 || size.is_multiple_of(2);
        let Some(mut shape) = layer.shape_with_columns(columns).filter(|_| divides && is_even) else {
            return Err(LeftoverReason::malformed(&blocks, "shape.columns"));
        };
        shape[0] = factors.from_axis(0);
        Ok(PeftBoft { blocks, factors, shape })
    }

    fn stages(&self) -> usize {
        self.blocks.axis(0)
    }

    fn size(&self) -> usize {
        self.blocks.axis(2)
    }

    fn key(&self, stage: usize) -> String {
        if stage == 0 { self.blocks.key.clone() } else { format!("{}·{stage}", self.blocks.key) }
    }

    /// Returns the row of a block at this index of [`Rotate`]'s order, which alternates between a block's halves.
    fn row(&self, index: usize) -> usize {
        if self.stages() == 1 { index } else { index % 2 * (self.size() / 2) + index / 2 }
    }

    /// Returns M − I of each block of a stage.
    fn rotations(&self, blocks: &[f32]) -> Vec<f32> {
        let size = self.size();
        let mut out = Vec::with_capacity(blocks.len());
        for block in blocks.chunks_exact(size * size) {
            let m = cayley(&skew(block, size, -0.5));
            for (row, column) in (0..size * size).map(|at| (self.row(at / size), self.row(at % size))) {
                out.push(to_f32(m.data[row * size + column] - f64::from(u8::from(row == column))));
            }
        }
        out
    }
}

impl Change for PeftBoft {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Boft
    }

    fn factors(&self) -> Vec<&Factor> {
        vec![&self.blocks, &self.factors]
    }

    /// The size of a block.
    fn rank(&self) -> Option<usize> {
        Some(self.size())
    }

    fn alpha_rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let (Some(blocks), Some(factors)) = (numbers.get(&self.blocks.key), numbers.get(&self.factors.key)) else {
            return FactorData::new();
        };
        let stages = blocks.chunks_exact(blocks.len() / self.stages()).enumerate();
        let mut prepared: FactorData =
            stages.map(|(stage, blocks)| (self.key(stage), self.rotations(blocks))).collect();
        prepared.insert(self.factors.key.clone(), factors.iter().map(|x| x - 1.0).collect());
        prepared
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let (size, columns) = (self.size(), host_len(numel(&self.shape[1..])));
        let area = host_len(numel(&self.shape[2..]));
        let factors = fold.factor(&self.factors.key, &[self.shape[0]]);
        let (mut value, mut total) = (base, None);
        for stage in 0..=self.stages() {
            let change = if stage < self.stages() {
                let rotations = fold.factor(&self.key(stage), &[columns / size, size, size]);
                let stride = if self.stages() == 1 { 0 } else { (size / 2) << stage };
                fold.push(Rotate { axis: Axis::Columns, stride, area }, &[rotations, value])?
            } else {
                fold.push(Scale { axis: Axis::Rows }, &[value, factors])?
            };
            let mut whole = fold.at_full_strength();
            total = Some(match total {
                Some(total) => whole.blend(total, change)?,
                None => change,
            });
            if stage < self.stages() {
                value = whole.blend(value, change)?;
            }
        }
        match total {
            Some(total) => fold.blend(base, total),
            None => Ok(base),
        }
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}
