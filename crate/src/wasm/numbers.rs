//! Analysis of tensor data: layer spectra, comparison with a base model and of two files.

use super::convert::{failure, failure_said, from_js, to_js};
use super::inspector::Inspector;
use super::sources::Place;
use super::types::{ComparedFiles, LayerSpectrum, Weighing};
use crate::analysis::{Measures, Spectrum};
use crate::edit::{EditError, EditInput, Models, Opened, compare_files, usual_strength};
use crate::formats::Buffered;
use crate::model::Component;
use js_sys::{Array, Function, Reflect};
use std::collections::HashMap;
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Inspector {
    /// Returns the singular values of one layer's change as [`LayerSpectrum`]; null if the change is not
    /// a matrix or depends on the base model.
    pub async fn spectrum(&self, place: JsValue, path: String) -> Result<JsValue, JsValue> {
        let place = Place::of(&place)?;
        let opened = open(&place).await?;
        let mut spectra = Vec::new();
        for delta in opened.adapter.deltas.iter().filter(|delta| delta.path() == path) {
            let factors = opened.read_factors(delta).await.map_err(broken)?;
            spectra.extend(Spectrum::of_delta(delta, &factors));
        }
        // A bias has no spectrum; for a layer with two matrices, use the first one.
        to_js(&spectra.first().map(LayerSpectrum::of))
    }

    /// Compares an adapter's changes with the weights of its base model. `base` lists the model's files, each with
    /// its `path` in the model folder, empty for a single file. `measures` are the report's; the result, [`Weighing`],
    /// adds the norms of the base weights. `on_progress` receives each percent. [`Inspector::stop_weighing`] cancels it.
    pub async fn weigh(
        &self,
        place: JsValue,
        base: Array,
        measures: JsValue,
        on_progress: Function,
    ) -> Result<JsValue, JsValue> {
        let mut measures: Measures = from_js("the report", measures)?;
        let (place, generation) = (Place::of(&place)?, self.weighing.get());
        let opened = open(&place).await?;
        let mut parts = Vec::new();
        for file in base.iter() {
            let path = Reflect::get(&file, &"path".into())?.as_string().unwrap_or_default();
            let folder = path.split_once('/').map(|(folder, _)| folder.to_owned());
            if path.is_empty() || folder.is_some() && path.ends_with(".safetensors") {
                parts.push((folder, Place::of(&file)?));
            }
        }
        let component = |folder: &String| Component::ALL.into_iter().find(|component| component.name() == folder);
        let name = parts.first().map(|(_, place)| place.name.clone()).unwrap_or_default();
        // Read ahead in blocks: in a browser, small reads take as long as large ones.
        let sources: Vec<Buffered> = parts.iter().map(|(_, place)| Buffered::new(place.source.as_ref())).collect();
        let files = parts.iter().zip(&sources);
        let files = files.map(|((folder, _), source)| (folder.as_ref().and_then(component), source as _));
        let models = Models::open(&EditInput { name: &name, files: files.collect(), config: None }).await;
        let models = models.map_err(broken)?;
        let norms: HashMap<&str, f64> =
            measures.modules.iter().filter_map(|row| Some((row.path.as_str(), row.norm?))).collect();
        let mut last_percent = 0;
        let mut report_progress = |done: u64, total: u64| {
            let percent = 100 * done / total.max(1);
            if percent > last_percent {
                last_percent = percent;
                // An exception in the callback must not abort the comparison.
                let _ = on_progress.call1(&JsValue::NULL, &JsValue::from(percent as f64 / 100.0));
            }
            if self.weighing.get() == generation { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let files = models.files();
        let layers = opened.weigh(models.side(&files), &norms, &mut report_progress).await.map_err(broken)?;
        if self.weighing.get() != generation {
            return Err(failure("cancelled", "the comparison with the base model was cancelled"));
        }
        measures.weigh(&layers);
        let usual_strength = match &measures.health {
            Some(health) => usual_strength(&opened, health).await,
            None => None,
        };
        to_js(&Weighing { measures, usual_strength })
    }

    /// Cancels all running [`Inspector::weigh`] calls at their next layer.
    pub fn stop_weighing(&self) {
        self.weighing.set(self.weighing.get() + 1);
    }

    /// Compares two adapters, independent of their keys, ranks and algorithms.
    pub async fn compare(&self, a: JsValue, b: JsValue) -> Result<JsValue, JsValue> {
        let (a, b) = (Place::of(&a)?, Place::of(&b)?);
        let (a, b) = (open(&a).await?, open(&b).await?);
        let comparison = compare_files(&a, &b).await.map_err(broken)?;
        let sentence = comparison.relation.sentence(&a.file, &b.file);
        to_js(&ComparedFiles { sentence, comparison })
    }
}

pub(super) async fn open(place: &Place) -> Result<Opened<'_>, JsValue> {
    Opened::new(&place.name, place.source.as_ref(), place.config.as_deref()).await.map_err(broken)
}

pub(super) fn broken(error: EditError) -> JsValue {
    failure_said("file", error.sentence())
}
