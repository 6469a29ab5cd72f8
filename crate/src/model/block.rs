//! Block names of layers, as in the web UIs' block weights (LBW): BASE, IN00…, MID, OUT00… for a UNet,
//! one block per layer for a text encoder, and names by stack for a transformer.

use super::{Component, Module};

/// Returns the short name of the block that contains a layer.
pub fn block(component: Component, module: &Module) -> String {
    let index = |text: &str| text.split('.').next().and_then(|index| index.parse::<usize>().ok());
    if matches!(component, Component::Transformer | Component::Prior | Component::LanguageModel) {
        return match stack(&module.ldm) {
            Some((short, _, block)) => format!("{short}{block:02}"),
            None if is_last(&module.ldm) => "END".into(),
            None => "BASE".into(),
        };
    }
    if component == Component::Model {
        return String::new();
    }
    if component != Component::Unet {
        let layer = module.path.split_once("layers.").or(module.path.split_once("block."));
        return match layer.and_then(|(_, rest)| index(rest)) {
            Some(layer) => format!("TE{layer:02}"),
            None if module.path.contains("embeddings") => "BASE".into(),
            None => "END".into(),
        };
    }
    match module.ldm.split_once('.') {
        Some(("input_blocks", rest)) => format!("IN{:02}", index(rest).unwrap_or(0)),
        Some(("middle_block", _)) => "MID".into(),
        Some(("output_blocks", rest)) => format!("OUT{:02}", index(rest).unwrap_or(0)),
        Some(("out", _)) => "END".into(),
        _ => "BASE".into(),
    }
}

/// Stacks of equal blocks: key prefix, short name of a block, display name of a block.
const STACKS: [(&str, &str, &str); 28] = [
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
    ("double_stream_blocks.", "D", "double block"),
    ("single_stream_blocks.", "S", "single block"),
    ("double_layers.", "D", "double block"),
    ("single_layers.", "S", "single block"),
    ("vace_blocks.", "V", "VACE block"),
    ("visual_transformer_blocks.", "V", "block"),
    ("text_transformer_blocks.", "T", "text block"),
    ("language_model.layers.", "L", "layer"),
    ("visual.blocks.", "E", "vision block"),
    ("txtfusion.layerwise_blocks.", "TL", "text fusion block"),
    ("txtfusion.refiner_blocks.", "TR", "text refiner"),
    ("ref_image_refiner.", "RR", "reference refiner"),
    ("audio_embeddings_connector.transformer_1d_blocks.", "AC", "audio connector"),
    ("video_embeddings_connector.transformer_1d_blocks.", "VC", "video connector"),
];

/// Returns the short name, display name and block index of the stack that contains a transformer's layer.
pub fn stack(native: &str) -> Option<(&'static str, &'static str, usize)> {
    STACKS.iter().find_map(|&(start, short, label)| {
        let block = native.strip_prefix(start)?.split('.').next()?.parse().ok()?;
        Some((short, label, block))
    })
}

/// Returns whether a layer outside the stacks follows them.
fn is_last(native: &str) -> bool {
    [
        "final_",
        "norm_out.",
        "proj_out",
        "audio_proj_out",
        "out_layer.",
        "head.",
        "last.",
        "modF.",
        "clf.",
        "llm_adapter.out",
    ]
    .iter()
    .any(|start| native.starts_with(start))
}
