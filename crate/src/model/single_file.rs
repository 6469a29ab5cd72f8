//! UNet config inferred from the tensor shapes of a single-file checkpoint: block numbers in such files
//! depend on the number of layers and levels.

use super::config::{PerLevel, UnetConfig};
use super::family::FamilyId;
use std::collections::HashMap;

/// Key prefix of the UNet in single-file checkpoints.
const PREFIX: &str = "model.diffusion_model.";

/// Infers the UNet's family and config, as far as layer names and sizes depend on them: a checkpoint has
/// no head and group counts, which are set to 1. Returns None if the file is not such a checkpoint.
pub fn unet_config(shapes: &HashMap<&str, &[usize]>) -> Option<(FamilyId, UnetConfig)> {
    let shape = |name: &str| shapes.get(format!("{PREFIX}{name}").as_str()).copied();
    let conv_in = shape("input_blocks.0.0.weight")?;
    let mut levels = vec![Level::default()];
    for index in 1.. {
        if shape(&format!("input_blocks.{index}.0.op.weight")).is_some() {
            levels.push(Level::default());
            continue;
        }
        let Some(resnet) = shape(&format!("input_blocks.{index}.0.in_layers.2.weight")) else { break };
        let level = levels.last_mut()?;
        level.layers += 1;
        level.channels = *resnet.first()?;
        let norm_key = |depth: usize| format!("input_blocks.{index}.1.transformer_blocks.{depth}.norm1.weight");
        level.depth = (0..).take_while(|&depth| shape(&norm_key(depth)).is_some()).count();
    }
    let per_level = levels.first()?.layers;
    if per_level == 0 || levels.iter().any(|level| level.layers != per_level) {
        return None;
    }
    let text = shape("middle_block.1.transformer_blocks.0.attn2.to_k.weight")?;
    let linear = shape("middle_block.1.proj_in.weight")?.len() == 2;
    let label = shape("label_emb.0.0.weight");
    let depth = |level: &Level| level.depth.max(1);
    let mid_norm_key = |depth: usize| format!("middle_block.1.transformer_blocks.{depth}.norm1.weight");
    let mut depths: Vec<usize> = levels.iter().map(depth).collect();
    // The mid block uses the last level's depth; in SD 1.x and 2.x that level has no attention, so the depth
    // is read from the mid block.
    *depths.last_mut()? = (0..).take_while(|&depth| shape(&mid_norm_key(depth)).is_some()).count();
    let config = UnetConfig {
        sample_size: 64,
        in_channels: *conv_in.get(1)?,
        out_channels: *shape("out.2.weight")?.first()?,
        block_out_channels: levels.iter().map(|level| level.channels).collect(),
        down_block_types: levels.iter().map(|level| level.kind("Down")).collect(),
        up_block_types: levels.iter().rev().map(|level| level.kind("Up")).collect(),
        layers_per_block: per_level,
        cross_attention_dim: *text.get(1)?,
        time_cond_proj_dim: None,
        attention_head_dim: PerLevel::One(1),
        num_attention_heads: None,
        transformer_layers_per_block: PerLevel::Each(depths),
        use_linear_projection: linear,
        norm_num_groups: 1,
        norm_eps: 1e-5,
        addition_embed_type: label.map(|_| "text_time".into()),
        addition_time_embed_dim: label.map(|_| 1),
        projection_class_embeddings_input_dim: label.and_then(|shape| shape.get(1).copied()),
    };
    let family = match (label, linear) {
        (Some(_), _) => FamilyId::Sdxl,
        (None, true) => FamilyId::Sd21,
        (None, false) => FamilyId::Sd15,
    };
    Some((family, config))
}

#[derive(Default)]
struct Level {
    layers: usize,
    channels: usize,
    /// Transformer blocks per spatial transformer; 0 without attention.
    depth: usize,
}

impl Level {
    /// Returns diffusers' class name of the block.
    fn kind(&self, direction: &str) -> String {
        let attention = if self.depth > 0 { "CrossAttn" } else { "" };
        format!("{attention}{direction}Block2D")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Unet};

    #[test]
    fn published_configs_are_inferred_from_shapes() {
        for id in FamilyId::ALL {
            let unet = Family::published(id).expect("a published config").unet;
            let tensors: Vec<(String, Vec<usize>)> = unet
                .modules()
                .iter()
                .map(|module| (format!("{PREFIX}{}.weight", module.ldm), module.weight_shape()))
                .collect();
            let shapes = tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
            let (family, config) = unet_config(&shapes).expect("a checkpoint");
            assert_eq!(family, id);
            let inferred = Unet::new(&config);
            let layers = |unet: &Unet| -> Vec<(String, String, Vec<usize>)> {
                let layer =
                    |module: &&crate::model::Module| (module.path.clone(), module.ldm.clone(), module.weight_shape());
                unet.modules().iter().map(layer).collect()
            };
            assert_eq!(layers(&inferred), layers(&unet));
        }
    }
}
