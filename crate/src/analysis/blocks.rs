//! Turns layers into the blocks of the network in the order in which data flows, and counts how
//! many of a block's layers a file changes.
//!
//! The UNet's blocks have the names of the web UIs' block weights: BASE, IN00…, MID, OUT00…; a
//! text encoder has one a layer.

use super::report::{Coverage, ModuleRow};
use crate::model::{Component, Kind, Module};
use std::collections::HashSet;

/// Short name of the block that a layer lies in.
pub fn block(component: Component, module: &Module) -> String {
    let number = |text: &str| text.split('.').next().and_then(|number| number.parse::<usize>().ok());
    if component != Component::Unet {
        return match module.path.split_once("layers.").and_then(|(_, rest)| number(rest)) {
            Some(layer) => format!("TE{layer:02}"),
            None if module.path.contains("embeddings") => "BASE".into(),
            None => "END".into(),
        };
    }
    match module.ldm.split_once('.') {
        Some(("input_blocks", rest)) => format!("IN{:02}", number(rest).unwrap_or(0)),
        Some(("middle_block", _)) => "MID".into(),
        Some(("output_blocks", rest)) => format!("OUT{:02}", number(rest).unwrap_or(0)),
        Some(("out", _)) => "END".into(),
        _ => "BASE".into(),
    }
}

/// Where a block is, for people.
fn label(component: Component, block: &str, module: &Module) -> String {
    let parts: Vec<&str> = module.path.split('.').collect();
    match (component, parts.as_slice()) {
        (Component::Unet, ["down_blocks", level, "downsamplers", ..]) => format!("down block {level}, downsampler"),
        (Component::Unet, ["up_blocks", level, "upsamplers", ..]) => format!("up block {level}, upsampler"),
        (Component::Unet, ["down_blocks", level, _, layer, ..]) => format!("down block {level}, layer {layer}"),
        (Component::Unet, ["up_blocks", level, _, layer, ..]) => format!("up block {level}, layer {layer}"),
        (Component::Unet, ["mid_block", ..]) => "middle block".into(),
        (Component::Unet, ["conv_in", ..]) => "input convolution".into(),
        (Component::Unet, _) if block == "END" => "output convolution".into(),
        (Component::Unet, _) => "time embedding".into(),
        _ => match block.strip_prefix("TE") {
            Some(layer) => format!("text layer {}", layer.parse::<usize>().unwrap_or(0)),
            None if block == "BASE" => "embeddings".into(),
            None => "last norm and projection".into(),
        },
    }
}

/// Counts the layers of each block that `rows` change.
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
        let inside = rows.iter().filter(|row| {
            let component = row.path.split('.').next();
            row.block == entry.block && component == Some(entry.component.as_str())
        });
        entry.norm = inside.filter_map(|row| row.norm).map(|norm| norm * norm).sum::<f64>().sqrt();
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, FamilyId};

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
}
