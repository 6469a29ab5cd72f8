//! Turns files into reports, rows of a table of many, and reasons for lines of other programs' logs,
//! by headers alone.

use super::convert::to_js;
use super::engine::Engine;
use super::sources::Place;
use crate::analysis::{Report, Summary, explain_log, inspect_header};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// What a file's header says: all of its report but what stands in its numbers.
    pub async fn inspect_header(&self, place: JsValue) -> Result<JsValue, JsValue> {
        to_js(&header(&place).await?)
    }

    /// A file's row of a table of many.
    pub async fn summarize(&self, place: JsValue) -> Result<JsValue, JsValue> {
        to_js(&Summary::of(&header(&place).await?))
    }

    /// What a pasted line of another program's log means for a file; null where no known program
    /// prints such a line.
    pub async fn explain_log(&self, place: JsValue, line: String) -> Result<JsValue, JsValue> {
        to_js(&explain_log(&header(&place).await?, &line))
    }
}

async fn header(place: &JsValue) -> Result<Report, JsValue> {
    let place = Place::of(place)?;
    Ok(inspect_header(&place.name, place.source.as_ref(), place.config.as_deref()).await)
}
