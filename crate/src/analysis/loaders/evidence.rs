//! A file's properties from which verdicts follow.

use crate::adapters::{Adapter, Group, PeftConfigs};
use crate::analysis::family::Detected;
use crate::analysis::report::Problem;
use crate::formats::Header;
use crate::model::spelling::ModuleMatch;

/// Everything known about a file.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// File name.
    pub file: &'a str,
    /// Header with all tensors.
    pub header: &'a Header,
    /// Groups that change a layer.
    pub groups: &'a [Group],
    /// The layer of each group, in the detected family.
    pub found: &'a [Option<ModuleMatch<'a>>],
    /// The detected family.
    pub family: &'a Detected,
    /// The file's deltas, read against the family.
    pub adapter: &'a Adapter,
    /// Problems of the file.
    pub problems: &'a [Problem],
    /// Paths of the layers whose alpha is known to be 0.
    pub zero_alpha: &'a [String],
    /// Its PEFT configs.
    pub configs: &'a PeftConfigs,
}
