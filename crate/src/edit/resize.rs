//! Turns an adapter into one of other ranks: each layer's nearest change of the rank that a rule
//! gives it.

use super::draft::{Draft, Outcome, Piece};
use super::error::EditError;
use super::names::Target;
use super::open::Opened;
use super::pairs::{
    KeptRow, KeyScheme, PairKeys, RankRule, asked, dtype, energy_kept, form, layer_shape, pair, pair_pieces, spectrum,
};
use super::peft::PeftNotes;
use super::preview::DroppedKey;
use crate::adapters::Delta;
use crate::formats::{ByteSink, ByteSource, Dtype};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What is asked of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct ResizeOptions {
    /// The rank of each layer.
    pub rule: RankRule,
    /// The most that a rank may be.
    #[serde(default)]
    pub most: Option<usize>,
    /// The convention; none keeps the file's names.
    #[serde(default)]
    pub to: Option<Target>,
    /// F32, F16 or BF16; none keeps each layer's own.
    #[serde(default)]
    #[ts(type = "\"F32\" | \"F16\" | \"BF16\" | null")]
    pub dtype: Option<Dtype>,
    /// Whether what is incomplete, and layers that are no matrix in factors (DoRA, OFT, norms, …), are
    /// left out, instead of an error.
    #[serde(default)]
    pub drop: bool,
}

/// What a resize changes.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ResizePreview {
    /// Every layer.
    pub layers: Vec<KeptRow>,
    /// Share of the energy Σσ² of all layers together that is kept.
    pub energy: f64,
    /// Keys that the result lacks.
    pub dropped: Vec<DroppedKey>,
    /// Bytes before.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Bytes after.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A resize that is planned.
pub struct ResizePlan<'a, 'b> {
    opened: &'a Opened<'b>,
    layers: Vec<(&'a Delta, usize)>,
    draft: Draft,
    /// What it changes.
    pub preview: ResizePreview,
}

/// Plans a resize: reads every layer once for its singular values.
pub async fn resize<'a, 'b>(opened: &'a Opened<'b>, options: ResizeOptions) -> Result<ResizePlan<'a, 'b>, EditError> {
    let naming = KeyScheme::new(options.to, opened)?;
    let (mut pieces, mut layers, mut rows, mut dropped) = (Vec::<Piece>::new(), Vec::new(), Vec::new(), Vec::new());
    let mut notes = PeftNotes::default();
    opened.is_whole(options.drop)?;
    let (rule, most) = (options.rule.checked()?, asked(options.most)?.unwrap_or(usize::MAX));
    for left in &opened.adapter.leftovers {
        dropped.push(DroppedKey { key: left.key.clone(), reason: left.reason.to_string() });
    }
    for delta in &opened.adapter.deltas {
        let form = match form(opened, delta).await {
            Err(error @ EditError::NoMatrix { .. }) if options.drop => {
                let factors = delta.change.factors().into_iter();
                dropped.extend(factors.map(|factor| DroppedKey { key: factor.key.clone(), reason: error.to_string() }));
                continue;
            }
            form => form?,
        };
        let layer = opened.layer(delta);
        let spectrum = spectrum(&layer, &form, delta.scale)?;
        let rank = rule.rank(&spectrum).min(most);
        rows.push(KeptRow::new(layer, delta.change.rank(), rank, &spectrum));
        notes.add(delta, rank, rank as f32, false);
        let (keys, shape) = (PairKeys::of(naming, opened, delta)?, layer_shape(opened, delta));
        pieces.extend(pair_pieces(keys, &shape, rank, dtype(delta, options.dtype), layers.len()));
        layers.push((delta, rank));
    }
    if layers.is_empty() {
        return Err(EditError::Nothing);
    }
    let mut metadata = opened.header.metadata.clone();
    notes.describe(&mut metadata);
    notes.replace(&mut metadata, naming, opened.is_configured());
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
