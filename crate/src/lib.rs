//! Turns LoRA files into reports, and recipes (model + adapters + prompt + seed) into pictures.
//!
//! Two arms share the first modules. *Inspect*: formats -> model -> adapters -> analysis.
//! *Generate*: model -> ops -> plan -> gpu -> weights -> samplers -> pipeline; bench times it.
//! Who may use whom is a table in ARCHITECTURE.md, checked by tests/layers.rs.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "numbers of tests are small"))]

pub mod adapters;
pub mod analysis;
pub mod bench;
pub mod edit;
pub mod formats;
pub mod gpu;
pub mod model;
pub mod num;
pub mod ops;
pub mod pipeline;
pub mod plan;
pub mod samplers;
pub mod text;
pub mod wasm;
pub mod weights;
