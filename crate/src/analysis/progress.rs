//! Progress of an inspection.

use super::modules::ModuleRow;
use std::ops::ControlFlow;

/// Progress of an inspection.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A layer was measured.
    Layer {
        /// Bytes done.
        done: u64,
        /// Total bytes.
        total: u64,
        /// The layer's row of the report.
        row: &'a ModuleRow,
    },
    /// Part of the file was hashed.
    Hashed {
        /// Bytes done.
        done: u64,
        /// The file's size in bytes.
        total: u64,
    },
}

/// Progress callback; breaking stops the inspection.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;
