//! The tests' harness: golden files, seeded inputs, synthetic models and files, image generation and comparisons.

pub mod base;
pub mod cases;
pub mod compare;
pub mod containers;
pub mod draw;
pub mod edits;
pub mod end_to_end;
pub mod gguf;
pub mod golden;
pub mod imagined;
pub mod kernels;
pub mod loader_cases;
pub mod mini;
pub mod module_lists;
pub mod numbers;
pub mod ops;
#[cfg(not(target_family = "wasm"))]
pub mod radv;
pub mod reports;
pub mod synthetic;
pub mod taps;
pub mod web_ui;
