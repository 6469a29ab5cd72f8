//! Progress messages for the page while a file is read, a few per second.

use super::convert::to_js;
use super::types::ReadProgress;
use crate::analysis::{ModuleRow, Progress};
use js_sys::{Date, Function};
use wasm_bindgen::JsValue;

/// Milliseconds between two messages.
const INTERVAL_MS: f64 = 120.0;

/// Reports the progress of reading a file to the page.
pub struct ProgressReporter {
    listener: Option<Function>,
    rows: Vec<ModuleRow>,
    last_sent_ms: f64,
}

impl ProgressReporter {
    /// Creates a reporter that calls `listener`, if any.
    pub fn new(listener: Option<Function>) -> ProgressReporter {
        ProgressReporter { listener, rows: Vec::new(), last_sent_ms: Date::now() }
    }

    /// Collects new rows, and sends a message if the last one is old enough.
    pub fn on_progress(&mut self, progress: Progress<'_>) {
        let (done, total) = match progress {
            Progress::Layer { done, total, row } => {
                self.rows.push(row.clone());
                (done, total)
            }
            Progress::Hashed { done, total } => (done, total),
        };
        let hashing = matches!(progress, Progress::Hashed { .. });
        if Date::now() - self.last_sent_ms >= INTERVAL_MS {
            self.emit(if total > 0 { done as f64 / total as f64 } else { 1.0 }, hashing);
        }
    }

    /// Sends the rows that were held back.
    pub fn flush(&mut self) {
        self.emit(1.0, false);
    }

    fn emit(&mut self, done: f64, hashing: bool) {
        self.last_sent_ms = Date::now();
        let Some(listener) = &self.listener else { return };
        if let Ok(message) = to_js(&ReadProgress { done, hashing, rows: std::mem::take(&mut self.rows) }) {
            // An exception in the callback must not abort the report.
            let _ = listener.call1(&JsValue::NULL, &message);
        }
    }
}
