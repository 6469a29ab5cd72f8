//! Turns many dropped files into rows of a table, and lines of other programs' logs into reasons,
//! by headers alone.

use super::convert::to_js;
use super::engine::Engine;
use super::sources::BlobSource;
use crate::analysis::{Summary, explain_log, inspect_header};
use wasm_bindgen::prelude::*;
use web_sys::File;

#[wasm_bindgen]
impl Engine {
    /// A file's row of a table of many. `config` is the text of the adapter_config.json beside it.
    pub async fn summarize(&self, file: File, config: Option<String>) -> Result<JsValue, JsValue> {
        let name = file.name();
        let report = inspect_header(&name, &BlobSource(file.into()), config.as_deref()).await;
        to_js(&Summary::of(&report))
    }

    /// What a pasted line of another program's log means for a file; null where no known program
    /// prints such a line.
    pub async fn explain_log(&self, file: File, config: Option<String>, line: String) -> Result<JsValue, JsValue> {
        let name = file.name();
        let report = inspect_header(&name, &BlobSource(file.into()), config.as_deref()).await;
        to_js(&explain_log(&report, &line))
    }
}
