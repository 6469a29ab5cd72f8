//! Turns golden files into numbers that tests compare: reading, seeded inputs, distances.

pub mod cases;
pub mod compare;
pub mod golden;
pub mod mini;
pub mod numbers;
pub mod ops;
pub mod synthetic;
pub mod taps;
