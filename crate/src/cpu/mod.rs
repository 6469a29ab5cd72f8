//! CPU backend: runs the same plans as the GPU backend, with the kernels of the simd crate.
//!
//! Weights stay in their 16-bit or quantized type and are widened where they are packed; everything else is f32. Temporaries share
//! slots as in GPU memory.

mod kernels;
mod runner;
mod tensor;

pub use runner::{Arena, Runner};
pub use tensor::Tensor;
