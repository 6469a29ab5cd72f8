//! f32 kernels for CPUs: matrix products with fused operations, attention, norms and activations; conversions of elements
//! that are stored in fewer bits.
//!
//! The loops are plain Rust on arrays of fixed length, which the compiler turns into vector instructions; on x86-64
//! they are compiled for AVX2 with FMA and for AVX-512 as well and selected at run time. Native programs use all cores.
//!
//! A crate of its own, because it is compiled for speed, and the rest of the engine for size.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "values in tests are small"))]

mod activation;
mod arithmetic;
mod attention;
mod elements;
mod feature_map;
mod ggml;
mod isa;
mod matrix;
mod norm;
mod packed;
mod parallel;
mod pool;
mod product;
mod quantize;
mod scratch;
mod winograd;

pub use activation::{exp, gelu, gelu_gate, leaky_relu, quick_gelu, silu};
pub use arithmetic::{add, axpy};
pub use attention::{Attention, Heads};
pub use elements::Elements;
pub use feature_map::Windows;
pub use ggml::BlockType;
pub use matrix::Matrix;
pub use norm::{Moments, normalize, row_moments, scale_and_shift};
pub use parallel::{for_each_chunk, map};
pub use pool::threads;
pub use product::{Finish, Left, Product};
pub use quantize::{quantize_q4, quantize_q8};
pub use winograd::Winograd;
