//! Reports alone, without edits: the module of the npm package's small entry.

use super::convert::to_js;
use super::progress::ProgressReporter;
use super::sources::Place;
use crate::analysis;
use js_sys::Function;
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;

/// Returns a file's [`Report`](analysis::Report). `on_progress` receives [`ReadProgress`](super::types::ReadProgress).
#[wasm_bindgen]
pub async fn inspect(place: JsValue, on_progress: Option<Function>) -> Result<JsValue, JsValue> {
    console_error_panic_hook::set_once();
    let Place { name, source, config } = Place::of(&place)?;
    let mut reporter = ProgressReporter::new(on_progress);
    let mut on_progress = |progress: analysis::Progress<'_>| {
        reporter.on_progress(progress);
        ControlFlow::Continue(())
    };
    let report = analysis::inspect_with(&name, source.as_ref(), config.as_deref(), &[], &mut on_progress).await;
    reporter.flush();
    to_js(&report)
}

/// Returns a file's [`Report`](analysis::Report) from its header: everything that does not depend on the tensor data.
#[wasm_bindgen]
pub async fn inspect_header(place: JsValue) -> Result<JsValue, JsValue> {
    console_error_panic_hook::set_once();
    let Place { name, source, config } = Place::of(&place)?;
    to_js(&analysis::inspect_header(&name, source.as_ref(), config.as_deref()).await)
}
