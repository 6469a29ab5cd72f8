//! Linear algebra: dense matrices, their products and eigenvalues.

mod eigen;
mod matrix;

pub use eigen::{Eigen, eigen, eigenvalues};
pub use matrix::{Matrix, dot};
