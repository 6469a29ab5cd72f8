//! A network's blocks in data-flow order, and how many of each block's layers a file changes.
//!
//! UNet blocks are named as in the web UIs' block weights: BASE, IN00…, MID, OUT00…; transformer
//! blocks after their stacks: D00… for double blocks, S00… for single ones; a text encoder has one
//! block per layer.

use super::modules::{Coverage, ModuleRow};
use crate::model::block::{block, stack};
use crate::model::{Component, Kind, Module};
use crate::sentence::{Sentence, sentence};
use std::collections::HashSet;

/// Returns a block's display label.
fn label(component: Component, block: &str, module: &Module) -> Sentence {
    let parts: Vec<&str> = module.path.split('.').collect();
    if matches!(component, Component::Transformer | Component::Prior | Component::LanguageModel) {
        return match stack(&module.ldm) {
            Some((_, name, number)) => sentence!(name, number = number),
            None if block == "END" => sentence!("block.output"),
            None => sentence!("block.input"),
        };
    }
    match (component, parts.as_slice()) {
        (Component::Unet, ["down_blocks", level, "downsamplers", ..]) => {
            sentence!("block.down_sampler", level = *level)
        }
        (Component::Unet, ["up_blocks", level, "upsamplers", ..]) => sentence!("block.up_sampler", level = *level),
        (Component::Unet, ["down_blocks", level, _, layer, ..]) => {
            sentence!("block.down", level = *level, layer = *layer)
        }
        (Component::Unet, ["up_blocks", level, _, layer, ..]) => {
            sentence!("block.up", level = *level, layer = *layer)
        }
        (Component::Unet, ["mid_block", ..]) => sentence!("block.middle"),
        (Component::Unet, ["conv_in", ..]) => sentence!("block.conv_in"),
        (Component::Unet, _) if block == "END" => sentence!("block.conv_out"),
        (Component::Unet, _) => sentence!("block.time"),
        _ => match block.strip_prefix("TE") {
            Some(layer) => sentence!("block.text", layer = layer.parse::<usize>().unwrap_or(0)),
            None if block == "BASE" => sentence!("block.embeddings"),
            None => sentence!("block.last_norm"),
        },
    }
}

/// Counts each block's layers that `rows` change.
pub fn coverage(modules: &[(Component, &Module)], rows: &[ModuleRow]) -> Vec<Coverage> {
    let changed: HashSet<&str> = rows.iter().map(|row| row.path.as_str()).collect();
    let mut list: Vec<Coverage> = Vec::new();
    for &(component, module) in modules {
        if !matches!(module.kind, Kind::Linear { .. } | Kind::Conv { .. }) {
            continue;
        }
        let block = block(component, module);
        let known = list.iter().position(|entry| entry.component == component.name() && entry.block == block);
        let index = known.unwrap_or_else(|| {
            let label = label(component, &block, module);
            list.push(Coverage { component: component.name().into(), block, label, covered: 0, total: 0, norm: 0.0 });
            list.len() - 1
        });
        list[index].total += 1;
        list[index].covered += usize::from(changed.contains(format!("{component}.{}", module.path).as_str()));
    }
    for entry in &mut list {
        entry.measure(rows);
    }
    list
}

impl Coverage {
    /// Sets the norm to that of the block's rows together.
    pub(super) fn measure(&mut self, rows: &[ModuleRow]) {
        let inside = rows.iter().filter(|row| {
            let component = row.path.split('.').next();
            row.block == self.block && component == Some(self.component.as_str())
        });
        self.norm = inside.filter_map(|row| row.norm).map(|norm| norm * norm).sum::<f64>().sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, Family, FamilyId, ModuleSource};

    #[test]
    fn blocks_come_in_network_order() {
        let check = |id, first: &str, unet: usize, text: usize| {
            let family = Family::published(id).expect("a published config");
            let list = coverage(&family.modules(), &[]);
            let names: Vec<String> = list.iter().map(|entry| format!("{}:{}", entry.component, entry.block)).collect();
            assert_eq!(names[0], "text_encoder:TE00");
            let start = names.iter().position(|name| name.starts_with("unet")).expect("a UNet");
            assert_eq!(names[start..start + 3].join(" "), first);
            assert_eq!((names.len() - start, start), (unet, text), "{names:?}");
            assert_eq!(names.last().map(String::as_str), Some("unet:END"));
        };
        check(FamilyId::Sd15, "unet:BASE unet:IN00 unet:IN01", 1 + 12 + 1 + 12 + 1, 12);
        check(FamilyId::Sdxl, "unet:BASE unet:IN00 unet:IN01", 1 + 9 + 1 + 9 + 1, 12 + 32 + 1);
    }

    #[test]
    fn transformers_have_their_own_blocks() {
        let check = |family: &str, naming, expect: &str, blocks: usize| {
            let architecture = &Architecture::of(family)[0];
            let list = coverage(&architecture.modules_of(naming), &[]);
            let denoiser: Vec<_> = list.iter().filter(|entry| !entry.component.starts_with("text")).collect();
            let names: Vec<&str> = denoiser.iter().map(|entry| entry.block.as_str()).collect();
            assert_eq!(names.join(" ").get(..expect.len()), Some(expect), "{family}");
            assert_eq!(names.len(), blocks, "{family}: {names:?}");
        };
        check("flux1", ModuleSource::Native, "BASE D00 D01", 1 + 19 + 38 + 1);
        check("flux1", ModuleSource::Diffusers, "BASE D00 D01", 1 + 19 + 38 + 1);
        check("sd3", ModuleSource::Diffusers, "BASE J00 J01", 1 + 24 + 1);
        check("hunyuan_video", ModuleSource::Diffusers, "BASE TR00 TR01 D00", 1 + 2 + 20 + 40 + 1);
        check("z_image", ModuleSource::Native, "BASE CR00 CR01 NR00 NR01 L00", 1 + 4 + 30 + 1);
        check("cascade", ModuleSource::Native, "BASE DOWN00 DOWN01 UP00 UP01", 1 + 4 + 1);
    }
}
