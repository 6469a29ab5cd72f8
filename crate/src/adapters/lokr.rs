//! LoKr: the Kronecker product of two small matrices.
//!
//! KronA (Edalati et al. 2022), LyCORIS's LoKr: w1 ⊗ w2, each a full matrix or a low-rank product; w2 of a
//! convolution has the kernel, optionally with a Tucker core. The scale is alpha / rank, with the rank of w2, else of
//! w1; if both are full matrices there is no rank and alpha is ignored, as in LyCORIS, ComfyUI and A1111.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use super::representation::Representation;
use super::tucker::contracted;
use crate::linalg::{Dense, Factorization, kronecker, norm, product, product_norm, transposed};
use crate::model::Kind;
use crate::model::spelling::Role;
use crate::plan::{PlanError, ValueId};

/// One of the two matrices.
#[derive(Debug)]
enum Side {
    /// (rows, columns), optionally with a kernel.
    Whole(Factor),
    /// (rows, rank) · (rank, columns · kernel²).
    Product { a: Factor, b: Factor },
    /// (rank, rows), (rank, columns) and (rank, rank, kernel, kernel).
    Tucker { a: Factor, b: Factor, mid: Factor },
}

/// w1 ⊗ w2.
#[derive(Debug)]
pub struct Lokr {
    w1: Side,
    w2: Side,
    /// (rows, columns) of w1; (rows, columns, kernel²) of w2.
    sizes: ([usize; 2], [usize; 3]),
    shape: Vec<usize>,
}

/// Roles of the factors of both matrices.
pub(super) const ROLES: &[Role] =
    &[Role::LokrW1, Role::LokrW1A, Role::LokrW1B, Role::LokrW2, Role::LokrW2A, Role::LokrW2B, Role::LokrT2];

impl Side {
    fn from_group(group: &Group, [whole, a, b]: [Role; 3], mid: Option<Role>) -> Result<Side, LeftoverReason> {
        let factor = |role| group.get(role).map(Factor::of);
        let side = match (factor(whole), factor(a), factor(b), mid.and_then(factor)) {
            (Some(whole), ..) => Side::Whole(whole),
            (None, Some(a), Some(b), Some(mid)) => Side::Tucker { a, b, mid },
            (None, Some(a), Some(b), None) => Side::Product { a, b },
            _ => return Err(LeftoverReason::Incomplete { missing: "missing.lokr" }),
        };
        for factor in side.factors() {
            if factor.shape.len() < 2 || factor.shape.contains(&0) {
                return Err(LeftoverReason::malformed(factor, "shape.two_axes_not_empty"));
            }
        }
        let (left, right) = match &side {
            Side::Whole(_) => (0, 0),
            Side::Product { a, b } => (a.axis(1), b.axis(0)),
            Side::Tucker { mid, .. } if mid.shape.len() != 4 => {
                return Err(LeftoverReason::malformed(mid, "shape.four_axes"));
            }
            Side::Tucker { a, mid, .. } if a.axis(0) != mid.axis(0) => (a.axis(0), mid.axis(0)),
            Side::Tucker { b, mid, .. } => (mid.axis(1), b.axis(0)),
        };
        if left == right { Ok(side) } else { Err(LeftoverReason::RankMismatch { up: left, down: right }) }
    }

    fn factors(&self) -> Vec<&Factor> {
        match self {
            Side::Whole(whole) => vec![whole],
            Side::Product { a, b } => vec![a, b],
            Side::Tucker { a, b, mid } => vec![a, b, mid],
        }
    }

    fn rank(&self) -> Option<usize> {
        match self {
            Side::Whole(_) => None,
            Side::Product { b, .. } | Side::Tucker { b, .. } => Some(b.axis(0)),
        }
    }

    /// Returns (rows, columns, kernel²) for a layer with this kernel size.
    fn sizes(&self, kernel: usize) -> [usize; 3] {
        match self {
            Side::Whole(whole) => [whole.axis(0), whole.axis(1), whole.from_axis(2)],
            Side::Tucker { a, b, mid } => [a.axis(1), b.axis(1), mid.from_axis(2)],
            Side::Product { a, b } => {
                let columns = b.from_axis(1);
                // A flattened kernel need not be within this side.
                let area = if columns.is_multiple_of(kernel * kernel) { kernel * kernel } else { 1 };
                [a.axis(0), columns / area, area]
            }
        }
    }

    /// Returns (rows, rank) and (rank, columns · kernel²), or `None` if the side is a full matrix.
    fn pair(&self, numbers: &FactorData) -> Option<(Vec<f32>, Vec<f32>)> {
        match self {
            Side::Whole(_) => None,
            Side::Product { a, b } => Some((numbers.get(&a.key)?.clone(), numbers.get(&b.key)?.clone())),
            Side::Tucker { a, b, mid } => {
                let (left, down) = (numbers.get(&a.key)?, numbers.get(&b.key)?);
                let right = contracted(numbers.get(&mid.key)?, down, mid.axis(1), b.axis(1), mid.from_axis(2))?;
                Some((transposed(left, a.axis(1)), right))
            }
        }
    }

