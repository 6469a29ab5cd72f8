//! Linear algebra: dense matrices in f32 and f64, their products, Gram matrices, linear systems, eigenvalues and
//! truncated SVD.
//!
//! A [`Dense`] matrix holds f32 elements of a file and a [`Matrix`] f64 results, which squares of small singular values
//! need. A [`Factorization`] is a matrix that is not multiplied out.
//!
//! A crate of its own, because it is compiled for speed, and the rest of the engine for size.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "values in tests are small"))]

mod cholesky;
mod dense;
mod eigen;
mod factorization;
mod gram;
mod low_rank;
mod matrix;
mod operand;
mod orthonormal;
mod singular_values;
mod solve;

pub use dense::{Dense, kronecker, norm, product, transposed};
pub use factorization::{Factorization, pair_is_smaller, product_norm, product_norm_with};
pub use gram::Known;
pub use low_rank::LowRank;
pub use matrix::Matrix;
pub use orthonormal::orthonormal_basis;
pub use singular_values::Grams;
pub use solve::solve;
