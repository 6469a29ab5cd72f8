//! Turns two small matrices into a change: their Kronecker product.
//!
//! KronA (Edalati et al. 2022), LyCORIS's LoKr: w1 ⊗ w2, each whole or a low-rank product; w2 of
//! a convolution has the kernel, and perhaps a core. The scale is alpha / rank, where the rank is
//! w2's, else w1's; where both are whole there is none and alpha is ignored, as in LyCORIS,
//! ComfyUI and A1111.

use super::delta::{Change, Factor, Fold, Numbers};
use super::form::{Dense, Factorization};
use super::group::Group;
use super::linear::{Representation, contracted, identity, kronecker, norm, product, product_norm, transposed};
use super::read::LeftoverReason;
use crate::model::spelling::Role;
use crate::model::{Kind, Module};
use crate::plan::{PlanError, ValueId};

/// One of the two matrices.
#[derive(Debug)]
enum Side {
    /// (rows, columns), perhaps with a kernel.
    Whole(Factor),
    /// (rows, rank) · (rank, columns · kernel²).
    Product { a: Factor, b: Factor },
    /// (rank, rows), (rank, columns) and (rank, rank, kernel, kernel).
    Core { a: Factor, b: Factor, core: Factor },
}

/// w1 ⊗ w2.
#[derive(Debug)]
pub struct Lokr {
    first: Side,
    second: Side,
    /// (rows, columns) of w1, and of w2 with the kernel's area last.
    sizes: ([usize; 2], [usize; 3]),
    shape: Vec<usize>,
}

/// The roles of both matrices.
pub(super) const ROLES: &[Role] =
    &[Role::LokrW1, Role::LokrW1A, Role::LokrW1B, Role::LokrW2, Role::LokrW2A, Role::LokrW2B, Role::LokrT2];

impl Side {
    fn from_group(group: &Group, [whole, a, b]: [Role; 3], core: Option<Role>) -> Result<Side, LeftoverReason> {
        let factor = |role| group.get(role).map(Factor::of);
        let side = match (factor(whole), factor(a), factor(b), core.and_then(factor)) {
            (Some(whole), ..) => Side::Whole(whole),
            (None, Some(a), Some(b), Some(core)) => Side::Core { a, b, core },
            (None, Some(a), Some(b), None) => Side::Product { a, b },
            _ => return Err(LeftoverReason::Incomplete { missing: "lokr_w1 or lokr_w2 factor" }),
        };
        for factor in side.factors() {
            if factor.shape.len() < 2 || factor.shape.contains(&0) {
                return Err(LeftoverReason::malformed(factor, "needs two axes or more, none of them empty"));
            }
        }
        let (left, right) = match &side {
            Side::Whole(_) => (0, 0),
            Side::Product { a, b } => (a.axis(1), b.axis(0)),
            Side::Core { core, .. } if core.shape.len() != 4 => {
                return Err(LeftoverReason::malformed(core, "should have four axes"));
            }
            Side::Core { a, core, .. } if a.axis(0) != core.axis(0) => (a.axis(0), core.axis(0)),
            Side::Core { b, core, .. } => (core.axis(1), b.axis(0)),
        };
        if left == right { Ok(side) } else { Err(LeftoverReason::RankMismatch { up: left, down: right }) }
    }

    fn factors(&self) -> Vec<&Factor> {
        match self {
            Side::Whole(whole) => vec![whole],
            Side::Product { a, b } => vec![a, b],
            Side::Core { a, b, core } => vec![a, b, core],
        }
    }

    fn rank(&self) -> Option<usize> {
        match self {
            Side::Whole(_) => None,
            Side::Product { b, .. } | Side::Core { b, .. } => Some(b.axis(0)),
        }
    }

    /// (rows, columns, kernel²) for a layer with this kernel.
    fn sizes(&self, kernel: usize) -> Option<[usize; 3]> {
        match self {
            Side::Whole(whole) => Some([whole.axis(0), whole.axis(1), whole.from_axis(2)]),
            Side::Core { a, b, core } => Some([a.axis(1), b.axis(1), core.from_axis(2)]),
            Side::Product { a, b } => {
                let (columns, area) = (b.from_axis(1), kernel * kernel);
                columns.is_multiple_of(area).then_some([a.axis(0), columns / area, area])
            }
        }
    }

    /// (rows, rank) and (rank, columns · kernel²), where the side is a product.
    fn pair(&self, numbers: &Numbers) -> Option<(Vec<f32>, Vec<f32>)> {
        match self {
            Side::Whole(_) => None,
            Side::Product { a, b } => Some((numbers.get(&a.key)?.clone(), numbers.get(&b.key)?.clone())),
            Side::Core { a, b, core } => {
                let (left, down) = (numbers.get(&a.key)?, numbers.get(&b.key)?);
                let right = contracted(numbers.get(&core.key)?, down, core.axis(1), b.axis(1), core.from_axis(2))?;
                Some((transposed(left, a.axis(1)), right))
            }
        }
    }

