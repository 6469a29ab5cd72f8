//! LoRA pairs (up and down) computed from changes of other algorithms.

use super::draft::{Origin, TensorGroup, TensorSpec, is_exact, writable};
use super::error::EditError;
use super::names::{Target, suffix};
use super::open::Opened;
use crate::adapters::{Algorithm, Delta, Part};
use crate::analysis::Spectrum;
use crate::formats::Dtype;
use crate::linalg::{Factorization, LowRank};
use crate::model::spelling::Role;
use crate::model::{Component, Kind, Module};
use crate::sentence::sentence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// Rule for the rank that a layer is truncated to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum RankRule {
    /// This rank, limited by the layer's own.
    Fixed(usize),
    /// The smallest rank that keeps this share of the energy Σσ².
    Energy(f64),
    /// Number of singular values that are at least this share of the largest.
    Ratio(f64),
}

/// Checks that a requested rank is not 0.
pub(super) fn check_rank(rank: Option<usize>) -> Result<Option<usize>, EditError> {
    if rank == Some(0) { Err(EditError::NoRank) } else { Ok(rank) }
}

impl RankRule {
    /// Returns the rule if its parameter is valid.
    pub(super) fn checked(self) -> Result<RankRule, EditError> {
        match self {
            RankRule::Fixed(0) => Err(EditError::NoRank),
            RankRule::Energy(share) | RankRule::Ratio(share) if !(share > 0.0 && share <= 1.0) => {
                Err(EditError::NoShare(share))
            }
            rule => Ok(rule),
        }
    }

    /// Returns the rank of the rule that is one.
    pub(super) fn fixed(self) -> Option<usize> {
        if let RankRule::Fixed(rank) = self { Some(rank) } else { None }
    }

    /// Returns the rank for a change with this spectrum, at least 1.
    pub fn rank(self, spectrum: &Spectrum) -> usize {
        match self {
            RankRule::Fixed(rank) => rank.min(spectrum.values.len()).max(1),
            RankRule::Energy(share) => spectrum.rank_for_energy(share),
            RankRule::Ratio(ratio) => spectrum.rank_for_ratio(ratio),
        }
    }
}

/// The part of a layer's change that is kept at its new rank.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct KeptRow {
    /// Layer path.
    pub path: String,
    /// Rank before, if the algorithm has one.
    pub rank_before: Option<usize>,
    /// Rank after.
    pub rank: usize,
    /// Frobenius norm before.
    pub norm: f64,
    /// Share of the energy Σσ² that is kept: 1 − (error / norm)².
    pub energy: f64,
    /// Frobenius norm of the truncation error.
    pub error: f64,
}

impl KeptRow {
    /// Creates the row of a layer with this spectrum at this rank.
    pub(super) fn new(path: String, rank_before: Option<usize>, rank: usize, spectrum: &Spectrum) -> KeptRow {
        let error = spectrum.values.iter().skip(rank).map(|value| value * value).sum::<f64>().sqrt();
        KeptRow { path, rank_before, rank, norm: spectrum.frobenius(), energy: spectrum.energy_kept(rank), error }
    }

    /// Creates the row of `scale` times a matrix at a rank at which it is exact or approximated; an error if an element is not
    /// finite.
    pub(super) fn of_matrix(
        path: String,
        rank_before: Option<usize>,
        (rank, exact): (usize, bool),
        matrix: &Factorization,
        scale: f32,
    ) -> Result<KeptRow, EditError> {
        let (scale, norm) = (f64::from(scale).abs(), matrix.norm());
        if !(scale * norm).is_finite() {
            return Err(EditError::NotFinite { layer: path });
        }
        if exact {
            return Ok(KeptRow { path, rank_before, rank, norm: scale * norm, energy: 1.0, error: 0.0 });
        }
        let mut low_rank = LowRank::of(matrix, rank);
        low_rank.values.iter_mut().for_each(|value| *value *= scale);
        Ok(KeptRow::of_low_rank(path, rank_before, rank, scale * norm, &low_rank))
    }

