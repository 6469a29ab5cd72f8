//! Turns a layer into the block of the network that it lies in, by the names of the web UIs' block
//! weights: BASE, IN00…, MID, OUT00… for a UNet, one a layer for a text encoder, and for a
//! transformer those of its stacks.

use super::{Component, Module};

/// Short name of the block that a layer lies in.
pub fn block(component: Component, module: &Module) -> String {
    let number = |text: &str| text.split('.').next().and_then(|number| number.parse::<usize>().ok());
    if matches!(component, Component::Transformer | Component::Prior | Component::LanguageModel) {
        return match stack(&module.ldm) {
            Some((short, _, block)) => format!("{short}{block:02}"),
            None if is_last(&module.ldm) => "END".into(),
            None => "BASE".into(),
        };
    }
    if component != Component::Unet {
        let layer = module.path.split_once("layers.").or(module.path.split_once("block."));
        return match layer.and_then(|(_, rest)| number(rest)) {
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

/// A stack of equal blocks: the start of its layers' names, its blocks' short name, its name for people.
const STACKS: [(&str, &str, &str); 14] = [
    ("blk.", "L", "layer"),
    ("double_blocks.", "D", "double block"),
    ("single_blocks.", "S", "single block"),
    ("joint_blocks.", "J", "joint block"),
    ("transformer_blocks.", "T", "block"),
    ("blocks.", "B", "block"),
    ("layers.", "L", "layer"),
    ("context_refiner.", "CR", "context refiner"),
    ("noise_refiner.", "NR", "noise refiner"),
    ("txt_in.individual_token_refiner.blocks.", "TR", "token refiner"),
    ("llm_adapter.blocks.", "A", "text adapter block"),
    ("distilled_guidance_layer.layers.", "G", "guidance layer"),
    ("down_blocks.", "DOWN", "down block"),
    ("up_blocks.", "UP", "up block"),
];

/// The stack and the block in it that a layer of a transformer lies in.
pub fn stack(native: &str) -> Option<(&'static str, &'static str, usize)> {
    STACKS.iter().find_map(|&(start, short, label)| {
        let block = native.strip_prefix(start)?.split('.').next()?.parse().ok()?;
        Some((short, label, block))
    })
}

/// Whether a layer outside of the stacks stands behind them.
fn is_last(native: &str) -> bool {
    ["final_layer.", "norm_out.", "proj_out", "head.", "clf.", "llm_adapter.out"]
        .iter()
        .any(|start| native.starts_with(start))
}
