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

/// Stacks of equal blocks: key prefix, short name of a block, id of its name in reports.
const STACKS: [(&str, &str, &str); 28] = [
    ("blk.", "L", "stack.layer"),
    ("double_blocks.", "D", "stack.double"),
    ("single_blocks.", "S", "stack.single"),
    ("joint_blocks.", "J", "stack.joint"),
    ("transformer_blocks.", "T", "stack.block"),
    ("blocks.", "B", "stack.block"),
    ("layers.", "L", "stack.layer"),
    ("context_refiner.", "CR", "stack.context_refiner"),
    ("noise_refiner.", "NR", "stack.noise_refiner"),
    ("txt_in.individual_token_refiner.blocks.", "TR", "stack.token_refiner"),
    ("llm_adapter.blocks.", "A", "stack.text_adapter"),
    ("distilled_guidance_layer.layers.", "G", "stack.guidance"),
    ("down_blocks.", "DOWN", "stack.down"),
    ("up_blocks.", "UP", "stack.up"),
    ("double_stream_blocks.", "D", "stack.double"),
    ("single_stream_blocks.", "S", "stack.single"),
    ("double_layers.", "D", "stack.double"),
    ("single_layers.", "S", "stack.single"),
    ("vace_blocks.", "V", "stack.vace"),
    ("visual_transformer_blocks.", "V", "stack.block"),
    ("text_transformer_blocks.", "T", "stack.text"),
    ("language_model.layers.", "L", "stack.layer"),
    ("visual.blocks.", "E", "stack.vision"),
    ("txtfusion.layerwise_blocks.", "TL", "stack.text_fusion"),
    ("txtfusion.refiner_blocks.", "TR", "stack.text_refiner"),
    ("ref_image_refiner.", "RR", "stack.reference_refiner"),
    ("audio_embeddings_connector.transformer_1d_blocks.", "AC", "stack.audio_connector"),
    ("video_embeddings_connector.transformer_1d_blocks.", "VC", "stack.video_connector"),
];

/// Returns the short name, the id of the name in reports and the block index of the stack that contains a transformer's layer.
pub fn stack(native: &str) -> Option<(&'static str, &'static str, usize)> {
    STACKS.iter().find_map(|&(start, short, name)| {
        let block = native.strip_prefix(start)?.split('.').next()?.parse().ok()?;
        Some((short, name, block))
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