    /// Creates the row of a matrix of this norm that was approximated at this rank.
    pub(super) fn of_low_rank(
        path: String,
        rank_before: Option<usize>,
        rank: usize,
        norm: f64,
        low_rank: &LowRank,
    ) -> KeptRow {
        let kept: f64 = low_rank.values.iter().map(|value| value * value).sum();
        let lost = (norm.powi(2) - kept).max(0.0);
        let energy = if norm > 0.0 { 1.0 - lost / norm.powi(2) } else { 1.0 };
        KeptRow { path, rank_before, rank, norm, energy, error: lost.sqrt() }
    }
}

/// Returns the share of the total energy of all layers that is kept.
pub fn energy_kept(rows: &[KeptRow]) -> f64 {
    let (total, lost) =
        rows.iter().fold((0.0, 0.0), |(total, lost), row| (total + row.norm.powi(2), lost + row.error.powi(2)));
    if total > 0.0 { 1.0 - lost / total } else { 1.0 }
}

/// Key format of a result.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyScheme<'m> {
    /// The keys of the file that the layer comes from.
    Own,
    /// The keys of a target format for this model family.
    Target(Target, &'m str),
}

impl<'m> KeyScheme<'m> {
    /// Returns the scheme of a target, or the file's own.
    pub fn new(to: Option<Target>, opened: &'m Opened) -> Result<KeyScheme<'m>, EditError> {
        match (to, &opened.layers) {
            (None, _) => Ok(KeyScheme::Own),
            (Some(target), Some(_)) => Ok(KeyScheme::Target(target, &opened.model)),
            (Some(_), None) => Err(EditError::UnknownLayers { file: opened.file.clone(), label: opened.label.clone() }),
        }
    }

    /// Returns the key of a tensor of this role.
    pub fn key(self, opened: &Opened, delta: &Delta, role: Role) -> Result<String, EditError> {
        if let KeyScheme::Target(target, model) = self {
            let key = target.key(model, delta.component, &delta.module, role);
            return key.ok_or_else(|| no_name(opened.layer(delta), target));
        }
        let Some(group) = opened.group(delta) else { return Ok(format!("{}{}", delta.module.path, suffix(role))) };
        Ok(match (group.get(role), role) {
            (Some(tensor), _) => tensor.name.clone(),
            (None, Role::Up) if group.peft => format!("{}.lora_B.weight", group.stem),
            (None, Role::Down) if group.peft => format!("{}.lora_A.weight", group.stem),
            _ => format!("{}{}", group.stem, suffix(role)),
        })
    }

    /// Returns whether the result has an alpha tensor for the layer.
    pub fn has_alpha(self, opened: &Opened, delta: &Delta) -> bool {
        match self {
            KeyScheme::Target(target, _) => target.has_alphas(),
            KeyScheme::Own => opened.group(delta).is_some_and(|group| group.get(Role::Alpha).is_some()),
        }
    }
}

/// Returns the error for a layer that a key format cannot store.
pub(super) fn no_name(layer: String, target: Target) -> EditError {
    let what = sentence!("edit_what.layer").into();
    EditError::Unsupported { layer, what, target: target.name(), hint: "edit_hint.kohya" }
}

/// Returns the alpha tensor of a layer, in the layer's dtype if that is exact, else F32.
pub(super) fn alpha(name: String, value: f32, dtype: Dtype) -> TensorGroup {
    let dtype = if is_exact(value, dtype) { dtype } else { Dtype::F32 };
    TensorGroup { slots: vec![TensorSpec { name, dtype, shape: vec![] }], origin: Origin::Number(value) }
}

/// Returns the dtype of a delta's tensors in the result: `wanted`, or the widest of its factors.
pub(super) fn dtype(delta: &Delta, wanted: Option<Dtype>) -> Dtype {
    let dtypes = delta.change.factors().into_iter().map(|factor| writable(factor.dtype));
    wanted.unwrap_or_else(|| dtypes.reduce(common_dtype).unwrap_or(Dtype::F32))
}

/// Returns a dtype that holds the values of both exactly.
pub(super) fn common_dtype(a: Dtype, b: Dtype) -> Dtype {
    if a == b { a } else { Dtype::F32 }
}

/// The keys of a LoRA pair.
pub(super) struct PairKeys {
    pub down: String,
    pub up: String,
    /// Present if the key format stores alphas.
    pub alpha: Option<String>,
}

impl PairKeys {
    /// Returns the keys for the layer of a delta.
    pub fn of(scheme: KeyScheme, opened: &Opened, delta: &Delta) -> Result<PairKeys, EditError> {
        let key = |role| scheme.key(opened, delta, role);
        let alpha = scheme.has_alpha(opened, delta).then(|| key(Role::Alpha)).transpose()?;
        Ok(PairKeys { down: key(Role::Down)?, up: key(Role::Up)?, alpha })
    }

