//! Resize of an adapter: each layer truncated by SVD to the rank that a rule gives it.

use super::draft::{Draft, Outcome, TensorGroup};
use super::error::EditError;
use super::names::Target;
use super::open::Opened;
use super::pairs::{
    KeptRow, KeyScheme, PairKeys, RankRule, check_rank, check_size, dtype, energy_kept, form, is_convertible,
    layer_shape, pair, pair_pieces, spectrum,
};
use super::peft::PeftMetadata;
use super::preview::DroppedKey;
use crate::adapters::Delta;
use crate::formats::{ByteSink, ByteSource, Dtype, Header};
use crate::sentence::sentence;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Options of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct ResizeOptions {
    /// Rule for the rank of each layer.
    pub rule: RankRule,
    /// Maximum rank.
    #[serde(default)]
    pub most: Option<usize>,
    /// Key format; the file's own keys if absent.
    #[serde(default)]
    pub to: Option<Target>,
    /// F32, F16 or BF16; each layer's own dtype if absent.
    #[serde(default)]
    #[ts(type = "\"F32\" | \"F16\" | \"BF16\" | null")]
    pub dtype: Option<Dtype>,
    /// Whether incomplete layers and those without a low-rank form (DoRA, OFT, norms, …) are dropped
    /// instead of causing an error.
    #[serde(default)]
    pub drop: bool,
}

/// The changes that a resize makes.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ResizePreview {
    /// Every resized layer.
    pub layers: Vec<KeptRow>,
    /// Share of the total energy Σσ² of all layers that is kept.
    pub energy: f64,
    /// Keys that are missing from the result.
    pub dropped: Vec<DroppedKey>,
    /// Size in bytes before.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Size in bytes after.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A planned resize.
pub struct ResizePlan<'a, 'b> {
    opened: &'a Opened<'b>,
    layers: Vec<(&'a Delta, usize)>,
    draft: Draft,
    /// The changes.
    pub preview: ResizePreview,
}

/// Plans a resize: reads every layer once and computes its singular values.
pub async fn resize<'a, 'b>(opened: &'a Opened<'b>, options: ResizeOptions) -> Result<ResizePlan<'a, 'b>, EditError> {
    let scheme = KeyScheme::new(options.to, opened)?;
    let (mut pieces, mut layers, mut rows, mut dropped) =
        (Vec::<TensorGroup>::new(), Vec::new(), Vec::new(), Vec::new());
    let mut notes = PeftMetadata::default();
    opened.check_complete(|_| options.drop)?;
    let (rule, max_rank) = (options.rule.checked()?, check_rank(options.most)?.unwrap_or(usize::MAX));
    for left in &opened.adapter.leftovers {
        dropped.push(DroppedKey { key: left.key.clone(), reason: left.reason.sentence() });
    }
    for delta in &opened.adapter.deltas {
        let matrix = match form(opened, delta).await {
            Err(EditError::NoMatrix { algorithm, .. }) if options.drop => {
                let reason = sentence!("dropped.no_matrix", algorithm = algorithm.word());
                let factors = delta.change.factors().into_iter();
                dropped.extend(factors.map(|factor| DroppedKey { key: factor.key.clone(), reason: reason.clone() }));
                continue;
            }
            matrix => matrix?,
        };
        let layer = opened.layer(delta);
        let spectrum = spectrum(&layer, &matrix, delta.scale)?;
        let rank = rule.rank(&spectrum).min(max_rank);
        rows.push(KeptRow::new(layer, delta.change.rank(), rank, &spectrum));
        notes.add(delta, rank, rank as f32, false);
        let (keys, shape) = (PairKeys::of(scheme, opened, delta)?, layer_shape(opened, delta));
        pieces.extend(pair_pieces(keys, &shape, rank, dtype(delta, options.dtype), layers.len()));
        layers.push((delta, rank));
    }
    if layers.is_empty() {
        return Err(EditError::Nothing);
    }
    let mut metadata = opened.header.metadata.clone();
    notes.describe(&mut metadata);
    notes.replace(&mut metadata, scheme, opened.is_configured());
    let draft = Draft::new(pieces, metadata);
    let preview = ResizePreview {
        energy: energy_kept(&rows),
        layers: rows,
        dropped,
        size_before: opened.source.len(),
        size_after: draft.size(),
    };
    Ok(ResizePlan { opened, layers, draft, preview })
}

/// Returns the header of a resize without reading factors: its keys are those of [`resize`], with rank 1.
pub(super) fn resized_header(opened: &Opened<'_>, options: ResizeOptions) -> Result<Header, EditError> {
    let scheme = KeyScheme::new(options.to, opened)?;
    opened.check_complete(|_| options.drop)?;
    let mut pieces = Vec::new();
    for (layer, delta) in opened.adapter.deltas.iter().enumerate() {
        if !delta.algorithm.is_pair() && !is_convertible(delta) {
            return Err(EditError::NoMatrix { layer: opened.layer(delta), algorithm: delta.algorithm });
        }
        check_size(opened, delta)?;
        let (keys, shape) = (PairKeys::of(scheme, opened, delta)?, layer_shape(opened, delta));
        pieces.extend(pair_pieces(keys, &shape, 1, dtype(delta, options.dtype), layer));
    }
    Ok(Draft::new(pieces, opened.header.metadata.clone()).header().clone())
}

impl ResizePlan<'_, '_> {
    /// Writes the result; see [`Draft::write`].
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<Outcome, EditError> {
        let make = async |layer: usize| {
            let (delta, rank) = self.layers[layer];
            Ok(pair(&form(self.opened, delta).await?, delta.scale, rank))
        };
        self.draft.write(None, make, out).await
    }
}
