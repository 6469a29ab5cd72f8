//! LoRA: the product up · down, for convolutions optionally with a Tucker core between them.
//!
//! Hu et al. 2021 (LoRA); Yeh et al. 2023 (LoCon: convolutions, and the core of a Tucker decomposition). The scale
//! is alpha / rank. DyLoRA files hold pairs of the full rank. ComfyUI's training node flattens a convolution's kernel.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use super::tucker::contracted;
use crate::linalg::{Factorization, product_norm};
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::ops::Matmul;
use crate::plan::{Layout, PlanError, ValueId};

/// up · down, or up · mid · down.
#[derive(Debug)]
pub struct Lora {
    /// (outputs, rank), optionally with a 1x1 kernel.
    up: Factor,
    /// (rank, inputs), optionally with a kernel.
    down: Factor,
    /// The kernel's axes, if the change is one of a convolution.
    kernel: Vec<usize>,
    /// (up's rank, down's rank, kernel, kernel): change[o, i, h, w] = Σ up[o, m] mid[m, n, h, w] down[n, i].
    mid: Option<Factor>,
}

/// Roles of the factors.
pub(super) const ROLES: &[Role] = &[Role::Up, Role::Down, Role::Mid, Role::LoraE];

impl Lora {
    /// Creates the change of this layer from a group, or returns an error if the shapes of its factors do not match.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Lora, LeftoverReason> {
        let factor = |role, name| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: name });
        let (up, down) = (factor(Role::Up, "lora_up (lora_B)")?, factor(Role::Down, "lora_down (lora_A)")?);
        let mid = group.get(Role::Mid).map(Factor::of);
        for factor in [&up, &down].into_iter().chain(&mid) {
            if factor.shape.len() < 2 || factor.shape.contains(&0) {
                return Err(LeftoverReason::malformed(factor, "shape.two_axes_not_empty"));
            }
        }
        if up.from_axis(2) != 1 {
            return Err(LeftoverReason::malformed(&up, "shape.kernel_1x1"));
        }
        let (left, right) = match &mid {
            Some(mid) if mid.shape.len() != 4 => return Err(LeftoverReason::malformed(mid, "shape.four_axes")),
            Some(_) if down.from_axis(2) != 1 => {
                return Err(LeftoverReason::malformed(&down, "shape.kernel_1x1"));
            }
            Some(mid) => (mid.axis(0), mid.axis(1)),
            None => (down.axis(0), down.axis(0)),
        };
        if up.axis(1) != left || down.axis(0) != right {
            return Err(LeftoverReason::RankMismatch { up: up.axis(1), down: down.axis(0) });
        }
        let kernel = match &mid {
            Some(mid) => mid.shape[2..].to_vec(),
            None if down.shape.len() == 2 => layer.shape_of(up.axis(0), down.axis(1))[2..].to_vec(),
            None => down.shape[2..].to_vec(),
        };
        Ok(Lora { up, down, kernel, mid })
    }

    /// Returns the shape of the right factor: (rank, inputs), optionally with a kernel.
    fn right_shape(&self) -> Vec<usize> {
        let area = host_len(numel(&self.kernel));
        let inputs = if self.mid.is_some() { self.down.axis(1) } else { self.down.from_axis(1) / area.max(1) };
        [&[self.up.axis(1), inputs], &*self.kernel].concat()
    }

    /// Returns the right factor in the file's axis order: down, or mid · down.
    fn right(&self, numbers: &FactorData) -> Option<Vec<f32>> {
        let down = numbers.get(&self.down.key)?;
        let Some(mid) = &self.mid else { return Some(down.clone()) };
        let (inner, inputs, kernel) = (self.down.axis(0), self.down.axis(1), mid.from_axis(2));
        contracted(numbers.get(&mid.key)?, down, inner, inputs, kernel)
    }
}

impl Change for Lora {
    fn algorithm(&self) -> Algorithm {
        match &self.mid {
            Some(_) => Algorithm::LoconTucker,
            None if numel(&self.kernel) > 1 => Algorithm::Locon,
            None => Algorithm::Lora,
        }
    }

    fn factors(&self) -> Vec<&Factor> {
        [&self.up, &self.down].into_iter().chain(&self.mid).collect()
    }

    fn rank(&self) -> Option<usize> {
        Some(self.down.axis(0))
    }

    fn shape(&self) -> Vec<usize> {
        let mut shape = self.right_shape();
        shape[0] = self.up.axis(0);
        shape
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let mut prepared = FactorData::new();
        let mut put = |factor: &Factor, data: Option<Vec<f32>>| {
            data.map(|data| prepared.insert(factor.key.clone(), data));
        };
        put(&self.up, numbers.get(&self.up.key).cloned());
        put(&self.down, self.right(numbers).map(|data| Layout::Ohwi.arrange(data, &self.right_shape())));
        prepared
    }

    fn row_factor(&self) -> Option<&str> {
        Some(&self.up.key)
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let (rows, rank) = (fold.builder.shape(base)[0], self.up.axis(1));
        let up = fold.factor(&self.up.key, &[rows, rank]);
        let down = fold.factor(&self.down.key, &[rank, host_len(numel(&self.right_shape()[1..]))]);
        let change = fold.push(Matmul::default(), &[up, down])?;
        fold.add(base, change)
    }

    fn norm(&self, numbers: &FactorData) -> Option<f64> {
        Some(product_norm(numbers.get(&self.up.key)?, &self.right(numbers)?, self.up.axis(1)))
    }

    fn form(&self, numbers: &FactorData) -> Option<Factorization> {
        Some(Factorization::product(numbers.get(&self.up.key)?.clone(), self.right(numbers)?, self.up.axis(1)))
    }
}
