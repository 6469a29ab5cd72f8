//! Identity of files for every network that ComfyUI and diffusers load LoRAs for, in the spellings and algorithms of
//! trainers, whole or with a part of the layers: never another network, said with confidence.
#![cfg(not(target_os = "wasi"))] // the native run takes a minute as it is

use lora_loupe::analysis::inspect_header;
use lora_loupe_tests::module_lists::{self, MadeFile, Part};
use pollster::block_on;
use std::collections::BTreeSet;

/// How a report names a file's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// As the network that it was made for.
    Right,
    /// As one of several.
    Among,
    Wrong,
}

fn named(made: &MadeFile) -> (Named, String) {
    let report = block_on(inspect_header("made.safetensors", &made.file, None));
    // Few LoRAs are made for Kolors: the report on a file that fits SDXL as well says so in its evidence.
    let is_rare = made.family == "kolors" && report.base.evidence.iter().any(|line| line.id == "evidence.rare");
    let named = match report.base.family == made.family {
        _ if !report.leftovers.is_empty() => Named::Wrong,
        true => Named::Right,
        false if is_rare || report.base.others.iter().any(|base| base.family == made.family) => Named::Among,
        false => Named::Wrong,
    };
    (named, format!("{}: {}, {} leftovers", made.name, report.base.label, report.leftovers.len()))
}

#[test]
fn every_network_is_identified_in_every_spelling() {
    let lists = module_lists::kept();
    assert_eq!(lists.len(), 35);
    let (mut files, mut wrong, mut unsure) = (0, Vec::new(), BTreeSet::new());
    for list in &lists {
        for made in list.files() {
            files += 1;
            match named(&made) {
                (Named::Wrong, says) => wrong.push(says),
                (Named::Among, _) if made.part == Part::All => {
                    unsure.insert(list.variant.as_str());
                }
                _ => {}
            }
        }
    }
    assert!(files > 1900, "{files}");
    assert!(wrong.is_empty(), "{} of {files}:\n{}", wrong.len(), wrong.join("\n"));
    // Only these have no layers of their own.
    assert!(unsure.iter().all(|variant| ["cosmos_predict2_2b", "kolors"].contains(variant)), "{unsure:?}");
}
