//! Merge of several adapters with strengths into one: exact, by concatenating the factors along the
//! rank, or truncated to a lower rank.

use super::draft::{Draft, Origin, Outcome, TensorGroup, TensorSpec, writable};
use super::error::EditError;
use super::names::Target;
use super::open::Opened;
use super::pairs::{
    KeptRow, KeyScheme, PairKeys, RankRule, common_dtype, dtype, energy_kept, form, layer_shape, pair, pair_pieces,
    roles, spectrum,
};
use super::peft::PeftMetadata;
use super::preview::DroppedKey;
use crate::adapters::{Delta, Strengths};
use crate::formats::{ByteSink, ByteSource, Dtype};
use crate::linalg::{Dense, Factorization, pair_is_smaller};
use crate::sentence::sentence;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use ts_rs::TS;

/// One of the adapters to merge.
pub struct MergeInput<'a, 'b> {
    /// The file.
    pub opened: &'a Opened<'b>,
    /// Strength of the file.
    pub strength: f32,
    /// Block weights, multiplied with the strength.
    pub strengths: Strengths,
}

/// Options of a merge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct MergeOptions {
    /// Rank of each layer; exact if absent.
    pub rule: Option<RankRule>,
    /// Key format; the first file's if absent.
    pub to: Option<Target>,
    /// F32, F16 or BF16; if absent, a dtype that holds the values of all inputs.
    #[ts(type = "\"F32\" | \"F16\" | \"BF16\" | null")]
    pub dtype: Option<Dtype>,
    /// Whether layers that are incomplete or cannot be added (DoRA, OFT, …) are dropped instead of
    /// causing an error.
    pub drop: bool,
}

/// The layers and size of a merge's result.
#[derive(Debug, Clone, Serialize, TS)]
pub struct MergePreview {
    /// Layers that are LoRA in the result; the rank before is the sum of the inputs' ranks.
    pub layers: Vec<KeptRow>,
    /// Number of layers that more than one file changes.
    pub shared: usize,
    /// Share of the total energy Σσ² of all layers that is kept.
    pub energy: f64,
    /// Keys that are missing from the result.
    pub dropped: Vec<DroppedKey>,
    /// Size of all inputs in bytes.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Size of the result in bytes.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A planned merge.
pub struct MergePlan<'a, 'b> {
    layers: Vec<Layer<'a, 'b>>,
    draft: Draft,
    /// Layers and size of the result.
    pub preview: MergePreview,
}

/// One layer: the changes that are added up.
struct Layer<'a, 'b> {
    parts: Vec<Part<'a, 'b>>,
    /// Rank of the LoRA pair; `None` for a one-dimensional change.
    rank: Option<usize>,
}

/// One file's change of a layer.
struct Part<'a, 'b> {
    opened: &'a Opened<'b>,
    delta: &'a Delta,
    /// The file's strength times the block weight.
    strength: f32,
}

/// Plans a merge: reads every layer once.
pub async fn merge<'a, 'b>(
    inputs: &[MergeInput<'a, 'b>],
    options: MergeOptions,
) -> Result<MergePlan<'a, 'b>, EditError> {
    let first = inputs.first().ok_or(EditError::Nothing)?.opened;
    for MergeInput { opened, .. } in inputs {
        first.check_compatible(opened)?;
        opened.check_complete(|_| options.drop)?;
    }
    options.rule.map(RankRule::checked).transpose()?;
    let to = options.to.or_else(|| first.layers.as_ref().and(target_of(first)));
    let mut planner = Planner {
        scheme: KeyScheme::new(to, first)?,
        options,
        pieces: Vec::new(),
        layers: Vec::new(),
        notes: PeftMetadata::default(),
        rows: Vec::new(),
        dropped: Vec::new(),
    };
    for parts in by_layer(inputs, &mut planner.dropped) {
        planner.layer(parts).await?;
    }
    planner.finish(inputs)
}

/// Returns the key format of the first file if it can be written. Files of newer models keep their
/// own keys, since almost every program uses a different format.
fn target_of(first: &Opened) -> Option<Target> {
    first.family.map(|_| Target::for_convention(&first.adapter.convention))
}

/// Groups the changes of all files by layer, in order of first occurrence.
fn by_layer<'a, 'b>(inputs: &[MergeInput<'a, 'b>], dropped: &mut Vec<DroppedKey>) -> Vec<Vec<Part<'a, 'b>>> {
    let mut indices: HashMap<String, usize> = HashMap::new();
    let mut layers: Vec<Vec<Part>> = Vec::new();
    for MergeInput { opened, strength, strengths } in inputs {
        let opened: &'a Opened<'b> = opened;
        for left in &opened.adapter.leftovers {
            dropped.push(DroppedKey { key: left.key.clone(), reason: left.reason.sentence() });
        }
        for delta in &opened.adapter.deltas {
            let strength = strength * strengths.of(delta);
            if strength == 0.0 {
                continue;
            }
            let index = *indices.entry(delta.tensor()).or_insert_with(|| {
                layers.push(Vec::new());
                layers.len() - 1
            });
            layers[index].push(Part { opened, delta, strength });
        }
    }
    layers
}

impl Layer<'_, '_> {
    /// Returns the sum of the changes: concatenated factors, or the dense matrix if that is smaller.
    async fn summed(&self) -> Result<Factorization, EditError> {
        let mut terms = Vec::new();
        for part in &self.parts {
            terms.push((form(part.opened, part.delta).await?, part.strength * part.delta.scale));
        }
        let size = terms[0].0.size();
        for ((term, _), part) in terms.iter().zip(&self.parts) {
            if term.size() != size {
                let (file_a, file_b) = (self.parts[0].opened.file.clone(), part.opened.file.clone());
                let layer = part.opened.layer(part.delta);
                return Err(EditError::OtherShape { layer, file_a, a: size, file_b, b: term.size() });
            }
        }
        Ok(sum(&terms, size))
    }

