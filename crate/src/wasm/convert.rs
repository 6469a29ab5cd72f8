//! Conversions between Rust and JavaScript values and errors.

use super::types::EngineError;
#[cfg(feature = "engine")]
use crate::pipeline::PipelineError;
use crate::sentence::Sentence;
use serde::Serialize;
#[cfg(any(feature = "inspector", feature = "engine"))]
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;

/// Returns a plain JavaScript value: maps as objects, `None` as null.
#[cfg(any(feature = "inspector", feature = "engine"))]
pub fn to_js<T: Serialize + ?Sized>(value: &T) -> Result<JsValue, JsValue> {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).map_err(JsValue::from)
}

/// Returns a plain JavaScript value by way of JSON: numbers are those of the command line, and no other code is needed.
#[cfg(not(any(feature = "inspector", feature = "engine")))]
pub fn to_js<T: Serialize + ?Sized>(value: &T) -> Result<JsValue, JsValue> {
    let text = serde_json::to_string(value).map_err(|error| JsValue::from(error.to_string()))?;
    js_sys::JSON::parse(&text)
}

/// Deserializes a plain JavaScript value; `what` names it in the error.
#[cfg(any(feature = "inspector", feature = "engine"))]
pub fn from_js<T: DeserializeOwned>(what: &str, value: JsValue) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(value).map_err(|error| failure("recipe", format!("{what}: {error}")))
}

/// Returns an [`EngineError`] as a JavaScript object.
#[cfg(any(feature = "inspector", feature = "engine"))]
pub fn failure(kind: &str, message: impl Into<String>) -> JsValue {
    let error = EngineError { kind: kind.into(), message: message.into(), sentence: None };
    to_js(&error).unwrap_or(JsValue::NULL)
}

/// Returns an [`EngineError`] with a sentence as a JavaScript object.
pub fn failure_said(kind: &str, sentence: Sentence) -> JsValue {
    let error = EngineError { kind: kind.into(), message: sentence.text.clone(), sentence: Some(sentence) };
    to_js(&error).unwrap_or(JsValue::NULL)
}

/// Returns a pipeline error as a JavaScript object.
#[cfg(feature = "engine")]
pub fn refused(error: PipelineError) -> JsValue {
    match error.sentence() {
        Some(sentence) => failure_said(error.kind(), sentence),
        None => failure(error.kind(), error.to_string()),
    }
}
