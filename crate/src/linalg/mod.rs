//! Linear algebra: dense matrices, their products, Gram matrices and eigenvalues.

mod eigen;
mod gram;
mod matrix;

pub use eigen::{Eigen, eigen, eigenvalues};
pub use gram::{Lines, gram, gram_f32};
pub use matrix::{Matrix, dot};
