//! OFT v2: block-diagonal rotations of a layer's inputs, stored as the elements above the diagonal of skew-symmetric
//! matrices.
//!
//! Qiu et al. 2025 (OFT v2), PEFT's and OneTrainer's OFT: W' = W · Rᵀ, where R is (I − Q)(I + Q)⁻¹, or by default its
//! Neumann series of five terms in −Q (see [`cayley_neumann`]). OneTrainer computes W · R for convolutions. A
//! convolution's weight is the matrix (outputs, inputs · kernel²). PEFT's constraint (coft) limits each ‖Q‖ to
//! eps / √blocks, and a single block may be shared. PEFT has no strength for it; here, strength s gives
//! W + s · (W' − W).

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use super::rotation::{cayley, cayley_neumann, skew_of_triangle};
use crate::linalg::Matrix;
use crate::model::spelling::Role;
use crate::num::{host_len, numel, to_f32};
use crate::ops::{Axis, Rotate};
use crate::plan::{PlanError, ValueId};

/// Rotations of blocks of inputs.
#[derive(Debug)]
pub(super) struct OftV2 {
    /// (blocks, size · (size − 1) / 2).
    triangles: Factor,
    size: usize,
    /// Number of blocks of the layer; the file may have one that they share.
    blocks: usize,
    /// Number of terms of the Neumann series; `None` for the Cayley transform itself.
    terms: Option<usize>,
    /// Limit of each ‖Q‖.
    limit: Option<f64>,
    is_transposed: bool,
    /// Factor of the elements: OneTrainer marks files whose elements are √(size · (size − 1) / 2) times those of Q.
    mark: f32,
    shape: Vec<usize>,
}

/// Roles of the factor, and of the mark of a variant.
pub(super) const ROLES: &[Role] = &[Role::OftR, Role::OftScaled];

/// PEFT's default number of terms, which OneTrainer always uses.
const TERMS: usize = 5;

impl OftV2 {
    /// Creates the change of this layer from a group, or returns an error if the shape of its factor does not match.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<OftV2, LeftoverReason> {
        let triangles = group.get(Role::OftR).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "oft_R" })?;
        let shape = layer.module.weight_shape();
        let &[stored, elements] = &*triangles.shape else {
            return Err(LeftoverReason::malformed(&triangles, "shape.two_axes"));
        };
        let size = (1..=elements.min(1 << 16) + 1).find(|size| size * (size - 1) / 2 >= elements);
        let Some(size) = size.filter(|size| elements > 0 && size * (size - 1) / 2 == elements) else {
            return Err(LeftoverReason::malformed(&triangles, "shape.triangles"));
        };
        // One block may be shared by the whole layer; several tell its columns.
        let of_layer = host_len(numel(shape.get(1..).unwrap_or_default()));
        let columns = if stored == 1 { Some(of_layer) } else { stored.checked_mul(size) };
        let columns = columns.filter(|columns| columns.is_multiple_of(size));
        let Some((columns, shape)) = columns.and_then(|columns| Some((columns, layer.shape_with_columns(columns)?)))
        else {
            return Err(LeftoverReason::malformed(&triangles, "shape.columns"));
        };
        let blocks = columns / size;
        let is_peft = group.stem.starts_with("base_model.") || group.stem.contains(".base_model.");
        let config = layer.config;
        let terms = config.and_then(|config| config.num_cayley_neumann_terms).unwrap_or(TERMS);
        let is_exact = config.is_some_and(|config| config.use_cayley_neumann == Some(false));
        let limit = config.filter(|config| config.coft == Some(true)).and_then(|config| config.eps);
        Ok(OftV2 {
            triangles,
            size,
            blocks,
            terms: Some(terms).filter(|_| !is_exact),
            limit: limit.map(|eps| eps / (stored as f64).sqrt()),
            is_transposed: !is_peft && shape.len() > 2,
            mark: group.get(Role::OftScaled).map_or(1.0, |_| to_f32(1.0 / (elements as f64).sqrt())),
            shape,
        })
    }

    /// Returns R of one block.
    fn rotation(&self, triangle: &[f32]) -> Matrix {
        let mut q = skew_of_triangle(triangle, self.size, self.mark.into());
        let norm = q.data.iter().map(|x| x * x).sum::<f64>().sqrt();
        if let Some(limit) = self.limit.filter(|&limit| norm > limit) {
            q.data.iter_mut().for_each(|x| *x *= limit / norm);
        }
        match self.terms {
            Some(terms) => cayley_neumann(&q, terms),
            None => {
                q.data.iter_mut().for_each(|x| *x = -*x);
                cayley(&q)
            }
        }
    }
}

impl Change for OftV2 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::OftV2
    }

    fn factors(&self) -> Vec<&Factor> {
        vec![&self.triangles]
    }

    /// The size of a block.
    fn rank(&self) -> Option<usize> {
        Some(self.size)
    }

    fn alpha_rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn mark(&self) -> f32 {
        self.mark
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let Some(triangles) = numbers.get(&self.triangles.key) else { return FactorData::new() };
        let mut blocks = Vec::with_capacity(self.blocks * self.size * self.size);
        for triangle in triangles.chunks_exact(self.triangles.axis(1)) {
            let r = self.rotation(triangle);
            let r = if self.is_transposed { r.transposed() } else { r };
            let identity = Matrix::identity(self.size);
            blocks.extend(r.data.iter().zip(&identity.data).map(|(x, one)| to_f32(x - one)));
        }
        let shared = if self.triangles.axis(0) == self.blocks { 1 } else { self.blocks };
        FactorData::from([(self.triangles.key.clone(), blocks.repeat(shared))])
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let rotations = fold.factor(&self.triangles.key, &[self.blocks, self.size, self.size]);
        let area = host_len(numel(&self.shape[2..]));
        let change = fold.push(Rotate { axis: Axis::Columns, stride: 0, area }, &[rotations, base])?;
        fold.blend(base, change)
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}
