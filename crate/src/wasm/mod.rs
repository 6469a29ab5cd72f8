//! Turns calls from JavaScript into calls of the core, and results into plain JavaScript values.
//!
//! The only module that knows JavaScript. The types that cross are here for every target, so that
//! their TypeScript form can be generated and tested natively.

#[cfg(target_arch = "wasm32")]
mod bench;
#[cfg(target_arch = "wasm32")]
mod convert;
#[cfg(target_arch = "wasm32")]
mod edits;
#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod headers;
#[cfg(target_arch = "wasm32")]
mod numbers;
#[cfg(target_arch = "wasm32")]
mod probe;
#[cfg(target_arch = "wasm32")]
mod sources;
#[cfg(target_arch = "wasm32")]
mod teller;
#[cfg(target_arch = "wasm32")]
mod tuning;
pub mod types;
