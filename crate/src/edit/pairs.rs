//! Turns changes of any algorithm that are matrices in factors into pairs of LoRA factors.

use super::draft::{Origin, Piece, Slot, is_exact, writable};
use super::error::EditError;
use super::names::{Target, suffix};
use super::open::Opened;
use crate::adapters::{Delta, Factorization};
use crate::analysis::{LowRank, Spectrum};
use crate::formats::Dtype;
use crate::model::spelling::Role;
use crate::model::{Component, Kind, Module};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// How many ranks of a change are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum RankRule {
    /// So many, or fewer where there are fewer.
    Fixed(usize),
    /// As few as keep this share of the energy Σσ².
    Energy(f64),
    /// Those whose singular value is at least this share of the largest.
    Ratio(f64),
}

/// The rank that is asked for.
pub(super) fn asked(rank: Option<usize>) -> Result<Option<usize>, EditError> {
    if rank == Some(0) { Err(EditError::NoRank) } else { Ok(rank) }
}

impl RankRule {
    /// The same rule, where it gives ranks.
    pub(super) fn checked(self) -> Result<RankRule, EditError> {
        match self {
            RankRule::Fixed(0) => Err(EditError::NoRank),
            RankRule::Energy(share) | RankRule::Ratio(share) if !(share > 0.0 && share <= 1.0) => {
                Err(EditError::NoShare(share))
            }
            rule => Ok(rule),
        }
    }

    /// The rank for a change with this spectrum, at least 1.
    pub fn rank(self, spectrum: &Spectrum) -> usize {
        match self {
            RankRule::Fixed(rank) => rank.min(spectrum.values.len()).max(1),
            RankRule::Energy(share) => spectrum.rank_for_energy(share),
            RankRule::Ratio(ratio) => spectrum.rank_for_ratio(ratio),
        }
    }
}

/// What a layer keeps when its rank changes.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct KeptRow {
    /// The layer.
    pub path: String,
    /// Its rank before, where its algorithm has one.
    pub rank_before: Option<usize>,
    /// Its rank now.
    pub rank: usize,
    /// Frobenius norm before.
    pub norm: f64,
    /// Share of the energy Σσ² that is kept: 1 − (error / norm)².
    pub energy: f64,
    /// Frobenius norm of what is lost.
    pub error: f64,
}

impl KeptRow {
    /// A layer with this spectrum at this rank.
    pub(super) fn new(path: String, rank_before: Option<usize>, rank: usize, spectrum: &Spectrum) -> KeptRow {
        let lost = spectrum.values.iter().skip(rank).map(|value| value * value).sum::<f64>().sqrt();
        KeptRow { path, rank_before, rank, norm: spectrum.frobenius(), energy: spectrum.energy_kept(rank), error: lost }
    }
}

/// Share of the energy of all layers together that is kept.
pub(super) fn energy_kept(rows: &[KeptRow]) -> f64 {
    let (all, lost) =
        rows.iter().fold((0.0, 0.0), |(all, lost), row| (all + row.norm.powi(2), lost + row.error.powi(2)));
    if all > 0.0 { 1.0 - lost / all } else { 1.0 }
}

/// How the keys of a result are spelled.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyScheme<'m> {
    /// As in the file that the layer comes from.
    Own,
    /// As a convention has them for this family of models.
    Target(Target, &'m str),
}

impl<'m> KeyScheme<'m> {
    /// The naming of a target, or the file's own.
    pub fn new(to: Option<Target>, opened: &'m Opened) -> Result<KeyScheme<'m>, EditError> {
        match (to, &opened.layers) {
            (None, _) => Ok(KeyScheme::Own),
            (Some(target), Some(_)) => Ok(KeyScheme::Target(target, &opened.model)),
            (Some(_), None) => Err(EditError::NoNames { file: opened.file.clone(), label: opened.label.clone() }),
        }
    }

    /// The key of a tensor in this role.
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

    /// Whether a layer's alpha is a tensor of the result.
    pub fn has_alpha(self, opened: &Opened, delta: &Delta) -> bool {
        match self {
            KeyScheme::Target(target, _) => target.has_alphas(),
            KeyScheme::Own => opened.group(delta).is_some_and(|group| group.get(Role::Alpha).is_some()),
        }
    }
}

/// A layer that a convention has no name for.
pub(super) fn no_name(layer: String, target: Target) -> EditError {
    let hint = "choose kohya, or leave such layers out with --drop";
    EditError::NoPlace { layer, what: "this layer".into(), target: target.name(), hint }
}

/// The tensor of a layer's alpha, in the layer's number type where that holds it exactly.
pub(super) fn alpha(name: String, value: f32, dtype: Dtype) -> Piece {
    let dtype = if is_exact(value, dtype) { dtype } else { Dtype::F32 };
    Piece { slots: vec![Slot { name, dtype, shape: vec![] }], origin: Origin::Number(value) }
}

/// The number type of a delta's tensors in the result: the widest of its factors'.
pub(super) fn dtype(delta: &Delta, wanted: Option<Dtype>) -> Dtype {
    let types = delta.change.factors().into_iter().map(|factor| writable(factor.dtype));
    wanted.unwrap_or_else(|| types.reduce(wider).unwrap_or(Dtype::F32))
}

/// A type that holds the numbers of both.
pub(super) fn wider(a: Dtype, b: Dtype) -> Dtype {
    if a == b { a } else { Dtype::F32 }
}

/// The keys of a LoRA pair.
pub(super) struct PairKeys {
    pub down: String,
    pub up: String,
    /// Where the convention has alphas.
    pub alpha: Option<String>,
}

impl PairKeys {
    /// For the layer of a delta.
    pub fn of(naming: KeyScheme, opened: &Opened, delta: &Delta) -> Result<PairKeys, EditError> {
        let key = |role| naming.key(opened, delta, role);
        let alpha = naming.has_alpha(opened, delta).then(|| key(Role::Alpha)).transpose()?;
        Ok(PairKeys { down: key(Role::Down)?, up: key(Role::Up)?, alpha })
    }

