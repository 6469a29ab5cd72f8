//! Turns golden files into what tests compare: seeded inputs, recipes, pictures, distances.

pub mod cases;
pub mod compare;
pub mod containers;
pub mod draw;
pub mod edits;
pub mod golden;
pub mod imagined;
pub mod loader_cases;
pub mod mini;
pub mod numbers;
pub mod ops;
pub mod synthetic;
pub mod taps;
