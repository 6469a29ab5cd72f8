//! LoRA extraction: the difference of two models as an adapter, each layer truncated to a rank.

use super::draft::{Draft, Outcome, TensorGroup};
use super::error::EditError;
use super::model_side::ModelSide;
use super::names::Target;
use super::pairs::{KeptRow, PairKeys, check_rank, no_name, pair_pieces};
use super::peft::PeftMetadata;
use crate::adapters::{METADATA_KEY, Part};
use crate::formats::{ByteSink, Dtype};
use crate::linalg::{Dense, Factorization, LowRank, norm};
use crate::model::Kind;
use crate::num::{host_len, numel};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use ts_rs::TS;

/// Options of an extraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct ExtractOptions {
    /// Rank of every layer, limited by the layer's full rank.
    pub rank: usize,
    /// Key format.
    pub to: Target,
    /// F32, F16 or BF16.
    #[ts(type = "\"F32\" | \"F16\" | \"BF16\"")]
    pub dtype: Dtype,
}

/// The layers that an extraction covers.
#[derive(Debug, Clone, Default, Serialize, TS)]
pub struct ExtractPreview {
    /// Number of layers that differ.
    pub layers: usize,
    /// Number of layers that are equal in both models.
    pub unchanged: usize,
    /// Tensors that differ but that a LoRA cannot store: norms, biases, embeddings.
    pub left_out: Vec<String>,
    /// Size of the result in bytes.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A planned extraction.
pub struct Extraction<'a> {
    tuned: ModelSide<'a>,
    base: ModelSide<'a>,
    layers: Vec<(String, usize, usize)>,
    draft: Draft,
    kept: RefCell<Vec<KeptRow>>,
    /// The layers that it covers.
    pub preview: ExtractPreview,
}

/// Plans an extraction: reads both models once to find the layers that differ.
pub async fn extract<'a>(
    tuned: ModelSide<'a>,
    base: ModelSide<'a>,
    options: ExtractOptions,
) -> Result<Extraction<'a>, EditError> {
    check_rank(Some(options.rank))?;
    if tuned.shapes.family != base.shapes.family {
        let label = |side: &ModelSide| side.shapes.family.label().to_owned();
        let (a, b) = (label(&tuned), label(&base));
        return Err(EditError::OtherFamily { file_a: tuned.name.into(), a, file_b: base.name.into(), b });
    }
    let mut preview = ExtractPreview::default();
    let (mut pieces, mut layers, mut notes) = (Vec::<TensorGroup>::new(), Vec::new(), PeftMetadata::default());
    for (component, module) in &tuned.shapes.modules {
        for part in [Part::Weight, Part::Bias] {
            let name = format!("{component}.{}.{}", module.path, part.name());
            let (Some(a), Some(b)) = (tuned.tensor(&name), base.tensor(&name)) else { continue };
            let [a, b] = [a.shape(), b.shape()];
            if a != b {
                let size = |shape: Vec<usize>| {
                    (shape.first().copied().unwrap_or(1), host_len(numel(shape.get(1..).unwrap_or(&[]))))
                };
                let sizes = [a, b].map(size);
                let (file_a, file_b) = (tuned.name.to_owned(), base.name.to_owned());
                return Err(EditError::OtherShape { layer: name, file_a, a: sizes[0], file_b, b: sizes[1] });
            }
            let unchanged = tuned.read(&name).await? == base.read(&name).await?;
            let is_matrix = a.len() > 1 && matches!(module.kind, Kind::Linear { .. } | Kind::Conv { .. });
            match (part == Part::Weight && is_matrix, unchanged) {
                (true, true) => preview.unchanged += 1,
                (false, true) => {}
                (false, false) => preview.left_out.push(name),
                (true, false) => {
                    let shape = &a;
                    let columns = host_len(numel(&shape[1..]));
                    let rank = options.rank.min(shape[0]).min(columns).max(1);
                    let keys = PairKeys::for_layer(options.to, tuned.shapes.family.name(), *component, module);
                    let keys = keys.ok_or_else(|| no_name(name.clone(), options.to))?;
                    notes.note(*component, module, rank);
                    pieces.extend(pair_pieces(keys, shape, rank, options.dtype, layers.len()));
                    layers.push((name, columns, rank));
                }
            }
        }
    }
    if layers.is_empty() {
        return Err(EditError::Nothing);
    }
    let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    if options.to == Target::Peft {
        metadata.insert(METADATA_KEY.into(), notes.text());
    }
    let draft = Draft::new(pieces, metadata);
    (preview.layers, preview.size_after) = (layers.len(), draft.size());
    Ok(Extraction { tuned, base, layers, draft, kept: RefCell::default(), preview })
}

impl Extraction<'_> {
    /// Writes the result; see [`Draft::write`]. Also returns the energy kept per layer.
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<(Outcome, Vec<KeptRow>), EditError> {
        let outcome = self.draft.write(None, async |layer| self.make(layer).await, out).await?;
        Ok((outcome, self.kept.take()))
    }

    async fn make(&self, layer: usize) -> Result<Vec<Vec<f32>>, EditError> {
        let (name, columns, rank) = &self.layers[layer];
        let (tuned, base) = (self.tuned.read(name).await?, self.base.read(name).await?);
        let difference: Vec<f32> = tuned.iter().zip(&base).map(|(tuned, base)| tuned - base).collect();
        let norm = norm(&difference);
        let path = name.trim_end_matches(".weight").to_owned();
        if !norm.is_finite() {
            return Err(EditError::NotFinite { layer: path });
        }
        let low_rank = LowRank::of(&Factorization::Whole(Dense::new(difference, *columns)), *rank);
        self.kept.borrow_mut().push(KeptRow::of_low_rank(path, None, *rank, norm, &low_rank));
        let (up, down) = low_rank.balanced(*rank);
        Ok(vec![down, up])
    }
}