    /// Returns the matrix (rows, columns · kernel²).
    fn matrix(&self, numbers: &FactorData) -> Option<Vec<f32>> {
        match self {
            Side::Whole(whole) => numbers.get(&whole.key).cloned(),
            _ => {
                let (left, right) = self.pair(numbers)?;
                Some(product(&left, &right, self.rank()?))
            }
        }
    }

    fn form(&self, numbers: &FactorData) -> Option<Factorization> {
        match self {
            Side::Whole(whole) => {
                Some(Factorization::Whole(Dense::new(numbers.get(&whole.key)?.clone(), whole.from_axis(1))))
            }
            _ => {
                let (left, right) = self.pair(numbers)?;
                let rank = left.len() / self.sizes(1)[0];
                Some(Factorization::product(left, right, rank))
            }
        }
    }

    fn norm(&self, numbers: &FactorData) -> Option<f64> {
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
    /// Creates the change of this layer from a group, or returns an error if the shapes of its factors do not match.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Lokr, LeftoverReason> {
        let kernel = if let Kind::Conv { kernel, .. } = layer.module.kind { kernel } else { 1 };
        let w1 = Side::from_group(group, [Role::LokrW1, Role::LokrW1A, Role::LokrW1B], None)?;
        let w2 = Side::from_group(group, [Role::LokrW2, Role::LokrW2A, Role::LokrW2B], Some(Role::LokrT2))?;
        let ([a, b, one], [c, d, area]) = (w1.sizes(1), w2.sizes(kernel));
        if one != 1 {
            return Err(LeftoverReason::malformed(w1.factors()[0], "shape.no_kernel"));
        }
        let (Some(rows), Some(columns)) = (a.checked_mul(c), b.checked_mul(d)) else {
            return Err(LeftoverReason::malformed(w2.factors()[0], "shape.too_large"));
        };
        let side = area.isqrt();
        // ComfyUI's training node flattens the kernel: its positions are the last of the columns.
        let shape = if area == 1 { layer.shape_of(rows, columns) } else { vec![rows, columns, side, side] };
        Ok(Lokr { w1, w2, sizes: ([a, b], [c, d, area]), shape })
    }

    /// A pair is (w1 ⊗ w2_a) · (I ⊗ w2_b), if w2 is a product.
    fn representation(&self) -> Representation {
        let ([a, b], [c, d, area]) = self.sizes;
        match self.w2.rank() {
            Some(rank) => Representation::smaller(
                a.saturating_mul(c),
                b.saturating_mul(d).saturating_mul(area),
                b.saturating_mul(rank),
            ),
            None => Representation::Whole,
        }
    }

    fn prepared(&self, numbers: &FactorData) -> Option<FactorData> {
        let ([_, b], [c, d, area]) = self.sizes;
        let w1 = self.w1.matrix(numbers)?;
        let key = &self.w1.factors()[0].key;
        Some(match self.representation() {
            Representation::Whole => {
                let w2 = self.w2.matrix(numbers)?;
                Representation::whole(key, kronecker(&w1, b, &w2, c, d, area), &self.shape)
            }
            pair @ Representation::Pair { .. } => {
                let (left, right) = self.w2.pair(numbers)?;
                let rank = self.w2.rank()?;
                let left = kronecker(&w1, b, &left, c, rank, 1);
                pair.prepare(key, left, kronecker(&Dense::identity(b).data, b, &right, rank, d, area), &self.shape)
            }
        })
    }
}

impl Change for Lokr {
    fn algorithm(&self) -> Algorithm {
        if matches!(self.w2, Side::Tucker { .. }) { Algorithm::LokrTucker } else { Algorithm::Lokr }
    }

    fn factors(&self) -> Vec<&Factor> {
        [self.w1.factors(), self.w2.factors()].concat()
    }

    fn rank(&self) -> Option<usize> {
        self.w2.rank().or(self.w1.rank())
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        self.prepared(numbers).unwrap_or_default()
    }

    fn row_factor(&self) -> Option<&str> {
        Some(&self.w1.factors()[0].key)
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        self.representation().fold(&self.w1.factors()[0].key, fold, base)
    }

    fn norm(&self, numbers: &FactorData) -> Option<f64> {
        Some(self.w1.norm(numbers)? * self.w2.norm(numbers)?)
    }

    fn form(&self, numbers: &FactorData) -> Option<Factorization> {
        Some(Factorization::Kronecker(Box::new(self.w1.form(numbers)?), Box::new(self.w2.form(numbers)?)))
    }
}
