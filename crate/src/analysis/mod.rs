//! Turns a file into a report: what it is, what it was made for, where it acts and what is wrong with it.

mod base;
mod blocks;
mod family;
mod hashes;
mod inspect;
pub mod loaders;
mod low_rank;
mod matrix;
mod problems;
mod refusal;
mod report;
mod signature;
mod spectrum;
mod verdict;

pub use base::BaseShapes;
pub use blocks::block;
pub use family::{Detected, detect};
pub use hashes::{Claim, ClaimVerdict, DataHashes, Hashes, HeaderHashes, LEGACY_HASH, MODEL_HASH, SPEC_HASH, hashes};
pub use inspect::{inspect, sha256};
pub use low_rank::LowRank;
pub use loaders::{LoaderStatus, LoaderVerdict, LogExplanation, explain_log};
pub use report::{Base, Container, Coverage, FileKind, LeftoverRow, ModuleRow, Problem, Report, Severity};
pub use spectrum::Spectrum;
