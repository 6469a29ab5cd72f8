//! Turns single layers into their spectra, files into their hashes and health, and two files into
//! what they have in common: what needs the numbers of files.

use super::convert::{failure, to_js};
use super::engine::Engine;
use super::sources::Place;
use super::types::{ComparedFiles, LayerSpectrum, ReadProgress};
use crate::analysis::{ComparedFile, HealthRow, Spectrum, compare, hashes, health};
use crate::edit::Opened;
use crate::formats::Header;
use js_sys::Function;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// The singular values of one layer's change, and what they say; null where the change is no
    /// matrix that the file alone knows.
    pub async fn spectrum(&self, place: JsValue, path: String) -> Result<JsValue, JsValue> {
        let place = Place::of(&place)?;
        let opened = open(&place).await?;
        let mut spectra = Vec::new();
        for delta in opened.adapter.deltas.iter().filter(|delta| delta.path() == path) {
            let numbers = opened.numbers(delta).await.map_err(broken)?;
            spectra.extend(Spectrum::of_delta(delta, &numbers));
        }
        // A layer's bias is no matrix; of a layer with two matrices the first one is meant.
        to_js(&spectra.first().map(LayerSpectrum::of))
    }

    /// How strong a file is and how much of its rank it uses; null where no layer is a matrix.
    /// `on_progress` hears `{done}`, 0 to 1; [`Engine::stop_reading`] ends it.
    pub async fn health(&self, place: JsValue, on_progress: Function) -> Result<JsValue, JsValue> {
        let place = Place::of(&place)?;
        let turn = self.reading.get();
        let opened = open(&place).await?;
        let mut rows = Vec::new();
        for (index, delta) in opened.adapter.deltas.iter().enumerate() {
            if self.reading.get() != turn {
                return Err(failure("cancelled", "the measuring was stopped"));
            }
            let numbers = opened.numbers(delta).await.map_err(broken)?;
            let Some(spectrum) = Spectrum::of_delta(delta, &numbers) else { continue };
            rows.push(HealthRow::new(delta, &opened.header, spectrum));
            let done = (index + 1) as f64 / opened.adapter.deltas.len() as f64;
            // A listener that throws must not cost the answer.
            let _ = on_progress.call1(&JsValue::NULL, &to_js(&ReadProgress { done })?);
        }
        to_js(&health(&rows))
    }

    /// Every hash that programs and sites know a file by, and which of its header's are right.
    pub async fn hashes(&self, place: JsValue) -> Result<JsValue, JsValue> {
        let place = Place::of(&place)?;
        // What is no safetensors file has hashes too.
        let header = Header::read(place.source.as_ref()).await.ok();
        to_js(&hashes(place.source.as_ref(), header.as_ref()).await.map_err(broken)?)
    }

    /// What two adapters have in common, whatever their names, ranks and algorithms.
    pub async fn compare(&self, a: JsValue, b: JsValue) -> Result<JsValue, JsValue> {
        let (a, b) = (Place::of(&a)?, Place::of(&b)?);
        let (a, b) = (open(&a).await?, open(&b).await?);
        a.is_like(&b).map_err(broken)?;
        let comparison = compare(compared(&a), compared(&b)).await.map_err(broken)?;
        let sentence = comparison.relation.sentence(&a.file, &b.file);
        to_js(&ComparedFiles { sentence, comparison })
    }
}

pub(super) async fn open(place: &Place) -> Result<Opened<'_>, JsValue> {
    Opened::new(&place.name, place.source.as_ref(), place.config.as_deref()).await.map_err(broken)
}

pub(super) fn broken(error: impl std::fmt::Display) -> JsValue {
    failure("file", error.to_string())
}

fn compared<'a>(opened: &'a Opened) -> ComparedFile<'a> {
    ComparedFile { source: &opened.source, header: &opened.header, adapter: &opened.adapter }
}
