//! Turns several adapters, each with its strength, into one that changes a model as all of them
//! together do: exactly, as the factors side by side, or at a lower rank with the error.

use super::draft::{Draft, Origin, Outcome, Piece, Slot, writable};
use super::error::EditError;
use super::names::Target;
use super::open::Opened;
use super::pairs::{
    KeptRow, KeyScheme, PairKeys, RankRule, dtype, energy_kept, form, layer_shape, pair, pair_pieces, roles, spectrum,
    wider,
};
use super::peft::PeftNotes;
use super::preview::DroppedKey;
use crate::adapters::Strengths;
use crate::adapters::{Delta, Dense, Factorization, pair_is_smaller};
use crate::formats::{ByteSink, ByteSource, Dtype};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use ts_rs::TS;

/// One of the adapters.
pub struct MergeInput<'a, 'b> {
    /// The file.
    pub opened: &'a Opened<'b>,
    /// How strongly it acts.
    pub strength: f32,
    /// What its blocks are multiplied by.
    pub strengths: Strengths,
}

/// What is asked of a merge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct MergeOptions {
    /// The rank of each layer; none keeps the sum without loss.
    pub rule: Option<RankRule>,
    /// The convention; none takes the first file's.
    pub to: Option<Target>,
    /// F32, F16 or BF16; none takes what holds all inputs' numbers.
    #[ts(type = "\"F32\" | \"F16\" | \"BF16\" | null")]
    pub dtype: Option<Dtype>,
    /// Whether what is incomplete or cannot be added (DoRA, OFT, …) is left out, instead of an error.
    pub drop: bool,
}

/// What a merge makes.
#[derive(Debug, Clone, Serialize, TS)]
pub struct MergePreview {
    /// Every layer that is a LoRA in the result; the rank before is the sum of the inputs'.
    pub layers: Vec<KeptRow>,
    /// Layers that more than one file changes.
    pub shared: usize,
    /// Share of the energy Σσ² of all layers together that is kept.
    pub energy: f64,
    /// Keys that the result lacks.
    pub dropped: Vec<DroppedKey>,
    /// Bytes of all inputs.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Bytes of the result.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A merge that is planned.
pub struct MergePlan<'a, 'b> {
    layers: Vec<Layer<'a, 'b>>,
    draft: Draft,
    /// What it makes.
    pub preview: MergePreview,
}

/// The parts of a layer's change.
struct Layer<'a, 'b> {
    parts: Vec<Part<'a, 'b>>,
    /// The rank of the pair; none for a change that is a list of numbers.
    rank: Option<usize>,
}

/// One file's part of it.
struct Part<'a, 'b> {
    opened: &'a Opened<'b>,
    delta: &'a Delta,
    /// The file's strength and the block's.
    strength: f32,
}

/// Plans a merge: reads every layer once.
pub async fn merge<'a, 'b>(inputs: &[MergeInput<'a, 'b>], options: MergeOptions) -> Result<MergePlan<'a, 'b>, EditError> {
    let first = inputs.first().ok_or(EditError::Nothing)?.opened;
    for MergeInput { opened, .. } in inputs {
        first.is_like(opened)?;
        opened.is_whole(options.drop)?;
    }
    options.rule.map(RankRule::checked).transpose()?;
    let to = options.to.or_else(|| first.layers.as_ref().and(target_like(first)));
    let mut planner = Planner {
        naming: KeyScheme::new(to, first)?,
        options,
        pieces: Vec::new(),
        layers: Vec::new(),
        notes: PeftNotes::default(),
        rows: Vec::new(),
        dropped: Vec::new(),
    };
    for parts in aligned(inputs, &mut planner.dropped) {
        planner.layer(parts).await?;
    }
    planner.finish(inputs)
}

/// The convention of the first file, where it is one that is written: newer models' files keep
/// their own names, which are as many as programs.
fn target_like(first: &Opened) -> Option<Target> {
    matches!(first.model.as_str(), "sd15" | "sd21" | "sdxl").then(|| Target::for_convention(&first.adapter.convention))
}

/// The parts of every layer, in the order in which the files name them.
fn aligned<'a, 'b>(inputs: &[MergeInput<'a, 'b>], dropped: &mut Vec<DroppedKey>) -> Vec<Vec<Part<'a, 'b>>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut layers: Vec<Vec<Part>> = Vec::new();
    for MergeInput { opened, strength, strengths } in inputs {
        let opened: &'a Opened<'b> = opened;
        for left in &opened.adapter.leftovers {
            dropped.push(DroppedKey { key: left.key.clone(), reason: left.reason.to_string() });
        }
        for delta in &opened.adapter.deltas {
            let strength = strength * strengths.of(delta);
            if strength == 0.0 {
                continue;
            }
            let place = *places.entry(delta.tensor()).or_insert_with(|| {
                layers.push(Vec::new());
                layers.len() - 1
            });
            layers[place].push(Part { opened, delta, strength });
        }
    }
    layers
}

