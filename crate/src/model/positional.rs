//! Positional keys of cloneofsimo/lora: its files of 2022 identify a layer by its index in a traversal of
//! PyTorch's modules, not by name.
//!
//! The traversal visits every module of the target classes (CrossAttention, Attention and GEGLU; with
//! extended targets also ResnetBlock2D) and in each the linear layers and, if extended, the
//! convolutions. diffusers registers down blocks, up blocks, mid block; within a block attentions before
//! resnets; within a transformer block, in 2022 the feed-forward before the cross-attention, later after.

use super::module::{Component, Kind, Module};
use crate::sorting;

/// Layers of a CLIP attention in registration order.
const CLIP_ATTENTION: [&str; 4] = ["k_proj", "v_proj", "q_proj", "out_proj"];

/// Returns all orders in which files may index the layers of this component.
pub fn orders<'a>(component: Component, modules: &[(Component, &'a Module)]) -> Vec<Vec<&'a Module>> {
    let layers: Vec<&Module> =
        modules.iter().filter(|(of, _)| *of == component).map(|&(_, module)| module).filter(is_layer).collect();
    match component {
        Component::Unet => [(false, false), (false, true), (true, false), (true, true)]
            .map(|(extended, ff_before_attn2)| sorted(&layers, |path| unet_position(path, extended, ff_before_attn2)))
            .into(),
        _ => vec![sorted(&layers, text_position)],
    }
}

fn is_layer(module: &&Module) -> bool {
    matches!(module.kind, Kind::Linear { .. } | Kind::Conv { .. })
}

/// Returns the modules that have a position, sorted by it; the sort is stable.
fn sorted<'a, P: Ord>(modules: &[&'a Module], position: impl Fn(&str) -> Option<P>) -> Vec<&'a Module> {
    let mut sorted: Vec<_> = modules.iter().filter_map(|module| Some((position(&module.path)?, *module))).collect();
    sorting::sort_by(&mut sorted, |(a, _), (b, _)| a.cmp(b));
    sorted.into_iter().map(|(_, module)| module).collect()
}

/// Returns the sort key of a UNet layer: stage, block, sublayer kind, sublayer index, transformer block and layer.
fn unet_position(
    path: &str,
    extended: bool,
    ff_before_attn2: bool,
) -> Option<(usize, usize, usize, usize, usize, usize)> {
    let (stage, rest) = if let Some(rest) = path.strip_prefix("down_blocks.") {
        (0, rest)
    } else if let Some(rest) = path.strip_prefix("up_blocks.") {
        (1, rest)
    } else {
        (2, path.strip_prefix("mid_block.")?)
    };
    let (block, rest) = if stage == 2 { (0, rest) } else { split_index(rest)? };
    if let Some(rest) = rest.strip_prefix("resnets.").filter(|_| extended) {
        let (index, layer) = split_index(rest)?;
        let layer = ["conv1", "time_emb_proj", "conv2", "conv_shortcut"].iter().position(|name| *name == layer)?;
        return Some((stage, block, 1, index, 0, layer));
    }
    let (index, rest) = split_index(rest.strip_prefix("attentions.")?)?;
    let (depth, layer) = split_index(rest.strip_prefix("transformer_blocks.")?)?;
    let layer = match layer.split('.').next()? {
        "attn1" => 0,
        "attn2" => 2,
        "ff" if layer == "ff.net.0.proj" => {
            if ff_before_attn2 {
                1
            } else {
                3
            }
        }
        _ => return None,
    };
    Some((stage, block, 0, index, depth, layer))
}

/// Returns the sort key of a CLIP layer: transformer layer and projection.
fn text_position(path: &str) -> Option<(usize, usize)> {
    let (layer, rest) = split_index(path.split_once("layers.")?.1)?;
    let name = rest.strip_prefix("self_attn.")?;
    Some((layer, CLIP_ATTENTION.iter().position(|known| *known == name)?))
}

/// Splits "12.rest" into 12 and "rest".
fn split_index(text: &str) -> Option<(usize, &str)> {
    let (index, rest) = text.split_once('.')?;
    Some((index.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, FamilyId};

    #[test]
    fn orders_match_published_files() {
        let family = Family::published(FamilyId::Sd15).expect("a published config");
        let unet = orders(Component::Unet, &family.modules());
        assert_eq!(unet.iter().map(Vec::len).collect::<Vec<_>>(), [144, 144, 224, 224]);
        let path = |order: usize, index: usize| unet[order][index].path.as_str();
        assert_eq!(path(0, 4), "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q");
        assert_eq!(path(1, 4), "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj");
        assert_eq!(path(0, 143), "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj");
        assert_eq!(path(2, 18), "down_blocks.0.resnets.0.conv1");
        let text = orders(Component::TextEncoder, &family.modules());
        assert_eq!((text[0].len(), &*text[0][5].path), (48, "text_model.encoder.layers.1.self_attn.v_proj"));
    }
}
