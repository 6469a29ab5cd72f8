//! Conversion of an adapter: another key format or dtype, alpha stored elsewhere, or other algorithms
//! converted to LoRA.

use super::draft::{Draft, Origin, Outcome, TensorGroup, TensorSpec};
use super::error::EditError;
use super::model_side::ModelSide;
use super::names::Target;
use super::of_base::{change_of_base, is_matrix_of_base};
use super::open::Opened;
use super::pairs::{
    KeptRow, KeyScheme, PairKeys, alpha, check_rank, check_size, dtype, form, is_convertible, layer_shape, lora_rank,
    no_name, pair, pair_pieces, roles,
};
use super::peft::PeftMetadata;
use super::preview::{BakedScale, ConvertPreview, DroppedKey, Rebuilt, Renamed};
use super::qkv::{Block, Destination, assembled, place};
use crate::adapters::{Algorithm, Delta, Part, Strengths};
use crate::formats::{ByteSink, ByteSource, Dtype, Header, TensorInfo};
use crate::linalg::Factorization;
use crate::model::spelling::Role;
use crate::sentence::{Sentence, Value, sentence};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// Where the scale alpha / rank is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum AlphaPlace {
    /// Kept if the key format has alpha tensors, else baked.
    #[default]
    Usual,
    /// Kept as alpha: in tensors, or in the header for PEFT.
    Kept,
    /// Multiplied into the weights of the first factor.
    Baked,
}

/// Options of a conversion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ConvertOptions {
    /// Key format; the file's own keys if absent.
    pub to: Option<Target>,
    /// F32, F16 or BF16; each layer's own dtype if absent.
    #[ts(type = "\"F32\" | \"F16\" | \"BF16\" | null")]
    pub dtype: Option<Dtype>,
    /// Where the scale is stored.
    pub alpha: AlphaPlace,
    /// Whether LoHa, LoKr and LoCon (Tucker) become LoRA even if the key format supports them; with a base model, also
    /// OFT, BOFT, DoRA and others whose change depends on its weights.
    pub as_lora: bool,
    /// Rank of layers that have no exact LoRA.
    pub rank: Option<usize>,
    /// Whether unsupported and incomplete layers are dropped instead of causing an error.
    pub drop: bool,
    /// Whether keys that match no layer are copied.
    pub keep_leftovers: bool,
    /// Block weights.
    pub strengths: Strengths,
    /// Layers to remove, by their paths in the report: `unet.down_blocks.0…`.
    pub without: Vec<String>,
    /// Keys to remove that belong to no delta: those of a report's leftovers.
    pub without_keys: Vec<String>,
    /// Whether NaN and infinite elements become 0.
    pub zero_non_finite: bool,
    /// Number of blocks of a model that was made deeper by inserting blocks, which the file's blocks are moved to.
    pub to_blocks: Option<usize>,
}

/// A planned conversion.
pub struct Conversion<'a, 'b> {
    opened: &'a Opened<'b>,
    base: Option<ModelSide<'a>>,
    layers: Vec<Layer<'a>>,
    draft: Draft,
    /// The changes.
    pub preview: ConvertPreview,
}

