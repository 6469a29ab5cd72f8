//! Trigger words from the numbers of a LoRA, with the open model.

use super::convert::{refused, to_js};
use super::engine::{Engine, Opened};
use super::types::ProgressInfo;
use crate::pipeline::{PipelineError, Progress, RankedWords};
use crate::weights::{LoadedAdapter, TensorFile};
use js_sys::Function;
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// Ranks words by how strongly the remembered LoRA with this SHA-256 answers to them, as
    /// [`RankedWords`](crate::pipeline::RankedWords); `hints` are the words of its header. [`Engine::cancel`] cancels it.
    pub async fn find_triggers(
        &self,
        sha256: String,
        hints: Vec<String>,
        top: usize,
        on_progress: Function,
    ) -> Result<JsValue, JsValue> {
        let find = async |opened: &mut Opened| {
            self.cancel_requested.set(false);
            self.triggers(opened, &sha256, &hints, top, &on_progress).await
        };
        to_js(&self.with_model(find).await?.map_err(refused)?)
    }
}

impl Engine {
    async fn triggers(
        &self,
        opened: &mut Opened,
        sha256: &str,
        hints: &[String],
        top: usize,
        on_progress: &Function,
    ) -> Result<RankedWords, PipelineError> {
        let file = self.files.borrow().get(sha256).cloned();
        let file = file.ok_or_else(|| PipelineError::NoAdapter { name: String::new(), sha256: sha256.into() })?;
        let tensors = TensorFile::open(file.name, file.source).await?;
        let modules = opened.session.model.modules();
        let lora = LoadedAdapter::open(sha256.into(), tensors, file.config.as_deref(), &modules).await?;
        let mut on_step = |Progress { stage, step, steps, .. }: Progress| {
            if let Ok(progress) = to_js(&ProgressInfo { stage, step, steps, seconds_left: None }) {
                // An exception in the callback must not abort the work.
                let _ = on_progress.call1(&JsValue::NULL, &progress);
            }
            if self.cancel_requested.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        opened.session.find_triggers(lora, hints, top, &mut on_step).await
    }
}
