//! The inspector of a worker: reads files, and edits them.

use super::convert::{failure, from_js, to_js};
use super::progress::ProgressReporter;
use super::sources::Place;
use super::types::Inspected;
use crate::analysis;
use crate::edit::{EditInput, fixes};
use js_sys::Function;
use std::cell::Cell;
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;

/// What reads and edits the page's files; one per worker.
#[wasm_bindgen]
#[derive(Default)]
pub struct Inspector {
    /// Incremented to cancel all running reads.
    read_generation: Cell<u64>,
    /// Incremented to cancel all running edits.
    pub(super) editing: Cell<u64>,
    /// Incremented to cancel all running comparisons with a base model.
    pub(super) weighing: Cell<u64>,
}

#[wasm_bindgen]
impl Inspector {
    /// Creates an inspector.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Inspector {
        console_error_panic_hook::set_once();
        Inspector::default()
    }

    /// Reads the tensors of part `part` of `parts` of a file; [`Inspector::inspect`] of any worker takes the result.
    /// `on_progress` receives the layers as they are read, as [`ReadProgress`].
    pub async fn measure(
        &self,
        place: JsValue,
        part: usize,
        parts: usize,
        on_progress: Function,
    ) -> Result<JsValue, JsValue> {
        let Place { name, source, config } = Place::of(&place)?;
        let (mut reporter, generation) = (ProgressReporter::new(Some(on_progress)), self.generation());
        let share = analysis::Share { part, parts };
        let mut on_progress = |progress: analysis::Progress<'_>| self.on_progress(&mut reporter, generation, progress);
        let measurements = analysis::measure(&name, source.as_ref(), config.as_deref(), share, &mut on_progress).await;
        self.check_not_cancelled(generation)?;
        reporter.flush();
        to_js(&measurements)
    }

    /// Returns a file's report and fixes. `on_progress` receives the layers as they are read, then the progress of the hashes, as
    /// [`ReadProgress`]. `known` lists the results of [`Inspector::measure`] for parts of the file.
    pub async fn inspect(
        &self,
        place: JsValue,
        on_progress: Option<Function>,
        known: JsValue,
    ) -> Result<JsValue, JsValue> {
        let Place { name, source, config } = Place::of(&place)?;
        let known = if known.is_undefined() { Vec::new() } else { from_js("the measurements", known)? };
        let (mut reporter, generation) = (ProgressReporter::new(on_progress), self.generation());
        let mut on_progress = |progress: analysis::Progress<'_>| self.on_progress(&mut reporter, generation, progress);
        let report = analysis::inspect_with(&name, source.as_ref(), config.as_deref(), &known, &mut on_progress).await;
        self.check_not_cancelled(generation)?;
        let input = EditInput::file(&name, source.as_ref(), config.as_deref());
        // If the fixes fail, the report is still returned.
        let fixes = fixes(&input, &report).await.unwrap_or_default();
        to_js(&Inspected { report, fixes })
    }

    /// Cancels all running [`Inspector::measure`], [`Inspector::inspect`] and [`Inspector::measure_series`] calls at their next
    /// layer.
    pub fn stop_reading(&self) {
        self.read_generation.set(self.read_generation.get() + 1);
    }
}

impl Inspector {
    /// Reports progress to the page; breaks after [`Inspector::stop_reading`].
    fn on_progress(
        &self,
        reporter: &mut ProgressReporter,
        generation: u64,
        progress: analysis::Progress<'_>,
    ) -> ControlFlow<()> {
        reporter.on_progress(progress);
        if self.generation() == generation { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Returns a number that changes with [`Inspector::stop_reading`].
    pub(super) fn generation(&self) -> u64 {
        self.read_generation.get()
    }

    pub(super) fn check_not_cancelled(&self, generation: u64) -> Result<(), JsValue> {
        if self.generation() == generation { Ok(()) } else { Err(failure("cancelled", "reading was cancelled")) }
    }
}
