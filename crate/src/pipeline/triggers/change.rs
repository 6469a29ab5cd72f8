//! What a LoRA changes, as far as words matter: the text encoders, and the keys and values that the UNet makes of texts.

use super::super::error::PipelineError;
use super::super::progress::{Report, Stage};
use super::super::session::Session;
use crate::adapters::{Adapter, Delta, fold_on_cpu};
use crate::linalg::{Dense, Factorization, transposed};
use crate::model::Component;
use crate::plan::Layout;
use crate::weights::{LoadedAdapter, TensorFile, WeightsError};

/// A LoRA, split by what it changes.
pub(super) struct Parts {
    /// Its changes of the text encoders, if there are any.
    pub text: Option<LoadedAdapter>,
    /// Σ ΔWᵀΔW over the keys and values of cross-attention, if it changes any: sᵀ(Σ ΔWᵀΔW)s = Σ ‖ΔW s‖².
    pub unet: Option<Dense>,
}

impl Parts {
    /// Returns whether no word can matter to it.
    pub fn is_empty(&self) -> bool {
        self.text.is_none() && self.unet.is_none()
    }
}

impl Session {
    /// Splits a LoRA, and reads its changes of keys and values.
    pub(super) async fn split(&self, lora: LoadedAdapter, report: Report<'_>) -> Result<Parts, PipelineError> {
        let LoadedAdapter { id, adapter: Adapter { convention, deltas, leftovers }, file } = lora;
        let (unet, text): (Vec<Delta>, Vec<Delta>) =
            deltas.into_iter().partition(|delta| delta.component == Component::Unet);
        let read_text =
            |delta: &&Delta| ["attn2.to_k", "attn2.to_v"].iter().any(|end| delta.module.path.ends_with(end));
        let projections: Vec<&Delta> = unet.iter().filter(read_text).collect();
        let mut sum: Option<Dense> = None;
        for (at, delta) in projections.iter().enumerate() {
            report(Stage::Adapters, at, projections.len(), None)?;
            let (up, down) = self.change(delta, &file).await?.pair();
            let small = Dense::new(transposed(&up.data, up.columns), up.rows).times(&up).times(&down);
            let square = Dense::new(transposed(&down.data, down.columns), down.rows).times(&small);
            match &mut sum {
                None => sum = Some(square),
                Some(sum) => sum.data.iter_mut().zip(square.data).for_each(|(sum, part)| *sum += part),
            }
        }
        let adapter = Adapter { convention, deltas: text, leftovers };
        let changes_text = !adapter.deltas.is_empty();
        let text = changes_text.then(|| LoadedAdapter { id: format!("{id}, text encoders"), adapter, file });
        Ok(Parts { text, unet: sum })
    }

    /// Returns the change of a matrix at strength 1.
    async fn change(&self, delta: &Delta, file: &TensorFile) -> Result<Factorization, PipelineError> {
        let refused = |reason| WeightsError::Delta { adapter: file.name.clone(), reason };
        let read = delta.read(file.source.as_ref(), &file.header).await;
        let numbers = read.map_err(|source| WeightsError::File { file: file.name.clone(), source })?;
        if !numbers.values().flatten().chain([&delta.scale]).all(|number| number.is_finite()) {
            return Err(refused(format!("its change of `{}` contains NaN or Inf", delta.tensor())).into());
        }
        let shape = delta.target_shape();
        if !delta.fits(&shape) {
            let found = delta.change.shape();
            let reason = format!("its change of `{}` has shape {found:?}, but the model {shape:?}", delta.tensor());
            return Err(refused(reason).into());
        }
        if let Some(form) = delta.change.form(&numbers) {
            let (mut up, down) = form.pair();
            up.data.iter_mut().for_each(|number| *number *= delta.scale);
            return Ok(Factorization::Product(up, down));
        }
        let base = self.model.checkpoint.read(&delta.tensor(), Layout::Plain).await?;
        let mut changed = fold_on_cpu(base.clone(), &shape, &[(delta, &numbers, 1.0)])?;
        changed.iter_mut().zip(base).for_each(|(changed, base)| *changed -= base);
        Ok(Factorization::Whole(Dense::new(changed, shape.get(1).copied().unwrap_or(1))))
    }
}
