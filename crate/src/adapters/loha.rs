//! LoHa: the Hadamard product of two low-rank products.
//!
//! FedPara (Hyeon-Woo et al. 2022), LyCORIS's LoHa: (w1_a · w1_b) ∘ (w2_a · w2_b), for convolutions optionally each
//! with a Tucker core. The scale is alpha / rank. The change is itself a product of rank r²:
//! U[i, (p, q)] = w1_a[i, p] w2_a[i, q] and V[(p, q), j] = w1_b[p, j] w2_b[q, j], from which its norm is computed, and
//! which represents it in memory if that is smaller than the full matrix.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use super::representation::Representation;
use super::tucker::{MAX_DENSE_LEN, contracted};
use crate::linalg::{Dense, Factorization, product, product_norm, transposed};
use crate::model::Kind;
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::plan::{PlanError, ValueId};

/// One of the two products.
#[derive(Debug)]
struct Side {
    /// (outputs, rank); (rank, outputs) with a Tucker core.
    a: Factor,
    /// (rank, inputs · kernel²); (rank, inputs) with a Tucker core.
    b: Factor,
    /// Tucker core (a's rank, b's rank, kernel, kernel).
    mid: Option<Factor>,
}

/// (w1_a · w1_b) ∘ (w2_a · w2_b).
#[derive(Debug)]
pub struct Loha {
    sides: [Side; 2],
    shape: Vec<usize>,
}

/// Roles of the factors of both products.
pub(super) const ROLES: &[Role] =
    &[Role::HadaW1A, Role::HadaW1B, Role::HadaW2A, Role::HadaW2B, Role::HadaT1, Role::HadaT2];

impl Side {
    fn from_group(group: &Group, [a, b, mid]: [Role; 3]) -> Result<Side, LeftoverReason> {
        let factor =
            |role| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "hada_w1/w2 factor" });
        let side = Side { a: factor(a)?, b: factor(b)?, mid: group.get(mid).map(Factor::of) };
        for factor in [&side.a, &side.b].into_iter().chain(&side.mid) {
            if factor.shape.len() < 2 || factor.shape.contains(&0) {
                return Err(LeftoverReason::malformed(factor, "shape.two_axes_not_empty"));
            }
        }
        let (left, right) = match &side.mid {
            Some(mid) if mid.shape.len() != 4 => return Err(LeftoverReason::malformed(mid, "shape.four_axes")),
            Some(mid) if side.a.axis(0) != mid.axis(0) => (side.a.axis(0), mid.axis(0)),
            Some(mid) => (mid.axis(1), side.b.axis(0)),
            None => (side.a.axis(1), side.b.axis(0)),
        };
        if left != right {
            return Err(LeftoverReason::RankMismatch { up: left, down: right });
        }
        Ok(side)
    }

    fn rank(&self) -> usize {
        if self.mid.is_some() { self.a.axis(0) } else { self.a.axis(1) }
    }

    fn outputs(&self) -> usize {
        if self.mid.is_some() { self.a.axis(1) } else { self.a.axis(0) }
    }

    /// Returns (outputs, inputs, kernel, kernel), or (outputs, inputs) for a linear layer.
    fn shape(&self, kernel: usize) -> Option<Vec<usize>> {
        let columns = self.b.from_axis(1);
        let kernel_axes = match (&self.mid, kernel) {
            (Some(mid), _) => return Some(vec![self.outputs(), columns, mid.axis(2), mid.axis(3)]),
            (None, 1) => vec![],
            (None, kernel) => vec![kernel, kernel],
        };
        let inputs = columns.is_multiple_of(kernel * kernel).then_some(columns / (kernel * kernel))?;
        Some([vec![self.outputs(), inputs], kernel_axes].concat())
    }

    /// Returns (outputs, rank) and (rank, inputs · kernel²), in the file's axis order.
    fn pair(&self, numbers: &FactorData) -> Option<(Vec<f32>, Vec<f32>)> {
        let (a, b) = (numbers.get(&self.a.key)?, numbers.get(&self.b.key)?);
        Some(match &self.mid {
            None => (a.clone(), b.clone()),
            Some(mid) => {
                let right = contracted(numbers.get(&mid.key)?, b, mid.axis(1), self.b.axis(1), mid.from_axis(2))?;
                (transposed(a, self.a.axis(1)), right)
            }
        })
    }
}