impl Layer<'_, '_> {
    /// The sum as a matrix in factors: products side by side, or the matrix where that is smaller.
    async fn form(&self) -> Result<Factorization, EditError> {
        let mut forms = Vec::new();
        for part in &self.parts {
            forms.push((form(part.opened, part.delta).await?, part.strength * part.delta.scale));
        }
        let size = forms[0].0.size();
        for ((form, _), part) in forms.iter().zip(&self.parts) {
            if form.size() != size {
                let (file_a, file_b) = (self.parts[0].opened.file.clone(), part.opened.file.clone());
                let layer = part.opened.layer(part.delta);
                return Err(EditError::OtherShape { layer, file_a, a: size, file_b, b: form.size() });
            }
        }
        Ok(sum(&forms, size))
    }

    /// The sum of lists of numbers.
    async fn numbers(&self) -> Result<Vec<f32>, EditError> {
        let mut sum: Vec<f32> = Vec::new();
        for part in &self.parts {
            let numbers = part.opened.numbers(part.delta).await?;
            let (data, factor) = (numbers.into_values().next().unwrap_or_default(), part.strength * part.delta.scale);
            sum.resize(data.len().max(sum.len()), 0.0);
            sum.iter_mut().zip(data).for_each(|(sum, x)| *sum += factor * x);
        }
        Ok(sum)
    }

    /// Whether every part is a list of numbers: of a norm or a bias.
    fn is_list(&self) -> bool {
        let list =
            |part: &Part| matches!(part.delta.algorithm, "full" | "norm") && part.delta.change.shape().len() == 1;
        self.parts.iter().all(list)
    }
}

/// Σ factor · form.
pub(super) fn sum(forms: &[(Factorization, f32)], (rows, columns): (usize, usize)) -> Factorization {
    let rank: usize = forms.iter().map(|(form, _)| form.pair_rank()).sum();
    if !pair_is_smaller(rows, columns, rank) {
        let mut sum = vec![0.0; rows * columns];
        for (form, factor) in forms {
            sum.iter_mut().zip(form.matrix().data).for_each(|(sum, x)| *sum += factor * x);
        }
        return Factorization::Whole(Dense::new(sum, columns));
    }
    let pairs: Vec<(Dense, Dense)> = forms.iter().map(|(form, _)| form.pair()).collect();
    let mut left = Vec::with_capacity(rows * rank);
    for row in 0..rows {
        for ((part, _), (_, factor)) in pairs.iter().zip(forms) {
            left.extend(part.data[row * part.columns..][..part.columns].iter().map(|x| x * factor));
        }
    }
    let right = pairs.into_iter().flat_map(|(_, right)| right.data).collect();
    Factorization::product(left, right, rank)
}

struct Planner<'a, 'b> {
    naming: KeyScheme<'a>,
    options: MergeOptions,
    pieces: Vec<Piece>,
    layers: Vec<Layer<'a, 'b>>,
    notes: PeftNotes,
    rows: Vec<KeptRow>,
    dropped: Vec<DroppedKey>,
}