    /// Returns the keys for a layer of a model, if the key format can store it.
    pub fn for_layer(target: Target, model: &str, component: Component, module: &Module) -> Option<PairKeys> {
        let key = |role| target.key(model, component, module, role);
        let alpha = if target.has_alphas() { Some(key(Role::Alpha)?) } else { None };
        Some(PairKeys { down: key(Role::Down)?, up: key(Role::Up)?, alpha })
    }
}

/// Returns the PyTorch weight shape of the delta's layer; 4-D for a 1x1 convolution.
pub(super) fn layer_shape(opened: &Opened, delta: &Delta) -> Vec<usize> {
    let shape = delta.change.shape();
    match (&shape[..], delta.module.kind) {
        (&[outputs, inputs], Kind::Conv { kernel: 1, .. }) if opened.layers.is_some() => vec![outputs, inputs, 1, 1],
        _ => shape,
    }
}

/// Returns down and up of a LoRA of this rank for a layer of PyTorch shape `shape`, as layer number
/// `layer` of the draft, and its alpha, which equals the rank.
pub(super) fn pair_pieces(
    keys: PairKeys,
    shape: &[usize],
    rank: usize,
    dtype: Dtype,
    layer: usize,
) -> Vec<TensorGroup> {
    let ones = vec![1; shape.len() - 2];
    let down = TensorSpec { name: keys.down, dtype, shape: [&[rank], &shape[1..]].concat() };
    let up = TensorSpec { name: keys.up, dtype, shape: [vec![shape[0], rank], ones].concat() };
    let pair = TensorGroup { slots: vec![down, up], origin: Origin::Layer(layer) };
    [pair].into_iter().chain(keys.alpha.map(|name| alpha(name, rank as f32, dtype))).collect()
}

/// Returns down and up of `scale` times the matrix: exact if its factors have at most `rank` columns,
/// else the best approximation of that rank.
pub(super) fn pair(matrix: &Factorization, scale: f32, rank: usize) -> Vec<Vec<f32>> {
    if matrix.pair_rank() <= rank {
        let (left, right) = matrix.pair();
        let (mut up, mut down) = (left.data, right.data);
        up.iter_mut().for_each(|x| *x *= scale);
        balance(&mut up, &mut down);
        let (outputs, columns) = matrix.size();
        return vec![pad_rows(down, rank, columns), pad_columns(&up, outputs, left.columns, rank)];
    }
    let (mut up, down) = LowRank::of(matrix, rank).balanced(rank);
    // The approximation is of the unscaled matrix; each factor gets the square root of the scale.
    let root = scale.abs().sqrt();
    up.iter_mut().for_each(|x| *x *= root.copysign(scale));
    let down = down.into_iter().map(|x| x * root).collect();
    vec![down, up]
}

/// Multiplies one factor and divides the other by a power of two, which is exact, so that their largest
/// elements have the same magnitude and small elements do not underflow in f16.
fn balance(up: &mut [f32], down: &mut [f32]) {
    let max_abs = |data: &[f32]| data.iter().fold(0f32, |max, x| max.max(x.abs()));
    let ratio = max_abs(down) / max_abs(up);
    if ratio.is_finite() && ratio > 0.0 {
        let factor = (0.5 * ratio.log2()).round().clamp(-60.0, 60.0).exp2();
        up.iter_mut().for_each(|x| *x *= factor);
        down.iter_mut().for_each(|x| *x /= factor);
    }
}

/// Returns the rank of a LoRA for a matrix, and whether it is exact; `wanted` is the rank of approximations. `None` if
/// an exact LoRA is no smaller and no rank is wanted. A Kronecker product is approximated at the wanted rank even if its
/// exact LoRA, whose rank is the product of two ranks, is smaller than the full matrix.
pub(super) fn lora_rank(matrix: &Factorization, wanted: Option<usize>) -> Option<(usize, bool)> {
    /// Full rank up to which a LoRA of that rank costs little.
    const SMALL: usize = 16;
    let full_rank = matrix.rank();
    let is_kronecker = matches!(matrix, Factorization::Kronecker(..) | Factorization::Rows(..));
    match wanted {
        Some(rank) if is_kronecker && full_rank > SMALL => Some((rank.min(full_rank), rank >= full_rank)),
        _ if matrix.is_low_rank() => Some((matrix.pair_rank(), true)),
        _ if full_rank <= SMALL => Some((full_rank, true)),
        wanted => wanted.map(|rank| (rank.min(full_rank), rank >= full_rank)),
    }
}

fn pad_rows(mut data: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
    data.resize(rows * columns, 0.0);
    data
}

fn pad_columns(data: &[f32], rows: usize, columns: usize, padded: usize) -> Vec<f32> {
    if columns == padded {
        return data.to_vec();
    }
    let mut out = vec![0.0; rows * padded];
    for (from, to) in data.chunks_exact(columns.max(1)).zip(out.chunks_exact_mut(padded)) {
        to[..columns].copy_from_slice(from);
    }
    out
}

/// Returns the role of each factor of a delta, by key.
pub(super) fn roles<'a>(opened: &Opened, delta: &'a Delta) -> BTreeMap<&'a str, Role> {
    let factors = delta.change.factors().into_iter();
    factors.filter_map(|factor| Some((factor.key.as_str(), opened.role(&factor.key)?))).collect()
}

