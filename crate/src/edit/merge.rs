//! Merge of several adapters with strengths into one. Sums are exact, by concatenating the factors along the rank, or
//! truncated to a lower rank; what a sparse method leaves of the changes is approximated at a rank.

use super::conflict::{Conflict, cosine};
use super::draft::{Draft, Origin, Outcome, TensorGroup, TensorSpec, writable};
use super::error::EditError;
use super::merge_method::{MergeMethod, merge_sparse, slerp_weights};
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
use crate::linalg::{Dense, Factorization, LowRank, norm, pair_is_smaller};
use crate::num::to_f32;
use crate::sentence::sentence;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct MergeOptions {
    /// Method.
    pub method: MergeMethod,
    /// Share of each change's elements that a sparse method keeps.
    pub density: f64,
    /// Seed of the random elements of DARE.
    pub seed: u32,
    /// Position of SLERP between the first file (0) and the second (1).
    pub position: f64,
    /// Rank of each layer; if absent, exact, or the largest of the inputs' ranks with a sparse method, which takes fixed ranks
    /// only.
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

impl Default for MergeOptions {
    fn default() -> MergeOptions {
        let (method, rule, to, dtype) = (MergeMethod::Linear, None, None, None);
        MergeOptions { method, density: 0.5, seed: 0, position: 0.5, rule, to, dtype, drop: false }
    }
}

/// The layers and size of a merge's result.
#[derive(Debug, Clone, Serialize, TS)]
pub struct MergePreview {
    /// Number of changed layers.
    pub changed: usize,
    /// Layers that are LoRA in the result; the rank before is the sum of the inputs' ranks. Empty for a sparse method, whose
    /// ranks are known when the result is written.
    pub layers: Vec<KeptRow>,
    /// Number of layers that more than one file changes.
    pub shared: usize,
    /// How the changes of each of these layers fit together, the least similar first.
    pub conflicts: Vec<Conflict>,
    /// Share of the total energy Σσ² of all layers that is kept; null for a sparse method.
    pub energy: Option<f64>,
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
    options: MergeOptions,
    draft: Draft,
    kept: RefCell<Vec<KeptRow>>,
    /// Layers and size of the result.
    pub preview: MergePreview,
}

/// One layer: the changes that are merged.
struct Layer<'a, 'b> {
    parts: Vec<Part<'a, 'b>>,
    /// Rank of the LoRA pair; `None` for a one-dimensional change.
    rank: Option<usize>,
}

/// One file's change of a layer.
struct Part<'a, 'b> {
    opened: &'a Opened<'b>,
    delta: &'a Delta,
    /// Index of the file.
    file: usize,
    /// The file's strength times the block weight.
    strength: f32,
}

/// A change at strength 1, and its strength.
type Term = (Factorization, f32);

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
    check(options, inputs.len())?;
    let to = options.to.or_else(|| first.layers.as_ref().and(target_of(first)));
    let mut planner = Planner {
        scheme: KeyScheme::new(to, first)?,
        options,
        pieces: Vec::new(),
        layers: Vec::new(),
        notes: PeftMetadata::default(),
        rows: Vec::new(),
        conflicts: Vec::new(),
        dropped: Vec::new(),
    };
    for parts in by_layer(inputs, &mut planner.dropped) {
        planner.layer(parts).await?;
    }
    planner.finish(inputs)
}

/// Checks the options of a merge of this many files.
fn check(options: MergeOptions, files: usize) -> Result<(), EditError> {
    let rule = options.rule.map(RankRule::checked).transpose()?;
    if options.method == MergeMethod::Slerp && files != 2 {
        return Err(EditError::Files { wants: "edit.two_files", files });
    }
    if !(0.0..=1.0).contains(&options.position) {
        return Err(EditError::NoPosition(options.position));
    }
    if !options.method.is_sparse() {
        return Ok(());
    }
    match rule {
        Some(RankRule::Energy(_) | RankRule::Ratio(_)) => Err(EditError::FixedRankOnly),
        _ if options.density > 0.0 && options.density <= 1.0 => Ok(()),
        _ => Err(EditError::NoShare(options.density)),
    }
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
    for (file, MergeInput { opened, strength, strengths }) in inputs.iter().enumerate() {
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
            layers[index].push(Part { opened, delta, file, strength });
        }
    }
    layers
}

