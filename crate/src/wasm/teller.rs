//! Turns what is known of a file before all is into messages for the page, a few a second.

use super::convert::to_js;
use super::types::ReadProgress;
use crate::analysis::{ModuleRow, Progress};
use js_sys::{Date, Function};
use wasm_bindgen::JsValue;

/// The share of the work that layers take; hashes take the rest.
const LAYERS: f64 = 0.75;
/// Between two messages.
const PAUSE_MS: f64 = 120.0;

/// Tells the page how far the reading of a file is.
pub struct Teller {
    listener: Option<Function>,
    rows: Vec<ModuleRow>,
    told_ms: f64,
}

impl Teller {
    /// Tells `listener`, where there is one.
    pub fn new(listener: Option<Function>) -> Teller {
        Teller { listener, rows: Vec::new(), told_ms: Date::now() }
    }

    /// Takes in what is known, and tells of it when the last message is old enough.
    pub fn hear(&mut self, progress: Progress<'_>) {
        let share = |done: f64, total: f64| if total > 0.0 { done / total } else { 1.0 };
        let done = match progress {
            Progress::Layer { done, total, row } => {
                self.rows.push(row.clone());
                LAYERS * share(done as f64, total as f64)
            }
            Progress::Hashed { done, total } => LAYERS + (1.0 - LAYERS) * share(done as f64, total as f64),
        };
        let Some(listener) = self.listener.as_ref().filter(|_| Date::now() - self.told_ms >= PAUSE_MS) else { return };
        self.told_ms = Date::now();
        if let Ok(message) = to_js(&ReadProgress { done, rows: std::mem::take(&mut self.rows) }) {
            // A listener that throws must not cost the report.
            let _ = listener.call1(&JsValue::NULL, &message);
        }
    }
}
