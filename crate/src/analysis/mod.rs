//! Turns a file into a report: what it is, what it was made for, where it acts and what is wrong with it.

mod base;
mod blocks;
mod family;
mod inspect;
mod problems;
mod refusal;
mod report;
mod single_file;
mod verdict;

pub use base::BaseShapes;
pub use blocks::block;
pub use inspect::{inspect, sha256};
pub use report::{Base, Container, Coverage, FileKind, LeftoverRow, ModuleRow, Problem, Report, Severity};
