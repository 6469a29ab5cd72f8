//! Header-only reports, table rows and log line explanations.

use super::convert::to_js;
use super::inspector::Inspector;
use super::sources::Place;
use crate::analysis::{Report, Summary, explain_log, inspect_header};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Inspector {
    /// Returns a file's report from its header: everything that does not depend on the tensor data.
    pub async fn inspect_header(&self, place: JsValue) -> Result<JsValue, JsValue> {
        to_js(&header(&place).await?)
    }

    /// Returns a file's row in a table of many files.
    pub async fn summarize(&self, place: JsValue) -> Result<JsValue, JsValue> {
        to_js(&Summary::of(&header(&place).await?))
    }

    /// Explains a log line of another program for a file; null if no supported program prints such a
    /// line.
    pub async fn explain_log(&self, place: JsValue, line: String) -> Result<JsValue, JsValue> {
        to_js(&explain_log(&header(&place).await?, &line))
    }
}

async fn header(place: &JsValue) -> Result<Report, JsValue> {
    let place = Place::of(place)?;
    Ok(inspect_header(&place.name, place.source.as_ref(), place.config.as_deref()).await)
}
