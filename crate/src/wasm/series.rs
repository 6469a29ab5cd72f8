//! Training runs: found among files, measured layer by layer, summarized.

use super::convert::{failure_said, from_js, to_js};
use super::inspector::Inspector;
use super::sources::Place;
use super::types::SeriesProgress;
use crate::analysis::{
    SeriesCandidate, SeriesFile, SeriesInput, SeriesLayer, SeriesSummary, Share, find_series, measure_series,
};
use crate::formats::read_header;
use crate::sentence::sentence;
use js_sys::{Array, Function};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Inspector {
    /// Finds the training runs among files, as a list of [`Series`](crate::analysis::Series). `names` are the files' paths.
    pub async fn find_series(&self, places: Array, names: Vec<String>) -> Result<JsValue, JsValue> {
        let mut headers: Vec<BTreeMap<String, String>> = Vec::new();
        for place in places.iter() {
            let place = Place::of(&place)?;
            // A file that cannot be read belongs to a run by its name.
            let header = read_header(place.source.as_ref()).await;
            headers.push(header.map(|header| header.metadata).unwrap_or_default());
        }
        let candidates: Vec<SeriesCandidate> =
            names.iter().zip(&headers).map(|(name, metadata)| SeriesCandidate { name, metadata }).collect();
        to_js(&find_series(&candidates))
    }

    /// Measures part `part` of `parts` of the layers of a run's files, in order. `on_layers` receives them as
    /// [`SeriesProgress`]. [`Inspector::stop_reading`] cancels it.
    pub async fn measure_series(
        &self,
        places: Array,
        part: usize,
        parts: usize,
        on_layers: Function,
    ) -> Result<(), JsValue> {
        let places = places.iter().map(|place| Place::of(&place)).collect::<Result<Vec<Place>, JsValue>>()?;
        let inputs: Vec<SeriesInput> = places.iter().map(input).collect();
        let generation = self.generation();
        let mut report = |layers: Vec<SeriesLayer>, done: f64| {
            if let Ok(progress) = to_js(&SeriesProgress { layers, done }) {
                // An exception in the callback must not abort the reading.
                let _ = on_layers.call1(&JsValue::NULL, &progress);
            }
            if self.generation() == generation { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let measured = measure_series(&inputs, Share { part, parts }, &mut report).await;
        self.check_not_cancelled(generation)?;
        measured.map_err(|error| {
            failure_said("file", sentence!("edit.file", file = &error.file, problem = error.source.sentence()))
        })
    }

    /// Summarizes measured layers of a run's files as [`SeriesSummary`].
    pub fn summarize_series(&self, files: JsValue, layers: JsValue) -> Result<JsValue, JsValue> {
        let files: Vec<SeriesFile> = from_js("the files", files)?;
        let layers: Vec<SeriesLayer> = from_js("the layers", layers)?;
        to_js(&SeriesSummary::of(&files, &layers))
    }
}

fn input(place: &Place) -> SeriesInput<'_> {
    SeriesInput { name: &place.name, source: place.source.as_ref(), companion: place.config.as_deref() }
}
