//! The second worker of the CPU: the engine of the first one asks, that of the second one answers.

use super::convert::{failure, from_js, refused, to_js};
use super::engine::{Engine, Opened};
use crate::pipeline::{Half, HalfOf, Input, LocalFuture, Partner, PipelineError};
use crate::weights::LoadedAdapter;
use js_sys::{Array, Float32Array, Function, Object, Promise, Reflect};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
impl Engine {
    /// Lets models that leave room for it (`ModelInfo.workers`) use a second worker: `ask` gives a half to its
    /// [`Engine::compute_half`], after those before, and promises what that returns.
    pub fn use_partner(&self, ask: Function) {
        *self.partner.borrow_mut() = Some(Rc::new(SecondWorker { ask }));
    }

    /// Computes half of the denoiser's batch with the open model, for the engine of another worker.
    pub async fn compute_half(&self, half: JsValue) -> Result<Float32Array, JsValue> {
        let half = half_of_js(&half)?;
        self.cancel_requested.set(false);
        let work = async |opened: &mut Opened| {
            let mut adapters = Vec::new();
            for (sha256, _) in &half.of.adapters {
                let adapter = opened.adapter(&self.files, sha256).await?;
                let missing = || PipelineError::NoAdapter { name: "a LoRA".into(), sha256: sha256.clone() };
                adapters.push(adapter.ok_or_else(missing)?);
            }
            let adapters: Vec<&LoadedAdapter> = adapters.iter().map(Rc::as_ref).collect();
            let on_progress = &mut || match self.cancel_requested.get() {
                true => Err(PipelineError::Cancelled),
                false => Ok(()),
            };
            opened.session.compute_half(&half, &adapters, on_progress).await
        };
        let predictions = self.with_model(work).await?.map_err(refused)?;
        Ok(Float32Array::from(predictions.as_slice()))
    }
}

/// The engine of another worker.
struct SecondWorker {
    ask: Function,
}

impl Partner for SecondWorker {
    fn start(&self, half: Half) -> LocalFuture<'static, Result<Vec<f32>, PipelineError>> {
        let asked = half_to_js(&half).and_then(|half| self.ask.call1(&JsValue::UNDEFINED, &half));
        // Its failure is seen from now on: one that nothing sees would be a crash of this worker.
        let answer = asked.map(|promise| JsFuture::from(Promise::resolve(&promise)));
        Box::pin(async move {
            let answer = answer.map_err(failed)?.await.map_err(failed)?;
            Ok(answer.dyn_into::<Float32Array>().map_err(failed)?.to_vec())
        })
    }
}

/// Returns the error that the other worker threw.
fn failed(thrown: JsValue) -> PipelineError {
    let text = |name: &str| Reflect::get(&thrown, &name.into()).ok().and_then(|text| text.as_string());
    match text("kind").as_deref() {
        Some("cancelled") => PipelineError::Cancelled,
        _ => PipelineError::Partner(text("message").unwrap_or_default()),
    }
}

/// A half as an object whose numbers are arrays of bytes, which workers copy fast.
fn half_to_js(half: &Half) -> Result<JsValue, JsValue> {
    let inputs = |inputs: &[Input]| -> Array {
        let pair = |(name, values): &Input| Array::of2(&name.into(), &Float32Array::from(values.as_slice()));
        inputs.iter().map(pair).collect()
    };
    let object = Object::new();
    Reflect::set(&object, &"of".into(), &to_js(&half.of)?)?;
    Reflect::set(&object, &"texts".into(), &inputs(&half.texts))?;
    Reflect::set(&object, &"call".into(), &inputs(&half.call))?;
    Ok(object.into())
}

fn half_of_js(object: &JsValue) -> Result<Half, JsValue> {
    let field = |name: &str| Reflect::get(object, &name.into());
    let inputs = |name: &str| -> Result<Vec<Input>, JsValue> {
        let input = |pair: JsValue| {
            let pair: Array = pair.dyn_into()?;
            let name = pair.get(0).as_string().ok_or_else(|| failure("recipe", "an input has no name"))?;
            Ok((name, pair.get(1).dyn_into::<Float32Array>()?.to_vec()))
        };
        field(name)?.dyn_into::<Array>()?.iter().map(input).collect()
    };
    let of: HalfOf = from_js("half of a batch", field("of")?)?;
    Ok(Half { of, texts: inputs("texts")?, call: inputs("call")? })
}