impl Layer<'_, '_> {
    /// Returns the layer's display name.
    fn name(&self) -> String {
        self.parts[0].opened.layer(self.parts[0].delta)
    }

    /// Reads the changes.
    async fn terms(&self) -> Result<Vec<Term>, EditError> {
        let mut terms: Vec<Term> = Vec::new();
        for part in &self.parts {
            let change = match self.is_vector() {
                true => vector(part).await?,
                false => form(part.opened, part.delta).await?,
            };
            terms.push((change, part.strength * part.delta.scale));
        }
        let size = terms[0].0.size();
        for ((term, _), part) in terms.iter().zip(&self.parts) {
            if term.size() != size {
                let (file_a, file_b) = (self.parts[0].opened.file.clone(), part.opened.file.clone());
                return Err(EditError::OtherShape { layer: self.name(), file_a, a: size, file_b, b: term.size() });
            }
        }
        Ok(terms)
    }

    /// Returns the merged change: concatenated factors, or a dense matrix.
    fn merged(&self, mut terms: Vec<Term>, options: MergeOptions) -> Factorization {
        let size = terms[0].0.size();
        match options.method {
            MergeMethod::Linear => sum(&terms, size),
            MergeMethod::Slerp => {
                let cosine = if let [a, b] = &terms[..] { cosine(a, b) } else { None };
                let weights = slerp_weights(cosine, options.position);
                for ((_, scale), part) in terms.iter_mut().zip(&self.parts) {
                    *scale *= to_f32(weights[part.file]);
                }
                sum(&terms, size)
            }
            method => {
                let weighted = |((term, _), part): (&Term, &Part)| {
                    let elements = term.matrix().data.into_iter().map(|x| x * part.delta.scale).collect();
                    (elements, part.strength)
                };
                let changes = terms.iter().zip(&self.parts).map(weighted).collect();
                let merged = merge_sparse(method, options.density, options.seed, &self.name(), changes);
                Factorization::Whole(Dense::new(merged, size.1))
            }
        }
    }

    /// Returns the largest of the changes' ranks.
    fn largest_rank(&self, (rows, columns): (usize, usize)) -> usize {
        let full = rows.min(columns);
        let ranks = self.parts.iter().map(|part| part.delta.change.rank().map_or(full, |rank| rank.min(full)));
        ranks.max().unwrap_or(full)
    }

    /// Returns whether every change is one-dimensional: a norm or a bias.
    fn is_vector(&self) -> bool {
        let is_vector = |part: &Part| part.delta.algorithm.is_difference() && part.delta.change.shape().len() == 1;
        self.parts.iter().all(is_vector)
    }
}