    /// For a layer of a model, where the convention has a name for it.
    pub fn for_layer(target: Target, model: &str, component: Component, module: &Module) -> Option<PairKeys> {
        let key = |role| target.key(model, component, module, role);
        let alpha = if target.has_alphas() { Some(key(Role::Alpha)?) } else { None };
        Some(PairKeys { down: key(Role::Down)?, up: key(Role::Up)?, alpha })
    }
}

/// PyTorch shape of the delta's layer, with the kernel of a 1x1 convolution.
pub(super) fn layer_shape(opened: &Opened, delta: &Delta) -> Vec<usize> {
    let shape = delta.change.shape();
    match (&shape[..], delta.module.kind) {
        (&[outputs, inputs], Kind::Conv { kernel: 1, .. }) if opened.layers.is_some() => vec![outputs, inputs, 1, 1],
        _ => shape,
    }
}

/// Down and up for a LoRA of this rank on a layer of PyTorch shape `shape`, as layer number `layer`
/// of the draft, and its alpha, which is the rank.
pub(super) fn pair_pieces(keys: PairKeys, shape: &[usize], rank: usize, dtype: Dtype, layer: usize) -> Vec<Piece> {
    let ones = vec![1; shape.len() - 2];
    let down = Slot { name: keys.down, dtype, shape: [&[rank], &shape[1..]].concat() };
    let up = Slot { name: keys.up, dtype, shape: [vec![shape[0], rank], ones].concat() };
    let pair = Piece { slots: vec![down, up], origin: Origin::Layer(layer) };
    [pair].into_iter().chain(keys.alpha.map(|name| alpha(name, rank as f32, dtype))).collect()
}

/// Down and up of `scale` times the form: without loss where `rank` columns are enough for that,
/// else the nearest of that rank.
pub(super) fn pair(form: &Factorization, scale: f32, rank: usize) -> Vec<Vec<f32>> {
    if form.pair_rank() <= rank {
        let (left, right) = form.pair();
        let (mut up, mut down) = (left.data, right.data);
        up.iter_mut().for_each(|x| *x *= scale);
        even_out(&mut up, &mut down);
        let (outputs, columns) = form.size();
        return vec![padded_rows(down, rank, columns), padded_columns(&up, outputs, left.columns, rank)];
    }
    let (mut up, down) = LowRank::of(form, rank).balanced(rank);
    // The nearest is of the unscaled form; half of the scale goes to each side.
    let half = scale.abs().sqrt();
    up.iter_mut().for_each(|x| *x *= half.copysign(scale));
    let down = down.into_iter().map(|x| x * half).collect();
    vec![down, up]
}

/// Multiplies one side and divides the other by a power of two, which loses nothing, so that the
/// largest numbers of both are alike and small ones are not lost in f16.
fn even_out(up: &mut [f32], down: &mut [f32]) {
    let largest = |numbers: &[f32]| numbers.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let ratio = largest(down) / largest(up);
    if ratio.is_finite() && ratio > 0.0 {
        let factor = (0.5 * ratio.log2()).round().clamp(-60.0, 60.0).exp2();
        up.iter_mut().for_each(|x| *x *= factor);
        down.iter_mut().for_each(|x| *x /= factor);
    }
}

fn padded_rows(mut data: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
    data.resize(rows * columns, 0.0);
    data
}

fn padded_columns(data: &[f32], rows: usize, columns: usize, wanted: usize) -> Vec<f32> {
    if columns == wanted {
        return data.to_vec();
    }
    let mut out = vec![0.0; rows * wanted];
    for (from, to) in data.chunks_exact(columns.max(1)).zip(out.chunks_exact_mut(wanted)) {
        to[..columns].copy_from_slice(from);
    }
    out
}

/// The role of each factor of a delta, by its key.
pub(super) fn roles<'a>(opened: &Opened, delta: &'a Delta) -> BTreeMap<&'a str, Role> {
    let factors = delta.change.factors().into_iter();
    factors.filter_map(|factor| Some((factor.key.as_str(), opened.role(&factor.key)?))).collect()
}

/// The delta's matrix in factors.
pub(super) async fn form(opened: &Opened<'_>, delta: &Delta) -> Result<Factorization, EditError> {
    let numbers = opened.numbers(delta).await?;
    delta
        .change
        .form(&numbers)
        .ok_or_else(|| EditError::NoMatrix { layer: opened.layer(delta), algorithm: delta.algorithm })
}

/// The spectrum of `scale` times the form; an error where a number is not finite.
pub(super) fn spectrum(layer: &str, form: &Factorization, scale: f32) -> Result<Spectrum, EditError> {
    let spectrum = Spectrum::of(form, f64::from(scale));
    match spectrum.frobenius().is_finite() {
        true => Ok(spectrum),
        false => Err(EditError::NotFinite { layer: layer.to_owned() }),
    }
}
