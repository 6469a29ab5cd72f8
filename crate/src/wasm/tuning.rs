//! Kernel tuning results of a GPU, saved and restored by the page as text.

use super::engine::Engine;
use crate::gpu::{TileChoice, Tuning};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// Restores the result of [`Engine::tuning`] from an earlier session. Invalid text and results of
    /// another device or build are ignored.
    pub fn use_tuning(&self, text: String) {
        let stored: Option<Tuning> = serde_json::from_str(&text).ok();
        self.tuning.replace(stored.clone());
        let mut device = self.device.borrow_mut();
        *device = device.take().map(|device| device.with_tuning(stored));
    }

    /// Returns the tuning results of the device as text; undefined if it was not tuned.
    pub fn tuning(&self) -> Option<String> {
        match &self.device.borrow().as_ref()?.config.tiles {
            TileChoice::Tuned(tuning) => serde_json::to_string(tuning).ok(),
            _ => None,
        }
    }

    /// Stops tuning, and disables it until the page is reloaded.
    pub fn skip_tuning(&self) {
        self.tuning_enabled.set(false);
    }
}