/// Reads a one-dimensional change, as a matrix of one row.
async fn vector(part: &Part<'_, '_>) -> Result<Factorization, EditError> {
    let factors = part.opened.read_factors(part.delta).await?;
    let elements = factors.into_values().next().unwrap_or_default();
    let columns = elements.len();
    Ok(Factorization::Whole(Dense::new(elements, columns)))
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
    conflicts: Vec<Conflict>,
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
        let terms = match layer.terms().await {
            Err(EditError::NoMatrix { algorithm, .. }) if self.options.drop => {
                let reason = sentence!("dropped.no_matrix", algorithm = algorithm.word());
                let keys = layer.parts.iter().flat_map(|part| part.delta.change.factors());
                let dropped = keys.map(|factor| DroppedKey { key: factor.key.clone(), reason: reason.clone() });
                self.dropped.extend(dropped);
                return Ok(());
            }
            terms => terms?,
        };
        if terms.len() > 1 {
            self.conflicts.push(Conflict::of(layer.name(), &terms));
        }
        let rank = match self.options.rule {
            rule if self.options.method.is_sparse() => {
                let (rows, columns) = terms[0].0.size();
                let fixed = rule.and_then(RankRule::fixed).map(|rank| rank.min(rows).min(columns));
                fixed.unwrap_or_else(|| layer.largest_rank((rows, columns)))
            }
            rule => self.measured_rank(&layer, terms, rule)?,
        };
        let Part { opened, delta, .. } = layer.parts[0];
        self.notes.add(delta, rank, rank as f32, false);
        let (keys, shape) = (PairKeys::of(self.scheme, opened, delta)?, layer_shape(opened, delta));
        self.pieces.extend(pair_pieces(keys, &shape, rank, dtype, self.layers.len()));
        self.layers.push(Layer { rank: Some(rank), ..layer });
        Ok(())
    }

    /// Returns the rank of a sum by a rule, and adds the layer's row.
    fn measured_rank(&mut self, layer: &Layer, terms: Vec<Term>, rule: Option<RankRule>) -> Result<usize, EditError> {
        let matrix = layer.merged(terms, self.options);
        let spectrum = spectrum(&layer.name(), &matrix, 1.0)?;
        let rank = match rule {
            Some(rule) => rule.rank(&spectrum),
            None if matrix.is_low_rank() => matrix.pair_rank(),
            None => matrix.rank(),
        };
        let before: Option<Vec<usize>> = layer.parts.iter().map(|part| part.delta.change.rank()).collect();
        self.rows.push(KeptRow::new(layer.name(), before.map(|ranks| ranks.iter().sum()), rank, &spectrum));
        Ok(rank)
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

    fn finish(mut self, inputs: &[MergeInput]) -> Result<MergePlan<'a, 'b>, EditError> {
        if self.layers.is_empty() {
            return Err(EditError::Nothing);
        }
        let mut metadata = common(inputs);
        self.notes.describe(&mut metadata);
        let configured = inputs.iter().any(|input| input.opened.is_configured());
        self.notes.replace(&mut metadata, self.scheme, configured);
        let draft = Draft::new(self.pieces, metadata);
        self.conflicts.sort_by(|a, b| a.cosine.unwrap_or(1.0).total_cmp(&b.cosine.unwrap_or(1.0)));
        let preview = MergePreview {
            changed: self.layers.len(),
            conflicts: self.conflicts,
            energy: (!self.options.method.is_sparse()).then(|| energy_kept(&self.rows)),
            shared: self.layers.iter().filter(|layer| layer.parts.len() > 1).count(),
            layers: self.rows,
            dropped: self.dropped,
            size_before: inputs.iter().map(|input| input.opened.source.len()).sum(),
            size_after: draft.size(),
        };
        Ok(MergePlan { layers: self.layers, options: self.options, draft, kept: RefCell::default(), preview })
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
    /// Writes the result; see [`Draft::write`]. Also returns the energy kept per layer.
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<(Outcome, Vec<KeptRow>), EditError> {
        let outcome = self.draft.write(None, async |layer| self.make(&self.layers[layer]).await, out).await?;
        let written = self.kept.take();
        let kept = if self.options.method.is_sparse() { written } else { self.preview.layers.clone() };
        Ok((outcome, kept))
    }

    async fn make(&self, layer: &Layer<'_, '_>) -> Result<Vec<Vec<f32>>, EditError> {
        let merged = layer.merged(layer.terms().await?, self.options);
        let Some(rank) = layer.rank else { return Ok(vec![merged.matrix().data]) };
        let Factorization::Whole(dense) = &merged else { return Ok(pair(&merged, 1.0, rank)) };
        if !self.options.method.is_sparse() {
            return Ok(pair(&merged, 1.0, rank));
        }
        let norm = norm(&dense.data);
        if !norm.is_finite() {
            return Err(EditError::NotFinite { layer: layer.name() });
        }
        let low_rank = LowRank::of(&merged, rank);
        let before: Option<Vec<usize>> = layer.parts.iter().map(|part| part.delta.change.rank()).collect();
        let before = before.map(|ranks| ranks.iter().sum());
        self.kept.borrow_mut().push(KeptRow::of_low_rank(layer.name(), before, rank, norm, &low_rank));
        let (up, down) = low_rank.balanced(rank);
        Ok(vec![down, up])
    }
}