/// Returns whether a plain LoRA can be computed from a change of another algorithm without the base model.
pub(super) fn is_convertible(delta: &Delta) -> bool {
    let is_matrix = delta.part == Part::Weight && delta.change.shape().len() > 1;
    delta.algorithm.is_composed() || delta.algorithm == Algorithm::Full && is_matrix
}

/// Checks that the size of a delta's layer is known.
pub(super) fn check_size(opened: &Opened, delta: &Delta) -> Result<(), EditError> {
    let unknown = || EditError::SizeUnknown { layer: opened.layer(delta), algorithm: delta.algorithm };
    if delta.change.is_sized() { Ok(()) } else { Err(unknown()) }
}

/// Reads a delta and returns its matrix as a factorization.
pub(super) async fn form(opened: &Opened<'_>, delta: &Delta) -> Result<Factorization, EditError> {
    check_size(opened, delta)?;
    let factors = opened.read_factors(delta).await?;
    delta
        .change
        .form(&factors)
        .ok_or_else(|| EditError::NoMatrix { layer: opened.layer(delta), algorithm: delta.algorithm })
}

/// Returns the singular values of `scale` times the matrix; an error if an element is not finite.
pub(super) fn spectrum(layer: &str, matrix: &Factorization, scale: f32) -> Result<Spectrum, EditError> {
    let spectrum = Spectrum::of(matrix, f64::from(scale));
    match spectrum.frobenius().is_finite() {
        true => Ok(spectrum),
        false => Err(EditError::NotFinite { layer: layer.to_owned() }),
    }
}