impl<'a, 'b> Planner<'a, 'b> {
    async fn layer(&mut self, parts: Vec<Part<'a, 'b>>) -> Result<(), EditError> {
        let layer = Layer { parts, rank: None };
        let types = layer.parts.iter().map(|part| dtype(part.delta, self.options.dtype));
        let dtype = types.reduce(wider).map_or(Dtype::F32, writable);
        if layer.is_list() && self.holds_list(&layer.parts[0]) {
            return self.list(layer, dtype);
        }
        let form = match layer.form().await {
            Err(error @ EditError::NoMatrix { .. }) if self.options.drop => {
                let keys = layer.parts.iter().flat_map(|part| part.delta.change.factors());
                let dropped = keys.map(|factor| DroppedKey { key: factor.key.clone(), reason: error.to_string() });
                self.dropped.extend(dropped);
                return Ok(());
            }
            form => form?,
        };
        let Part { opened, delta, .. } = layer.parts[0];
        let name = opened.layer(delta);
        let spectrum = spectrum(&name, &form, 1.0)?;
        let rank = match self.options.rule {
            Some(rule) => rule.rank(&spectrum),
            None if form.is_low_rank() => form.pair_rank(),
            None => form.rank(),
        };
        let before: Option<Vec<usize>> = layer.parts.iter().map(|part| part.delta.change.rank()).collect();
        self.rows.push(KeptRow::new(name, before.map(|ranks| ranks.iter().sum()), rank, &spectrum));
        self.notes.add(delta, rank, rank as f32, false);
        let (keys, shape) = (PairKeys::of(self.naming, opened, delta)?, layer_shape(opened, delta));
        self.pieces.extend(pair_pieces(keys, &shape, rank, dtype, self.layers.len()));
        self.layers.push(Layer { rank: Some(rank), ..layer });
        Ok(())
    }

    fn holds_list(&self, part: &Part) -> bool {
        let mut roles = roles(part.opened, part.delta).into_values();
        match self.naming {
            KeyScheme::Own => true,
            KeyScheme::Target(target, _) => roles.all(|role| target.holds(role)),
        }
    }

    fn list(&mut self, layer: Layer<'a, 'b>, dtype: Dtype) -> Result<(), EditError> {
        let Part { opened, delta, .. } = layer.parts[0];
        let mut slots = Vec::new();
        for role in roles(opened, delta).into_values() {
            slots.push(Slot { name: self.naming.key(opened, delta, role)?, dtype, shape: delta.change.shape() });
        }
        self.pieces.push(Piece { slots, origin: Origin::Layer(self.layers.len()) });
        self.layers.push(layer);
        Ok(())
    }

    fn finish(self, inputs: &[MergeInput]) -> Result<MergePlan<'a, 'b>, EditError> {
        if self.layers.is_empty() {
            return Err(EditError::Nothing);
        }
        let mut metadata = common(inputs);
        self.notes.describe(&mut metadata);
        let configured = inputs.iter().any(|input| input.opened.is_configured());
        self.notes.replace(&mut metadata, self.naming, configured);
        let draft = Draft::new(self.pieces, metadata);
        let preview = MergePreview {
            energy: energy_kept(&self.rows),
            shared: self.layers.iter().filter(|layer| layer.parts.len() > 1).count(),
            layers: self.rows,
            dropped: self.dropped,
            size_before: inputs.iter().map(|input| input.opened.source.len()).sum(),
            size_after: draft.size(),
        };
        Ok(MergePlan { layers: self.layers, draft, preview })
    }
}

/// Metadata that all files share, and their names as modelspec has it.
fn common(inputs: &[MergeInput]) -> BTreeMap<String, String> {
    let metadata = |input: &MergeInput| input.opened.header.metadata.clone();
    let mut common = inputs.first().map(metadata).unwrap_or_default();
    for input in inputs {
        common.retain(|key, value| input.opened.header.metadata.get(key) == Some(value));
    }
    let names: Vec<&str> = inputs.iter().map(|input| input.opened.file.as_str()).collect();
    common.insert("modelspec.merged_from".into(), names.join(", "));
    common.entry("format".into()).or_insert_with(|| "pt".into());
    common
}

impl MergePlan<'_, '_> {
    /// Writes the result; see [`Draft::write`].
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<Outcome, EditError> {
        let make = async |layer: usize| {
            let layer = &self.layers[layer];
            match layer.rank {
                Some(rank) => Ok(pair(&layer.form().await?, 1.0, rank)),
                None => Ok(vec![layer.numbers().await?]),
            }
        };
        self.draft.write(None, make, out).await
    }
}
