//! UNet config inferred from the tensor shapes of a single-file checkpoint: block numbers in such files
//! depend on the number of layers and levels.

use super::config::{PerLevel, UnetConfig};
use super::family::{Family, FamilyId};
use super::stored::UNET_PREFIXES;
use std::collections::HashMap;

/// Infers the UNet's family and config, as far as layer names and sizes depend on them: a checkpoint has
/// no head and group counts, which are set to 1. Returns None if the file has no such UNet.
pub fn unet_config(shapes: &HashMap<&str, &[usize]>) -> Option<(FamilyId, UnetConfig)> {
    let is_prefix = |prefix: &&&str| shapes.contains_key(format!("{prefix}input_blocks.0.0.weight").as_str());
    match UNET_PREFIXES.iter().find(is_prefix) {
        Some(prefix) => ldm_config(&|name| shapes.get(format!("{prefix}{name}").as_str()).copied()),
        None => {
            let ldm = of_diffusers(shapes)?;
            ldm_config(&|name| ldm.get(name).copied())
        }
    }
}

/// Returns the shapes under LDM's names of a UNet with diffusers' names. Without a config, only published layers are
/// known.
fn of_diffusers<'a>(shapes: &HashMap<&str, &'a [usize]>) -> Option<HashMap<String, &'a [usize]>> {
    FamilyId::ALL.into_iter().find_map(|id| {
        let unet = Family::published(id).ok()?.unet;
        let stored = |module: &&super::Module| {
            let keys = ["unet.", ""].map(|prefix| format!("{prefix}{}.weight", module.path));
            let shape = keys.iter().find_map(|key| shapes.get(key.as_str()).copied())?;
            // SD 1.x and 2.x differ in the rank and width of their matrices only.
            let is_same = module.path == "conv_in" || shape == module.weight_shape();
            is_same.then(|| (format!("{}.weight", module.ldm), shape))
        };
        unet.modules().iter().map(stored).collect()
    })
}

/// Infers the config from the shape of each tensor, by LDM's names.
fn ldm_config<'a>(shape: &dyn Fn(&str) -> Option<&'a [usize]>) -> Option<(FamilyId, UnetConfig)> {
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
    let label = shape("label_emb.0.0.weight");
    // stable-diffusion.cpp stores matrices as 1x1 kernels. Only SD 1.x has such kernels, and a narrower text encoder.
    let linear = shape("middle_block.1.proj_in.weight")?.len() == 2 || label.is_some() || text.get(1) == Some(&1024);
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
    use crate::model::Unet;

    #[test]
    fn published_configs_are_inferred_from_shapes() {
        type Name = fn(&crate::model::Module) -> String;
        let names: [Name; 4] = [
            |module| format!("model.diffusion_model.{}", module.ldm),
            |module| module.ldm.clone(),
            |module| module.path.clone(),
            |module| format!("unet.{}", module.path),
        ];
        for (id, name) in FamilyId::ALL.into_iter().flat_map(|id| names.map(|name| (id, name))) {
            let unet = Family::published(id).expect("a published config").unet;
            let tensors: Vec<(String, Vec<usize>)> = unet
                .modules()
                .iter()
                .map(|module| (format!("{}.weight", name(module)), module.weight_shape()))
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
