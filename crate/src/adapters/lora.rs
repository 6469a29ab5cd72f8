//! Turns a low-rank pair into a change: up · down, for convolutions with a core between them.
//!
//! Hu et al. 2021 (LoRA); Yeh et al. 2023 (LoCon: convolutions, and the core of a Tucker
//! decomposition). The scale is alpha / rank. DyLoRA's files are pairs of the full rank.

use super::delta::{Change, Factor, Fold, Numbers};
use super::form::Factorization;
use super::group::Group;
use super::linear::{contracted, product_norm};
use super::read::LeftoverReason;
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::ops::Matmul;
use crate::plan::{Layout, PlanError, ValueId};

/// up · down, or up · core · down.
#[derive(Debug)]
pub struct Lora {
    /// (outputs, rank), perhaps with a 1x1 kernel.
    up: Factor,
    /// (rank, inputs), perhaps with a kernel.
    down: Factor,
    /// (up's rank, down's rank, kernel, kernel): change[o, i, h, w] = Σ up[o, m] core[m, n, h, w] down[n, i].
    mid: Option<Factor>,
}

/// The roles of a pair.
pub(super) const ROLES: &[Role] = &[Role::Up, Role::Down, Role::Mid];

impl Lora {
    /// The pair of a group, if its shapes fit each other.
    pub(super) fn from_group(group: &Group) -> Result<Lora, LeftoverReason> {
        // AdaLoRA's singular values stand between the factors.
        if group.get(Role::LoraE).is_some() {
            return Err(LeftoverReason::NotBuilt("AdaLoRA"));
        }
        let factor = |role, name| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: name });
        let (up, down) = (factor(Role::Up, "lora_up (lora_B)")?, factor(Role::Down, "lora_down (lora_A)")?);
        let core = group.get(Role::Mid).map(Factor::of);
        for factor in [&up, &down].into_iter().chain(&core) {
            if factor.shape.len() < 2 || factor.shape.contains(&0) {
                return Err(LeftoverReason::malformed(factor, "needs two axes or more, none of them empty"));
            }
        }
        if up.from_axis(2) != 1 {
            return Err(LeftoverReason::malformed(&up, "should have a 1x1 kernel"));
        }
        let (left, right) = match &core {
            Some(core) if core.shape.len() != 4 => return Err(LeftoverReason::malformed(core, "should have four axes")),
            Some(_) if down.from_axis(2) != 1 => return Err(LeftoverReason::malformed(&down, "should have a 1x1 kernel")),
            Some(core) => (core.axis(0), core.axis(1)),
            None => (down.axis(0), down.axis(0)),
        };
        if up.axis(1) != left || down.axis(0) != right {
            return Err(LeftoverReason::RankMismatch { up: up.axis(1), down: down.axis(0) });
        }
        Ok(Lora { up, down, mid: core })
    }

    /// Shape of what stands to the right of `up`: (rank, inputs), perhaps with a kernel.
    fn right_shape(&self) -> Vec<usize> {
        let kernel = &self.mid.as_ref().unwrap_or(&self.down).shape[2..];
        [&[self.up.axis(1), self.down.axis(1)], kernel].concat()
    }

    /// What stands to the right of `up`, in the file's order: down, or core · down.
    fn right(&self, numbers: &Numbers) -> Option<Vec<f32>> {
        let down = numbers.get(&self.down.key)?;
        let Some(core) = &self.mid else { return Some(down.clone()) };
        let (inner, inputs, kernel) = (self.down.axis(0), self.down.axis(1), core.from_axis(2));
        contracted(numbers.get(&core.key)?, down, inner, inputs, kernel)
    }
}

impl Change for Lora {
    fn algorithm(&self) -> &'static str {
        match &self.mid {
            Some(_) => "locon_tucker",
            None if self.down.from_axis(2) > 1 => "locon",
            None => "lora",
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

    fn prepare(&self, numbers: &Numbers, _scale: f32) -> Numbers {
        let mut prepared = Numbers::new();
        let mut put = |factor: &Factor, data: Option<Vec<f32>>| {
            data.map(|data| prepared.insert(factor.key.clone(), data));
        };
        put(&self.up, numbers.get(&self.up.key).cloned());
        put(&self.down, self.right(numbers).map(|data| Layout::Ohwi.arrange(data, &self.right_shape())));
        prepared
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let rank = self.up.axis(1);
        let up = fold.factor(&self.up.key, &[self.up.axis(0), rank]);
        let down = fold.factor(&self.down.key, &[rank, host_len(numel(&self.right_shape()[1..]))]);
        let change = fold.push(Matmul::default(), &[up, down])?;
        fold.add(base, change)
    }

    fn norm(&self, numbers: &Numbers) -> Option<f64> {
        Some(product_norm(numbers.get(&self.up.key)?, &self.right(numbers)?, self.up.axis(1)))
    }

    fn form(&self, numbers: &Numbers) -> Option<Factorization> {
        Some(Factorization::product(numbers.get(&self.up.key)?.clone(), self.right(numbers)?, self.up.axis(1)))
    }
}