    /// Returns the sum of one-dimensional changes.
    async fn summed_vector(&self) -> Result<Vec<f32>, EditError> {
        let mut sum: Vec<f32> = Vec::new();
        for part in &self.parts {
            let factors = part.opened.read_factors(part.delta).await?;
            let (data, scale) = (factors.into_values().next().unwrap_or_default(), part.strength * part.delta.scale);
            sum.resize(data.len().max(sum.len()), 0.0);
            sum.iter_mut().zip(data).for_each(|(sum, x)| *sum += scale * x);
        }
        Ok(sum)
    }

    /// Returns whether every change is one-dimensional: a norm or a bias.
    fn is_vector(&self) -> bool {
        let is_vector = |part: &Part| part.delta.algorithm.is_difference() && part.delta.change.shape().len() == 1;
        self.parts.iter().all(is_vector)
    }
}

/// Returns Σ scale · term: concatenated factors, or a dense matrix if that is smaller.
pub(super) fn sum(terms: &[(Factorization, f32)], (rows, columns): (usize, usize)) -> Factorization {
    let rank: usize = terms.iter().map(|(term, _)| term.pair_rank()).sum();
    if !pair_is_smaller(rows, columns, rank) {
        let mut sum = vec![0.0; rows * columns];
        for (term, scale) in terms {
            sum.iter_mut().zip(term.matrix().data).for_each(|(sum, x)| *sum += scale * x);
        }
        return Factorization::Whole(Dense::new(sum, columns));
    }
    let pairs: Vec<(Dense, Dense)> = terms.iter().map(|(term, _)| term.pair()).collect();
    let mut left = Vec::with_capacity(rows * rank);
    for row in 0..rows {
        for ((part, _), (_, scale)) in pairs.iter().zip(terms) {
            left.extend(part.data[row * part.columns..][..part.columns].iter().map(|x| x * scale));
        }
    }
    let right = pairs.into_iter().flat_map(|(_, right)| right.data).collect();
    Factorization::product(left, right, rank)
}

struct Planner<'a, 'b> {
    scheme: KeyScheme<'a>,
    options: MergeOptions,
    pieces: Vec<TensorGroup>,
    layers: Vec<Layer<'a, 'b>>,
    notes: PeftMetadata,
    rows: Vec<KeptRow>,
    dropped: Vec<DroppedKey>,
}

impl<'a, 'b> Planner<'a, 'b> {
    async fn layer(&mut self, parts: Vec<Part<'a, 'b>>) -> Result<(), EditError> {
        let layer = Layer { parts, rank: None };
        let dtypes = layer.parts.iter().map(|part| dtype(part.delta, self.options.dtype));
        let dtype = dtypes.reduce(common_dtype).map_or(Dtype::F32, writable);
        if layer.is_vector() && self.can_store(&layer.parts[0]) {
            return self.add_vector(layer, dtype);
        }
        let matrix = match layer.summed().await {
            Err(EditError::NoMatrix { algorithm, .. }) if self.options.drop => {
                let reason = sentence!("dropped.no_matrix", algorithm = algorithm.word());
                let keys = layer.parts.iter().flat_map(|part| part.delta.change.factors());
                let dropped = keys.map(|factor| DroppedKey { key: factor.key.clone(), reason: reason.clone() });
                self.dropped.extend(dropped);
                return Ok(());
            }
            matrix => matrix?,
        };
        let Part { opened, delta, .. } = layer.parts[0];
        let name = opened.layer(delta);
        let spectrum = spectrum(&name, &matrix, 1.0)?;
        let rank = match self.options.rule {
            Some(rule) => rule.rank(&spectrum),
            None if matrix.is_low_rank() => matrix.pair_rank(),
            None => matrix.rank(),
        };
        let before: Option<Vec<usize>> = layer.parts.iter().map(|part| part.delta.change.rank()).collect();
        self.rows.push(KeptRow::new(name, before.map(|ranks| ranks.iter().sum()), rank, &spectrum));
        self.notes.add(delta, rank, rank as f32, false);
        let (keys, shape) = (PairKeys::of(self.scheme, opened, delta)?, layer_shape(opened, delta));
        self.pieces.extend(pair_pieces(keys, &shape, rank, dtype, self.layers.len()));
        self.layers.push(Layer { rank: Some(rank), ..layer });
        Ok(())
    }

    /// Returns whether the key format can store a change as it is.
    fn can_store(&self, part: &Part) -> bool {
        let mut roles = roles(part.opened, part.delta).into_values();
        match self.scheme {
            KeyScheme::Own => true,
            KeyScheme::Target(target, _) => roles.all(|role| target.holds(role)),
        }
    }

    fn add_vector(&mut self, layer: Layer<'a, 'b>, dtype: Dtype) -> Result<(), EditError> {
        let Part { opened, delta, .. } = layer.parts[0];
        let mut slots = Vec::new();
        for role in roles(opened, delta).into_values() {
            slots.push(TensorSpec { name: self.scheme.key(opened, delta, role)?, dtype, shape: delta.change.shape() });
        }
        self.pieces.push(TensorGroup { slots, origin: Origin::Layer(self.layers.len()) });
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
        self.notes.replace(&mut metadata, self.scheme, configured);
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

/// Returns the metadata that all files share, with their names as `modelspec.merged_from`.
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
                Some(rank) => Ok(pair(&layer.summed().await?, 1.0, rank)),
                None => Ok(vec![layer.summed_vector().await?]),
            }
        };
        self.draft.write(None, make, out).await
    }
}