impl Loha {
    /// Creates the change of this layer from a group, or returns an error if the shapes of its factors do not match.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Loha, LeftoverReason> {
        let kernel = if let Kind::Conv { kernel, .. } = layer.module.kind { kernel } else { 1 };
        let first = Side::from_group(group, [Role::HadaW1A, Role::HadaW1B, Role::HadaT1])?;
        let second = Side::from_group(group, [Role::HadaW2A, Role::HadaW2B, Role::HadaT2])?;
        match (first.shape(kernel), second.shape(kernel)) {
            (Some(shape), Some(other)) if shape == other => Ok(Loha { sides: [first, second], shape }),
            _ => Err(LeftoverReason::malformed(&second.b, "shape.other_product")),
        }
    }

    fn columns(&self) -> usize {
        host_len(numel(&self.shape[1..]))
    }

    /// Returns r², the rank of the change as one product.
    fn squared_rank(&self) -> usize {
        self.sides[0].rank().saturating_mul(self.sides[1].rank())
    }

    fn representation(&self) -> Representation {
        Representation::smaller(self.shape[0], self.columns(), self.squared_rank())
    }

    /// Returns U and V.
    fn squared(&self, numbers: &FactorData) -> Option<(Vec<f32>, Vec<f32>)> {
        let [(a1, b1), (a2, b2)] = [self.sides[0].pair(numbers)?, self.sides[1].pair(numbers)?];
        let ranks = [self.sides[0].rank(), self.sides[1].rank()];
        let rows = a1.chunks_exact(ranks[0]).zip(a2.chunks_exact(ranks[1]));
        let left = rows.flat_map(|(a1, a2)| a1.iter().flat_map(move |x| a2.iter().map(move |y| x * y))).collect();
        let columns = self.columns();
        let mut right = Vec::with_capacity(ranks[0] * ranks[1] * columns);
        for b1 in b1.chunks_exact(columns) {
            for b2 in b2.chunks_exact(columns) {
                right.extend(b1.iter().zip(b2).map(|(x, y)| x * y));
            }
        }
        Some((left, right))
    }

    /// Calls `visit` with each row of the change in turn, without holding the full matrix.
    fn rows(&self, numbers: &FactorData, mut visit: impl FnMut(Vec<f32>)) -> Option<()> {
        let [(a1, b1), (a2, b2)] = [self.sides[0].pair(numbers)?, self.sides[1].pair(numbers)?];
        let ranks = [self.sides[0].rank(), self.sides[1].rank()];
        for (a1, a2) in a1.chunks_exact(ranks[0]).zip(a2.chunks_exact(ranks[1])) {
            let (x, y) = (product(a1, &b1, ranks[0]), product(a2, &b2, ranks[1]));
            visit(x.iter().zip(&y).map(|(x, y)| x * y).collect());
        }
        Some(())
    }
}

impl Change for Loha {
    fn algorithm(&self) -> Algorithm {
        if self.sides[0].mid.is_some() { Algorithm::LohaTucker } else { Algorithm::Loha }
    }

    fn factors(&self) -> Vec<&Factor> {
        self.sides.iter().flat_map(|side| [&side.a, &side.b].into_iter().chain(&side.mid)).collect()
    }

    fn rank(&self) -> Option<usize> {
        Some(self.sides[0].b.axis(0))
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let key = &self.sides[0].a.key;
        match self.representation() {
            pair @ Representation::Pair { .. } => match self.squared(numbers) {
                Some((left, right)) => pair.prepare(key, left, right, &self.shape),
                None => FactorData::new(),
            },
            Representation::Whole => {
                let mut matrix = Vec::with_capacity(host_len(numel(&self.shape)));
                match self.rows(numbers, |row| matrix.extend(row)) {
                    Some(()) => Representation::whole(key, matrix, &self.shape),
                    None => FactorData::new(),
                }
            }
        }
    }

    fn row_factor(&self) -> Option<&str> {
        Some(&self.sides[0].a.key)
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        self.representation().fold(&self.sides[0].a.key, fold, base)
    }

    fn norm(&self, numbers: &FactorData) -> Option<f64> {
        let (outputs, columns) = (self.shape[0], self.columns());
        let (rank, ranks) = (self.squared_rank(), self.sides[0].rank() + self.sides[1].rank());
        let by_rows = outputs as f64 * columns as f64 * ranks as f64;
        let by_grams = (rank as f64).powi(2) * (outputs + columns) as f64;
        if by_grams < by_rows && rank.saturating_mul(outputs + columns) <= MAX_DENSE_LEN {
            let (left, right) = self.squared(numbers)?;
            return Some(product_norm(&left, &right, rank));
        }
        let mut sum = 0.0;
        self.rows(numbers, |row| sum += row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>())?;
        Some(sum.sqrt())
    }

    /// Returns the product of rank r², or the full matrix if that is smaller.
    fn form(&self, numbers: &FactorData) -> Option<Factorization> {
        if let Representation::Pair { rank } = self.representation() {
            let (left, right) = self.squared(numbers)?;
            return Some(Factorization::product(left, right, rank));
        }
        let count = self.shape[0].checked_mul(self.columns()).filter(|&count| count <= 2 * MAX_DENSE_LEN)?;
        let mut matrix = Vec::with_capacity(count);
        self.rows(numbers, |row| matrix.extend(row))?;
        Some(Factorization::Whole(Dense::new(matrix, self.columns())))
    }
}