    /// The matrix (rows, columns · kernel²).
    fn matrix(&self, numbers: &Numbers) -> Option<Vec<f32>> {
        match self {
            Side::Whole(whole) => numbers.get(&whole.key).cloned(),
            _ => {
                let (left, right) = self.pair(numbers)?;
                Some(product(&left, &right, self.rank()?))
            }
        }
    }

    fn form(&self, numbers: &Numbers) -> Option<Factorization> {
        match self {
            Side::Whole(whole) => Some(Factorization::Whole(Dense::new(numbers.get(&whole.key)?.clone(), whole.from_axis(1)))),
            _ => {
                let (left, right) = self.pair(numbers)?;
                let rank = left.len() / self.sizes(1)?[0];
                Some(Factorization::product(left, right, rank))
            }
        }
    }

    fn norm(&self, numbers: &Numbers) -> Option<f64> {
        match self {
            Side::Whole(whole) => Some(norm(numbers.get(&whole.key)?)),
            _ => {
                let (left, right) = self.pair(numbers)?;
                Some(product_norm(&left, &right, self.rank()?))
            }
        }
    }
}

impl Lokr {
    /// Both matrices of a group for this layer, if their shapes fit each other.
    pub(super) fn recognise(group: &Group, module: &Module) -> Result<Lokr, LeftoverReason> {
        let kernel = if let Kind::Conv { kernel, .. } = module.kind { kernel } else { 1 };
        let first = Side::from_group(group, [Role::LokrW1, Role::LokrW1A, Role::LokrW1B], None)?;
        let second = Side::from_group(group, [Role::LokrW2, Role::LokrW2A, Role::LokrW2B], Some(Role::LokrT2))?;
        let (Some([a, b, 1]), Some([c, d, area])) = (first.sizes(1), second.sizes(kernel)) else {
            let factor = second.factors()[0];
            return Err(LeftoverReason::malformed(factor, "does not divide into the layer's kernel"));
        };
        let (Some(rows), Some(columns)) = (a.checked_mul(c), b.checked_mul(d)) else {
            return Err(LeftoverReason::malformed(second.factors()[0], "makes a product larger than any layer"));
        };
        let side = area.isqrt();
        let kernel_axes = if area == 1 { vec![] } else { vec![side, side] };
        Ok(Lokr { first, second, sizes: ([a, b], [c, d, area]), shape: [vec![rows, columns], kernel_axes].concat() })
    }

    /// As a product: (w1 ⊗ w2_a) · (I ⊗ w2_b), where w2 is one.
    fn held(&self) -> Representation {
        let ([a, b], [c, d, area]) = self.sizes;
        match self.second.rank() {
            Some(rank) => {
                Representation::smaller(a.saturating_mul(c), b.saturating_mul(d).saturating_mul(area), b.saturating_mul(rank))
            }
            None => Representation::Whole,
        }
    }

    fn prepared(&self, numbers: &Numbers) -> Option<Numbers> {
        let ([_, b], [c, d, area]) = self.sizes;
        let first = self.first.matrix(numbers)?;
        let key = &self.first.factors()[0].key;
        Some(match self.held() {
            Representation::Whole => {
                let second = self.second.matrix(numbers)?;
                Representation::whole(key, kronecker(&first, b, &second, c, d, area), &self.shape)
            }
            held @ Representation::Pair { .. } => {
                let (left, right) = self.second.pair(numbers)?;
                let rank = self.second.rank()?;
                let left = kronecker(&first, b, &left, c, rank, 1);
                held.prepare(key, left, kronecker(&identity(b), b, &right, rank, d, area), &self.shape)
            }
        })
    }
}

impl Change for Lokr {
    fn algorithm(&self) -> &'static str {
        if matches!(self.second, Side::Core { .. }) { "lokr_tucker" } else { "lokr" }
    }

    fn factors(&self) -> Vec<&Factor> {
        [self.first.factors(), self.second.factors()].concat()
    }

    fn rank(&self) -> Option<usize> {
        self.second.rank().or(self.first.rank())
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn prepare(&self, numbers: &Numbers, _scale: f32) -> Numbers {
        self.prepared(numbers).unwrap_or_default()
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        self.held().fold(&self.first.factors()[0].key, fold, base)
    }

    fn norm(&self, numbers: &Numbers) -> Option<f64> {
        Some(self.first.norm(numbers)? * self.second.norm(numbers)?)
    }

    fn form(&self, numbers: &Numbers) -> Option<Factorization> {
        Some(Factorization::Kronecker(Box::new(self.first.form(numbers)?), Box::new(self.second.form(numbers)?)))
    }
}
