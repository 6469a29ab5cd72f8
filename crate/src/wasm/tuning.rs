//! Turns what was found out of a graphics card into text that the page keeps, and back.

use super::engine::Engine;
use crate::gpu::{TileChoice, Gpu, Tuning};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// Takes what [`Engine::tuning`] gave on an earlier visit. Text of another device or another
    /// build, or that is none, is left out.
    pub fn use_tuning(&self, text: String) {
        self.tuning.replace(serde_json::from_str(&text).ok());
        if let Some(gpu) = &*self.gpu.borrow() {
            self.tell_tuning(gpu);
        }
    }

    /// What was found out of the device, as text; undefined where nothing was.
    pub fn tuning(&self) -> Option<String> {
        match self.gpu.borrow().as_ref()?.choice() {
            TileChoice::Tuned(tuning) => serde_json::to_string(&tuning).ok(),
            _ => None,
        }
    }

    /// Ends the timing of kernels, and begins none until the page is opened again.
    pub fn skip_tuning(&self) {
        if let Some(gpu) = &*self.gpu.borrow() {
            gpu.set_wants_tuning(false);
        }
    }
}

impl Engine {
    /// Tells a device what is known of it.
    pub(super) fn tell_tuning(&self, gpu: &Gpu) {
        let known: Option<Tuning> = self.tuning.borrow().clone();
        if let Some(tuning) = known {
            gpu.choose(TileChoice::Tuned(tuning));
        }
    }
}
