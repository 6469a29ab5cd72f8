//! Linear algebra: dense matrices in f32 and f64, their products, Gram matrices and eigenvalues.
//!
//! A [`Dense`] matrix holds f32 elements of a file and a [`Matrix`] f64 results, which squares of small singular values
//! need. A [`Factorization`] is a matrix that is not multiplied out.

mod dense;
mod eigen;
mod factorization;
mod gram;
mod matrix;

pub use dense::{Dense, kronecker, norm, product, transposed};
pub use eigen::{Eigen, eigen, eigenvalues};
pub use factorization::{Factorization, pair_is_smaller, product_norm};
pub use matrix::{Matrix, dot};
