//! Kernel tuning results of a GPU, saved and restored by the page as text.

use super::engine::Engine;
use crate::gpu::{Gpu, TileChoice, Tuning};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// Restores the result of [`Engine::tuning`] from an earlier session. Invalid text and results of
    /// another device or build are ignored.
    pub fn use_tuning(&self, text: String) {
        self.tuning.replace(serde_json::from_str(&text).ok());
        if let Some(gpu) = &*self.gpu.borrow() {
            self.tell_tuning(gpu);
        }
    }

    /// Returns the tuning results of the device as text; undefined if it was not tuned.
    pub fn tuning(&self) -> Option<String> {
        match self.gpu.borrow().as_ref()?.tile_choice() {
            TileChoice::Tuned(tuning) => serde_json::to_string(&tuning).ok(),
            _ => None,
        }
    }

    /// Stops tuning, and disables it until the page is reloaded.
    pub fn skip_tuning(&self) {
        if let Some(gpu) = &*self.gpu.borrow() {
            gpu.set_tuning_enabled(false);
        }
    }
}

impl Engine {
    /// Applies the stored tuning results to a device.
    pub(super) fn tell_tuning(&self, gpu: &Gpu) {
        let stored: Option<Tuning> = self.tuning.borrow().clone();
        if let Some(tuning) = stored {
            gpu.set_tile_choice(TileChoice::Tuned(tuning));
        }
    }
}
