//! Turns what is known of a file before all is into messages for the page, a few a second.

use super::convert::to_js;
use super::types::ReadProgress;
use crate::analysis::{ModuleRow, Progress};
use js_sys::{Date, Function};
use wasm_bindgen::JsValue;

/// Between two messages.
const PAUSE_MS: f64 = 120.0;

/// Tells the page how far the reading of a file is.
pub struct ProgressReporter {
    listener: Option<Function>,
    rows: Vec<ModuleRow>,
    told_ms: f64,
}

impl ProgressReporter {
    /// Tells `listener`, where there is one.
    pub fn new(listener: Option<Function>) -> ProgressReporter {
        ProgressReporter { listener, rows: Vec::new(), told_ms: Date::now() }
    }

    /// Takes in what is known, and tells of it when the last message is old enough.
    pub fn hear(&mut self, progress: Progress<'_>) {
        let (done, total) = match progress {
            Progress::Layer { done, total, row } => {
                self.rows.push(row.clone());
                (done, total)
            }
            Progress::Hashed { done, total } => (done, total),
        };
        let hashing = matches!(progress, Progress::Hashed { .. });
        if Date::now() - self.told_ms >= PAUSE_MS {
            self.tell(if total > 0 { done as f64 / total as f64 } else { 1.0 }, hashing);
        }
    }

    /// Tells of the rows that were kept back.
    pub fn rest(&mut self) {
        self.tell(1.0, false);
    }

    fn tell(&mut self, done: f64, hashing: bool) {
        self.told_ms = Date::now();
        let Some(listener) = &self.listener else { return };
        if let Ok(message) = to_js(&ReadProgress { done, hashing, rows: std::mem::take(&mut self.rows) }) {
            // A listener that throws must not cost the report.
            let _ = listener.call1(&JsValue::NULL, &message);
        }
    }
}
