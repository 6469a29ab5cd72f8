//! GLoRA: a change that also depends on the weight, W · a1 · a2 + b1 · b2.
//!
//! Chavan et al. 2023, LyCORIS's GLoRA since its version 2: a1 (inputs, rank), a2 (rank, inputs), b1 (outputs, rank),
//! b2 (rank, inputs). Earlier files store them transposed and swapped: W · a2 · a1 + b2 · b1. The scale is
//! alpha / rank.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use crate::linalg::{Dense, kronecker};
use crate::model::spelling::Role;
use crate::ops::Matmul;
use crate::plan::{Layout, PlanError, ValueId};

/// W · inner.0 · inner.1 + outer.0 · outer.1.
#[derive(Debug)]
pub struct Glora {
    /// (inputs, rank) and (rank, inputs), applied at each kernel position.
    inner: [Factor; 2],
    /// (outputs, rank) and (rank, inputs), the latter optionally with a kernel.
    outer: [Factor; 2],
    /// Whether the file has the order of LyCORIS before version 2.
    old: bool,
}

/// Roles of the factors.
pub(super) const ROLES: &[Role] = &[Role::GloraA1, Role::GloraA2, Role::GloraB1, Role::GloraB2, Role::GloraBm];

impl Glora {
    /// Creates the change of this layer from a group in either order, or returns an error if the shapes of its factors
    /// do not match.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Glora, LeftoverReason> {
        if group.get(Role::GloraBm).is_some() {
            return Err(LeftoverReason::UnsupportedAlgorithm("GLoRA with a Tucker core"));
        }
        let factor =
            |role| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "a1, a2, b1 or b2" });
        let [a1, a2] = [factor(Role::GloraA1)?, factor(Role::GloraA2)?];
        let [b1, b2] = [factor(Role::GloraB1)?, factor(Role::GloraB2)?];
        for factor in [&a1, &a2, &b1, &b2] {
            if factor.shape.len() < 2 || factor.shape.contains(&0) {
                return Err(LeftoverReason::malformed(factor, "shape.two_axes_not_empty"));
            }
        }
        let new = Glora { inner: [a1.clone(), a2.clone()], outer: [b1.clone(), b2.clone()], old: false };
        let old = Glora { inner: [a2, a1], outer: [b2, b1], old: true };
        match (new.is_consistent(), old.is_consistent()) {
            // The transposed factors of a square layer are consistent too, with rank and width swapped.
            (true, true) if old.fits(layer) && !new.fits(layer) => Ok(old),
            (true, true) if old.fits(layer) == new.fits(layer) && old.rank() < new.rank() => Ok(old),
            (true, _) => Ok(new),
            (false, true) => Ok(old),
            _ => Err(LeftoverReason::RankMismatch { up: new.outer[0].axis(1), down: new.outer[1].axis(0) }),
        }
    }

    /// Returns whether the outputs and inputs are those of the layer.
    fn fits(&self, layer: &Layer) -> bool {
        layer.module.weight_shape().get(..2) == self.shape().get(..2)
    }

    fn is_consistent(&self) -> bool {
        let ([a1, a2], [b1, b2]) = (&self.inner, &self.outer);
        let rank = a1.axis(1);
        let ranks = [a2.axis(0), b1.axis(1), b2.axis(0)];
        let inputs = [a2.axis(1), b2.axis(1)];
        let pointwise = [a1, a2, b1].iter().all(|factor| factor.from_axis(2) == 1);
        pointwise && ranks == [rank; 3] && inputs == [a1.axis(0); 2]
    }

    /// Returns the number of kernel positions.
    fn area(&self) -> usize {
        self.outer[1].from_axis(2)
    }
}

impl Change for Glora {
    fn algorithm(&self) -> Algorithm {
        if self.old { Algorithm::GloraOld } else { Algorithm::Glora }
    }

    fn factors(&self) -> Vec<&Factor> {
        self.inner.iter().chain(&self.outer).collect()
    }

    fn rank(&self) -> Option<usize> {
        Some(self.inner[0].axis(1))
    }

    fn shape(&self) -> Vec<usize> {
        [&[self.outer[0].axis(0), self.outer[1].axis(1)], &self.outer[1].shape[2..]].concat()
    }

    /// Repeats the inner matrices block-diagonally, once per kernel position.
    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let mut prepared = FactorData::new();
        let area = self.area();
        for factor in &self.inner {
            let Some(data) = numbers.get(&factor.key) else { continue };
            let repeated = kronecker(&Dense::identity(area).data, area, data, factor.axis(0), factor.axis(1), 1);
            prepared.insert(factor.key.clone(), repeated);
        }
        for factor in &self.outer {
            let Some(data) = numbers.get(&factor.key) else { continue };
            prepared.insert(factor.key.clone(), Layout::Ohwi.arrange(data.clone(), &factor.shape));
        }
        prepared
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let product = Matmul::default();
        let (rank, area) = (self.inner[0].axis(1), self.area());
        let (inputs, outputs) = (self.outer[1].axis(1), self.outer[0].axis(0));
        let a1 = fold.factor(&self.inner[0].key, &[area * inputs, area * rank]);
        let a2 = fold.factor(&self.inner[1].key, &[area * rank, area * inputs]);
        let b1 = fold.factor(&self.outer[0].key, &[outputs, rank]);
        let b2 = fold.factor(&self.outer[1].key, &[rank, area * inputs]);
        let narrow = fold.push(product, &[base, a1])?;
        let inner = fold.push(product, &[narrow, a2])?;
        let outer = fold.push(product, &[b1, b2])?;
        let partial = fold.add(base, inner)?;
        fold.add(partial, outer)
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}
