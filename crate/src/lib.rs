//! LoRA inspector and Stable Diffusion engine on WebGPU and on CPUs: LoRA files -> reports; recipes (model + adapters + prompt +
//! seed) -> images.
//!
//! Two pipelines share the first modules. *Inspect*: formats -> model -> adapters -> analysis.
//! *Generate*: model -> ops -> plan -> gpu or cpu -> weights -> samplers -> pipeline; bench times it.
//! Allowed module dependencies: the table in ARCHITECTURE.md, checked by tests/layers.rs.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "values in tests are small"))]

/// The text of a shader of src/ without its comments, or a table of src/ as JSON (build.rs).
macro_rules! embedded {
    ($($part:literal),*) => { include_str!(concat!(env!("OUT_DIR"), "/", $($part),*)) };
}

pub mod adapters;
pub mod analysis;
pub mod bench;
pub mod cpu;
pub mod device;
pub mod edit;
pub mod formats;
pub mod gpu;
pub mod model;
pub mod num;
pub mod ops;
pub mod pipeline;
pub mod plan;
pub mod program;
pub mod samplers;
pub mod sentence;
pub mod sorting;
pub mod text;
pub mod twister;
pub mod wasm;
pub mod weights;

pub use lora_loupe_linalg as linalg;
pub use lora_loupe_simd as simd;
