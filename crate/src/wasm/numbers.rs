//! Turns single layers into their spectra, and two files into what they have in common.

use super::convert::{failure, to_js};
use super::engine::Engine;
use super::sources::Place;
use super::types::{ComparedFiles, LayerSpectrum};
use crate::analysis::{ComparedFile, Spectrum, compare};
use crate::edit::Opened;
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