/// One layer of the result.
pub(super) enum Layer<'a> {
    /// The same factors in `order`; those in `bake` are multiplied by `scale`.
    Same { delta: &'a Delta, order: Vec<String>, bake: Vec<String>, scale: f32, zero_non_finite: bool },
    /// A LoRA pair computed from the factors.
    Pair { delta: &'a Delta, rank: usize, scale: f32 },
    /// A LoRA pair computed from the change of the base model's weight.
    OfBase { delta: &'a Delta, rank: usize, strength: f32 },
    /// A LoRA pair for a layer of `rows` outputs, assembled from rows of other layers; those of other algorithms are
    /// approximated at rank `limit`.
    Joint { blocks: Vec<Block<'a>>, rows: usize, rank: usize, limit: Option<usize> },
}

/// Plans a conversion. Reads alphas, and the factors of layers that become LoRA.
pub async fn convert<'a, 'b>(
    opened: &'a Opened<'b>,
    options: &ConvertOptions,
) -> Result<Conversion<'a, 'b>, EditError> {
    plan(opened, options, None, true).await
}

/// Plans a conversion in which changes that depend on the base model's weights can become LoRA, too. The file has to be
/// opened [`on`](Opened::on) the base model.
pub async fn convert_with_base<'a, 'b>(
    opened: &'a Opened<'b>,
    options: &ConvertOptions,
    base: ModelSide<'a>,
) -> Result<Conversion<'a, 'b>, EditError> {
    plan(opened, options, Some(base), true).await
}

/// Returns the header of a conversion without reading factors: its keys are those of [`convert`], but the ranks of
/// computed LoRAs are assumed.
pub(super) async fn converted_header(opened: &Opened<'_>, options: &ConvertOptions) -> Result<Header, EditError> {
    Ok(plan(opened, options, None, false).await?.draft.header().clone())
}

async fn plan<'a, 'b>(
    opened: &'a Opened<'b>,
    options: &ConvertOptions,
    base: Option<ModelSide<'a>>,
    reads_factors: bool,
) -> Result<Conversion<'a, 'b>, EditError> {
    let scheme = KeyScheme::new(options.to, opened)?;
    check_rank(options.rank)?;
    let mut planner = Planner {
        opened,
        options,
        base,
        scheme,
        reads_factors,
        pieces: Vec::new(),
        layers: Vec::new(),
        notes: PeftMetadata::default(),
        preview: ConvertPreview {
            from: opened.adapter.convention.clone(),
            to: options.to,
            tensors_before: opened.header.tensors.len(),
            size_before: opened.source.len(),
            ..ConvertPreview::default()
        },
    };
    planner.unused_keys()?;
    for delta in &opened.adapter.deltas {
        match planner.delta(delta).await {
            Err(EditError::Unsupported { what, hint, .. }) if options.drop => {
                planner.drop_delta(delta, &sentence!("dropped.unsupported", what = what, hint = Value::phrase(hint)));
            }
            Err(EditError::NoMatrix { algorithm, .. } | EditError::NotAMatrix { algorithm, .. }) if options.drop => {
                let id = if base.is_some() { "dropped.not_a_matrix" } else { "dropped.no_matrix" };
                planner.drop_delta(delta, &sentence!(id, algorithm = algorithm.word()));
            }
            Err(EditError::NoMatrix { layer, algorithm }) if base.is_some() => {
                return Err(EditError::NotAMatrix { layer, algorithm });
            }
            other => other?,
        }
    }
    planner.finish()
}

impl Conversion<'_, '_> {
    /// The header of the result.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Writes the result; see [`Draft::write`].
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<Outcome, EditError> {
        let source = (self.opened.file.as_str(), &self.opened.source as &dyn ByteSource);
        self.draft.write(Some(source), async |layer| self.make(&self.layers[layer]).await, out).await
    }

    async fn make(&self, layer: &Layer<'_>) -> Result<Vec<Vec<f32>>, EditError> {
        match layer {
            Layer::Pair { delta, rank, scale } => Ok(pair(&form(self.opened, delta).await?, *scale, *rank)),
            Layer::OfBase { delta, rank, strength } => {
                let matrix = change_of_base(self.opened, self.base, delta, *strength).await?;
                Ok(pair(&matrix, 1.0, *rank))
            }
            Layer::Joint { blocks, rows, rank, limit } => {
                Ok(pair(&assembled(self.opened, blocks, *rows, *limit).await?, 1.0, *rank))
            }
            Layer::Same { delta, order, bake, scale, zero_non_finite } => {
                let mut factors = self.opened.read_factors(delta).await?;
                if *zero_non_finite {
                    factors.values_mut().flatten().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
                }
                for key in bake {
                    factors.entry(key.clone()).and_modify(|data| data.iter_mut().for_each(|x| *x *= scale));
                }
                Ok(order.iter().map(|key| factors.remove(key).unwrap_or_default()).collect())
            }
        }
    }
}

/// Returns the shape of a pair's tensor, stored as a matrix, for a convolution of shape `layer`.
fn with_kernel(role: Role, stored: &[usize], layer: &[usize]) -> Option<Vec<usize>> {
    match role {
        Role::Down => Some([&stored[..1], &layer[1..]].concat()),
        Role::Up => Some([stored, &vec![1; layer.len() - 2]].concat()),
        _ => None,
    }
}

pub(super) struct Planner<'a, 'b, 'c> {
    pub(super) opened: &'a Opened<'b>,
    pub(super) options: &'c ConvertOptions,
    pub(super) base: Option<ModelSide<'a>>,
    pub(super) scheme: KeyScheme<'a>,
    /// Whether the factors of computed LoRAs are read.
    pub(super) reads_factors: bool,
    pub(super) pieces: Vec<TensorGroup>,
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) notes: PeftMetadata,
    pub(super) preview: ConvertPreview,
}

impl<'a, 'b> Planner<'a, 'b, '_> {
    fn drop_key(&mut self, key: &str, reason: Sentence) {
        self.preview.dropped.push(DroppedKey { key: key.into(), reason });
    }

    /// Copies or drops the keys that match no layer; drops parts of a layer's change only on request.
    fn unused_keys(&mut self) -> Result<(), EditError> {
        let removed = &self.options.without_keys;
        self.opened.check_complete(|key| self.options.drop || removed.iter().any(|removed| removed == key))?;
        for left in &self.opened.adapter.leftovers {
            if removed.contains(&left.key) {
                self.drop_key(&left.key, sentence!("dropped.requested"));
                continue;
            }
            match self.opened.header.get(&left.key) {
                Some(tensor) if left.reason.is_foreign() && self.options.keep_leftovers => self.copy(tensor),
                _ => self.drop_key(&left.key, left.reason.sentence()),
            }
        }
        Ok(())
    }

    fn copy(&mut self, tensor: &TensorInfo) {
        let slot = TensorSpec { name: tensor.name.clone(), dtype: tensor.dtype, shape: tensor.shape.clone() };
        self.pieces.push(TensorGroup { slots: vec![slot], origin: Origin::Copy(tensor.clone()) });
    }

    fn drop_delta(&mut self, delta: &Delta, reason: &Sentence) {
        for factor in delta.change.factors() {
            self.drop_key(&factor.key, reason.clone());
        }
    }

    async fn delta(&mut self, delta: &'a Delta) -> Result<(), EditError> {
        if self.options.without.contains(&delta.path()) {
            self.drop_delta(delta, &sentence!("dropped.requested"));
            return Ok(());
        }
        let with_base = self.options.as_lora && self.base.is_some();
        if delta.algorithm == Algorithm::PeftIa3 && delta.part == Part::Bias {
            // The weight's change has the same tensor, but a LoRA of it has no bias.
            let (layer, algorithm) = (self.opened.layer(delta), delta.algorithm);
            return if with_base { Err(EditError::NotAMatrix { layer, algorithm }) } else { Ok(()) };
        }
        let strength = self.options.strengths.of(delta);
        if strength == 0.0 {
            self.drop_delta(delta, &sentence!("dropped.zero_weight"));
            return Ok(());
        }
        let of_base = with_base && is_matrix_of_base(delta);
        if strength != 1.0 && !delta.algorithm.is_linear() && !of_base {
            let layer = self.opened.layer(delta);
            return Err(EditError::NotLinear { layer, algorithm: delta.algorithm, strength });
        }
        let dtype = dtype(delta, self.options.dtype);
        if let (KeyScheme::Target(target, _), Some(layers)) = (self.scheme, &self.opened.layers) {
            match place(layers, delta, target.is_native(&self.opened.model)) {
                Destination::Same => {}
                Destination::Nowhere => return Err(no_name(self.opened.layer(delta), target)),
                Destination::Swap => return self.swap(delta, target, strength).await,
                Destination::Split(fusion) => return self.split(delta, fusion, target, strength).await,
                Destination::Fuse(fusion) => return self.fuse(fusion, target).await,
            }
        }
        self.preview.retyped += usize::from(delta.change.factors().iter().any(|factor| factor.dtype != dtype));
        if of_base {
            return self.pair_of_base(delta, strength, dtype).await;
        }
        if self.becomes_lora(delta)? {
            return self.pair(delta, delta.scale * strength, dtype).await;
        }
        self.same(delta, strength, dtype).await
    }

    /// Returns whether a delta must or should become LoRA; an error if the key format cannot store it.
    fn becomes_lora(&self, delta: &Delta) -> Result<bool, EditError> {
        let composed = delta.algorithm.is_composed();
        // VeRA's projections belong to several layers, and SHiRA's indices are exact integers.
        let is_rewritable = !matches!(delta.algorithm, Algorithm::Vera | Algorithm::Shira);
        let KeyScheme::Target(target, _) = self.scheme else {
            return Ok((self.options.as_lora || !is_rewritable) && composed);
        };
        let unsupported = |what: Value, hint| {
            let (layer, target) = (self.opened.layer(delta), target.name());
            Err(EditError::Unsupported { layer, what, target, hint })
        };
        let roles: Vec<Role> = roles(self.opened, delta).into_values().collect();
        let oft = roles.contains(&Role::OftBlocks);
        if oft
            && target != Target::Kohya
            && self.opened.group(delta).is_some_and(|group| group.stem.starts_with("oft_"))
        {
            return unsupported(sentence!("edit_what.kohya_oft").into(), "edit_hint.kohya_oft");
        }
        if delta.algorithm == Algorithm::Dora {
            let per_input = self.has_input_magnitudes(delta);
            return match target {
                Target::Diffusers | Target::Aitoolkit => unsupported(delta.algorithm.word().into(), "edit_hint.peft"),
                Target::Peft if per_input => {
                    unsupported(sentence!("edit_what.dora_per_input").into(), "edit_hint.dora_per_input")
                }
                Target::Peft
                    if !roles
                        .iter()
                        .all(|role| matches!(role, Role::Up | Role::Down | Role::DoraScale | Role::Magnitude)) =>
                {
                    unsupported(sentence!("edit_what.dora_of_other").into(), "edit_hint.kohya")
                }
                _ => Ok(false),
            };
        }
        if roles.iter().all(|&role| target.holds(role) || role == Role::Magnitude) {
            return Ok(self.options.as_lora && composed);
        }
        if is_convertible(delta) {
            return Ok(true);
        }
        let what = match delta.part {
            Part::Bias => sentence!("edit_what.bias", algorithm = delta.algorithm.word()),
            Part::Weight => delta.algorithm.word(),
        };
        let hint = if target == Target::Kohya { "edit_hint.own_keys" } else { "edit_hint.kohya" };
        unsupported(what.into(), hint)
    }

    /// Returns the rank of the LoRA for a change of another algorithm, and notes it with its error.
    pub(super) fn note_lora(
        &mut self,
        layer: String,
        delta: &Delta,
        matrix: &Factorization,
        scale: f32,
    ) -> Result<usize, EditError> {
        let Some((rank, exact)) = lora_rank(matrix, self.options.rank) else {
            return Err(EditError::NeedsRank { layer, algorithm: delta.algorithm, rank: matrix.rank() });
        };
        let kept = KeptRow::of_matrix(layer, delta.change.rank(), (rank, exact), matrix, scale)?;
        self.preview.rebuilt.push(Rebuilt { algorithm: delta.algorithm, exact, kept });
        Ok(rank)
    }

    /// Returns whether the magnitudes of DoRA are per input rather than per output.
    fn has_input_magnitudes(&self, delta: &Delta) -> bool {
        let roles = roles(self.opened, delta);
        let magnitudes =
            delta.change.factors().into_iter().find(|factor| roles.get(&*factor.key) == Some(&Role::DoraScale));
        magnitudes.is_some_and(|magnitudes| magnitudes.shape.len() > 1 && magnitudes.shape[0] == 1)
    }

    /// Returns the rank of a LoRA for a change of another algorithm whose factors are not read.
    pub(super) fn assumed_rank(&self, layer: String, delta: &Delta) -> Result<usize, EditError> {
        let full_rank = delta.change.shape().into_iter().take(2).min().unwrap_or(1);
        self.options.rank.ok_or(EditError::NeedsRank { layer, algorithm: delta.algorithm, rank: full_rank })
    }

    async fn pair(&mut self, delta: &'a Delta, scale: f32, dtype: Dtype) -> Result<(), EditError> {
        check_size(self.opened, delta)?;
        let rank = match self.reads_factors {
            true => self.note_lora(self.opened.layer(delta), delta, &form(self.opened, delta).await?, scale)?,
            false => self.assumed_rank(self.opened.layer(delta), delta)?,
        };
        self.add_pair(delta, rank, dtype)?;
        self.layers.push(Layer::Pair { delta, rank, scale });
        Ok(())
    }

    /// Adds a LoRA of what the delta changes in the base model's weight.
    async fn pair_of_base(&mut self, delta: &'a Delta, strength: f32, dtype: Dtype) -> Result<(), EditError> {
        let matrix = change_of_base(self.opened, self.base, delta, strength).await?;
        let rank = self.note_lora(self.opened.layer(delta), delta, &matrix, 1.0)?;
        self.add_pair(delta, rank, dtype)?;
        self.layers.push(Layer::OfBase { delta, rank, strength });
        Ok(())
    }

    /// Adds the tensors of a LoRA pair for the next layer.
    fn add_pair(&mut self, delta: &Delta, rank: usize, dtype: Dtype) -> Result<(), EditError> {
        self.notes.add(delta, rank, rank as f32, false);
        let (keys, shape) = (PairKeys::of(self.scheme, self.opened, delta)?, layer_shape(self.opened, delta));
        self.pieces.extend(pair_pieces(keys, &shape, rank, dtype, self.layers.len()));
        Ok(())
    }

    async fn same(&mut self, delta: &'a Delta, strength: f32, dtype: Dtype) -> Result<(), EditError> {
        let roles = roles(self.opened, delta);
        let factors = delta.change.factors();
        let mut slots = Vec::new();
        for factor in &factors {
            let role = roles.get(&*factor.key).copied();
            let (name, shape) = self.renamed(delta, &factor.key, role)?;
            let stored_shape = self.opened.header.get(&factor.key).map(|tensor| tensor.shape.clone());
            slots.push(TensorSpec {
                name,
                dtype,
                shape: shape.or(stored_shape).unwrap_or_else(|| factor.shape.clone()),
            });
        }
        let order: Vec<String> = factors.iter().map(|factor| factor.key.clone()).collect();
        let (scale, stored_alpha) = self.scale(delta, strength);
        let scaled = delta.algorithm.scaled_factors().iter().filter(|_| scale != 1.0);
        let bake: Vec<String> = scaled.map(|&index| order[index].clone()).collect();
        if scale != 1.0 {
            self.preview.baked.push(BakedScale { path: self.opened.layer(delta), scale });
        }
        for (from, slot) in order.iter().zip(&slots).filter(|(from, slot)| **from != slot.name) {
            self.preview.renamed.push(Renamed { from: from.clone(), to: slot.name.clone() });
        }
        self.pieces.push(TensorGroup { slots, origin: Origin::Layer(self.layers.len()) });
        if let Some(value) = stored_alpha {
            self.pieces.push(alpha(self.scheme.key(self.opened, delta, Role::Alpha)?, value, dtype));
        }
        self.on_input(delta, dtype).await?;
        let zero_non_finite = self.options.zero_non_finite;
        self.layers.push(Layer::Same { delta, order, bake, scale, zero_non_finite });
        Ok(())
    }

    /// Returns a factor's new key, and its new shape if the key format stores another one.
    fn renamed(&self, delta: &Delta, key: &str, role: Option<Role>) -> Result<(String, Option<Vec<usize>>), EditError> {
        let (Some(role), KeyScheme::Target(target, _)) = (role, self.scheme) else { return Ok((key.to_owned(), None)) };
        if role == Role::OftBlocks && target == Target::Kohya && key.starts_with("oft_") {
            return Ok((key.to_owned(), None));
        }
        let (outputs, kernel) = (delta.change.shape()[0], delta.change.shape().len().saturating_sub(2));
        let layer = layer_shape(self.opened, delta);
        // Other programs than ComfyUI read kernels only with all of their axes.
        let is_pair = matches!(delta.algorithm, Algorithm::Lora | Algorithm::Locon);
        let flat = self.opened.header.get(key).filter(|tensor| is_pair && tensor.shape.len() == 2 && layer.len() > 2);
        if let Some(shape) = flat.and_then(|tensor| with_kernel(role, &tensor.shape, &layer)) {
            return Ok((self.scheme.key(self.opened, delta, role)?, Some(shape)));
        }
        let (role, shape) = match role {
            Role::DoraScale if target == Target::Peft && kernel == 0 => (Role::Magnitude, Some(vec![outputs])),
            Role::DoraScale if target == Target::Peft => {
                (Role::Magnitude, Some([vec![1, outputs], vec![1; kernel]].concat()))
            }
            Role::Magnitude if target != Target::Peft => {
                (Role::DoraScale, Some([vec![outputs, 1], vec![1; kernel]].concat()))
            }
            role => (role, None),
        };
        Ok((self.scheme.key(self.opened, delta, role)?, shape))
    }

    /// Returns the multiplier of the first factor and the alpha to write, if any.
    fn scale(&mut self, delta: &Delta, strength: f32) -> (f32, Option<f32>) {
        let has_alpha = self.scheme.has_alpha(self.opened, delta);
        // A mark is not written again.
        let scale = delta.scale * strength * delta.change.mark();
        let Some(rank) = delta.change.alpha_rank() else {
            return (scale, delta.alpha.filter(|_| has_alpha && !self.has_weight(delta)));
        };
        let rank = rank as f32;
        let group = self.opened.group(delta);
        let has = |role| group.is_some_and(|group| group.get(role).is_some());
        let as_stored = strength == 1.0 && has(Role::Alpha) && !has(Role::Scale);
        let alpha = delta.alpha.filter(|_| as_stored).unwrap_or(scale * rank);
        let is_peft = matches!(self.scheme, KeyScheme::Target(Target::Peft, _));
        let (bake, alpha) = match self.options.alpha {
            AlphaPlace::Baked => (scale, rank),
            AlphaPlace::Kept if is_peft => (1.0, alpha),
            _ if has_alpha => (1.0, alpha),
            _ => (scale, rank),
        };
        self.notes.add(delta, delta.change.rank().unwrap_or(1), alpha, delta.algorithm == Algorithm::Dora);
        (bake, Some(alpha).filter(|_| has_alpha))
    }

    /// Returns whether a bias has a weight of the same layer, whose alpha the file has once.
    fn has_weight(&self, delta: &Delta) -> bool {
        let is_weight = |other: &Delta| {
            other.part == Part::Weight && other.component == delta.component && other.module.path == delta.module.path
        };
        delta.part == Part::Bias && self.opened.adapter.deltas.iter().any(is_weight)
    }

    /// Copies the `on_input` flag of (IA)³.
    async fn on_input(&mut self, delta: &Delta, dtype: Dtype) -> Result<(), EditError> {
        let group = self.opened.group(delta).filter(|_| delta.algorithm == Algorithm::Ia3);
        let Some(tensor) = group.and_then(|group| group.get(Role::OnInput)) else { return Ok(()) };
        let value = tensor.read(&self.opened.source).await.map_err(|source| self.opened.unreadable(source))?;
        let name = self.scheme.key(self.opened, delta, Role::OnInput)?;
        self.pieces.extend(value.first().map(|&value| alpha(name, value, dtype)));
        Ok(())
    }

    fn finish(mut self) -> Result<Conversion<'a, 'b>, EditError> {
        if self.layers.is_empty() {
            return Err(EditError::Nothing);
        }
        if let Some(blocks) = self.options.to_blocks {
            self.move_blocks(blocks)?;
        }
        let metadata = self.metadata();
        let draft = Draft::new(self.pieces, metadata);
        self.preview.tensors_after = draft.header().tensors.len();
        self.preview.size_after = draft.size();
        Ok(Conversion { opened: self.opened, base: self.base, layers: self.layers, draft, preview: self.preview })
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = self.opened.header.metadata.clone();
        self.notes.replace(&mut metadata, self.scheme, self.opened.is_configured());
        if !self.preview.rebuilt.is_empty() {
            self.notes.describe(&mut metadata);
        }
        metadata.entry("format".into()).or_insert_with(|| "pt".into());
        metadata
    }
}
