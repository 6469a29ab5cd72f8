//! Block weights: multipliers of an adapter's strength per block, in the syntax of block-weight tools.

use super::delta::Delta;
use crate::model::{Component, block};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;
use ts_rs::TS;

/// Multiplier of the strength in each block; 1 for blocks that are not listed.
///
/// Parsed from `IN04=0.5,MID=0,TE=0.7` (`TE` is every block of the text encoders, `ALL=0.5` multiplies every block;
/// blocks of newer models are `D00`, `S00`, … as named in reports), or from a list of numbers in the layouts of
/// sd-webui-lora-block-weight: 17 or 26 for SD 1.x and 2.x, 12 or 20 for SDXL. The first number is `BASE`: the text
/// encoders and the layers outside the UNet's blocks. The names of the extension's own presets, such as `MIDD`, stand for
/// their lists of 17.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(try_from = "BTreeMap<String, f32>", into = "BTreeMap<String, f32>")]
#[ts(type = "Record<string, number>")]
pub struct Strengths {
    blocks: BTreeMap<String, f32>,
}

/// Presets that sd-webui-lora-block-weight has from the start.
const PRESETS: [(&str, &str); 10] = [
    ("NONE", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"),
    ("ALL", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"),
    ("INS", "1,1,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0"),
    ("IND", "1,0,0,0,1,1,1,0,0,0,0,0,0,0,0,0,0"),
    ("INALL", "1,1,1,1,1,1,1,0,0,0,0,0,0,0,0,0,0"),
    ("MIDD", "1,0,0,0,1,1,1,1,1,1,1,1,0,0,0,0,0"),
    ("OUTD", "1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0"),
    ("OUTS", "1,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1"),
    ("OUTALL", "1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1"),
    ("ALL0.5", "0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5"),
];

/// Error for a text that is not a valid list of block weights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid list of block weights: use IN04=0.5,MID=0,ALL=0.8 or 12, 17, 20 or 26 numbers")]
pub struct ParseStrengthsError(String);

impl FromStr for Strengths {
    type Err = ParseStrengthsError;

    fn from_str(text: &str) -> Result<Strengths, ParseStrengthsError> {
        let invalid = || ParseStrengthsError(text.into());
        let text = PRESETS.iter().find(|(name, _)| *name == text.trim()).map_or(text, |(_, list)| list);
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let parse_number = |text: &str| text.trim().parse::<f32>().ok().filter(|x| x.is_finite()).ok_or_else(invalid);
        if parts.iter().all(|part| part.contains('=')) {
            let named = parts.iter().map(|part| {
                let (name, strength) = part.split_once('=').ok_or_else(invalid)?;
                Ok((name.trim().to_ascii_uppercase(), parse_number(strength)?))
            });
            return named.collect::<Result<BTreeMap<String, f32>, ParseStrengthsError>>()?.try_into();
        }
        let names = layout(parts.len()).ok_or_else(invalid)?;
        let mut blocks = BTreeMap::new();
        for (name, part) in names.into_iter().zip(parts) {
            let strength = parse_number(part)?;
            if name == "BASE" {
                blocks.insert("TE".into(), strength);
            }
            blocks.insert(name, strength);
        }
        Ok(Strengths { blocks })
    }
}

impl TryFrom<BTreeMap<String, f32>> for Strengths {
    type Error = ParseStrengthsError;

    fn try_from(blocks: BTreeMap<String, f32>) -> Result<Strengths, ParseStrengthsError> {
        match blocks.iter().find(|(name, strength)| !is_block(name) || !strength.is_finite()) {
            Some((name, strength)) => Err(ParseStrengthsError(format!("{name}={strength}"))),
            None => Ok(Strengths { blocks }),
        }
    }
}

impl From<Strengths> for BTreeMap<String, f32> {
    fn from(strengths: Strengths) -> BTreeMap<String, f32> {
        strengths.blocks
    }
}

impl Strengths {
    /// Returns the same multiplier for all blocks.
    pub fn all(strength: f32) -> Strengths {
        Strengths { blocks: BTreeMap::from([("ALL".into(), strength)]) }
    }

    /// Returns whether every multiplier is 1.
    pub fn is_one(&self) -> bool {
        self.blocks.values().all(|&strength| strength == 1.0)
    }

    /// Returns the multiplier of a delta.
    pub fn of(&self, delta: &Delta) -> f32 {
        self.at(delta.component, &block(delta.component, &delta.module))
    }

    /// Returns the multiplier of the deltas in a component's block.
    pub fn at(&self, component: Component, block: &str) -> f32 {
        let is_text = !component.is_denoiser() && component != Component::LanguageModel;
        // BASE and END of a text encoder are not those of the UNet.
        let listed = if is_text && !block.starts_with("TE") { None } else { self.blocks.get(block) };
        let multiplier = listed.or_else(|| self.blocks.get("TE").filter(|_| is_text)).copied().unwrap_or(1.0);
        multiplier * self.blocks.get("ALL").copied().unwrap_or(1.0)
    }
}

fn is_block(name: &str) -> bool {
    const NUMBERED: [&str; 16] =
        ["IN", "OUT", "TE", "D", "S", "J", "T", "B", "L", "CR", "NR", "TR", "A", "G", "DOWN", "UP"];
    let numbered =
        |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.len() == 2 && rest.parse::<u8>().is_ok());
    matches!(name, "ALL" | "BASE" | "MID" | "END" | "TE") || NUMBERED.into_iter().any(numbered)
}

/// Returns the blocks of a list of this length.
fn layout(count: usize) -> Option<Vec<String>> {
    let (inputs, outputs): (Vec<usize>, Vec<usize>) = match count {
        17 => (vec![1, 2, 4, 5, 7, 8], (3..12).collect()),
        26 => ((0..12).collect(), (0..12).collect()),
        12 => (vec![4, 5, 7, 8], (0..6).collect()),
        20 => ((0..9).collect(), (0..9).collect()),
        _ => return None,
    };
    let names = ["BASE".to_owned()].into_iter();
    let names = names.chain(inputs.iter().map(|index| format!("IN{index:02}"))).chain(["MID".to_owned()]);
    Some(names.chain(outputs.iter().map(|index| format!("OUT{index:02}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_named_blocks_are_parsed() {
        let list: Strengths = "1,0,0,0,0,0,0,0,0,0,0,0.5,1,1,1,1,1".parse().expect("a list of 17");
        let get = |strengths: &Strengths, name: &str| strengths.blocks.get(name).copied();
        assert_eq!((get(&list, "IN01"), get(&list, "OUT06"), get(&list, "TE")), (Some(0.0), Some(0.5), Some(1.0)));
        assert_eq!(get(&list, "IN03"), None);
        let named: Strengths = "in04=0.25, MID=-1".parse().expect("names");
        assert_eq!((get(&named, "IN04"), get(&named, "MID")), (Some(0.25), Some(-1.0)));
        let preset: Strengths = "OUTD".parse().expect("a preset");
        assert_eq!((get(&preset, "OUT03"), get(&preset, "MID"), get(&preset, "TE")), (Some(1.0), Some(0.0), Some(1.0)));
        for (count, last) in [(12, "OUT05"), (17, "OUT11"), (20, "OUT08"), (26, "OUT11")] {
            let names = layout(count).expect("a layout");
            assert_eq!((names.len(), names.last().map(String::as_str)), (count, Some(last)));
        }
        for wrong in ["1,2,3", "IN4=1", "XYZ=1", "MID=nan", "MID=", ""] {
            assert!(wrong.parse::<Strengths>().is_err(), "{wrong}");
        }
    }
}
