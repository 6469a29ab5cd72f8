//! Merging by blocks: each block of the network comes whole from one file, its donor.

use super::open::Opened;
use crate::adapters::{ParseStrengthsError, Strengths};
use crate::model::block::block;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The file that donates each block, counted from 0; blocks that are not listed come from the first file.
///
/// Parsed from `OUT=2,MID=1,TE=2`, where files are counted from 1: a name without a number is every block of that name, and
/// `TE` everything of the text encoders.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Donors {
    files: BTreeMap<String, usize>,
}

impl FromStr for Donors {
    type Err = String;

    fn from_str(text: &str) -> Result<Donors, String> {
        let donor = |part: &str| {
            let (name, file) = part.split_once('=')?;
            let file: usize = file.trim().parse().ok()?;
            Some((name.trim().to_ascii_uppercase(), file.checked_sub(1)?))
        };
        let files: Option<BTreeMap<String, usize>> = text.split(',').map(donor).collect();
        files
            .map(|files| Donors { files })
            .ok_or_else(|| format!("`{text}` lists no donors: give e.g. OUT=2,MID=1,TE=2"))
    }
}

impl Donors {
    /// Returns the block weights of each file: 1 in the blocks that it donates, else 0.
    ///
    /// # Errors
    /// If a file's blocks have no weights.
    pub fn strengths(&self, files: &[Opened]) -> Result<Vec<Strengths>, ParseStrengthsError> {
        let mut blocks = BTreeMap::new();
        for delta in files.iter().flat_map(|opened| &opened.adapter.deltas) {
            let name = block(delta.component, &delta.module);
            // The text encoders' blocks outside their layers have the weight of `TE`.
            let is_text = !delta.component.is_denoiser() && !name.starts_with("TE");
            let name = if is_text { "TE".into() } else { name };
            let donor = self.of(&name);
            blocks.insert(name, donor);
        }
        let weights = |file: usize| {
            let weight = |(name, donor): (&String, &usize)| (name.clone(), f32::from(u8::from(*donor == file)));
            blocks.iter().map(weight).collect::<BTreeMap<String, f32>>().try_into()
        };
        (0..files.len()).map(weights).collect()
    }

    /// Returns the donor of a block: that of its own name, else of its name without the number.
    fn of(&self, block: &str) -> usize {
        let stack = block.trim_end_matches(|letter: char| letter.is_ascii_digit());
        self.files.get(block).or_else(|| self.files.get(stack)).copied().unwrap_or(0)
    }
}
