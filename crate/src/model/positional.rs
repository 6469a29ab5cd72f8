//! Turns a network into the orders in which cloneofsimo/lora counts its layers: its files of 2022
//! name a layer by its place in the walk through PyTorch's modules, not by name.
//!
//! The walk takes every module of the target classes (CrossAttention, Attention and GEGLU; with
//! extended targets ResnetBlock2D too) and in each the linear layers and, if extended, the
//! convolutions. diffusers registers down blocks, up blocks, middle; in a block attentions before
//! resnets; in a transformer block of 2022 the feed-forward before the cross-attention, later after.

use super::module::{Component, Kind, Module};

/// Layers of a CLIP attention in the order of registration.
const CLIP_ATTENTION: [&str; 4] = ["k_proj", "v_proj", "q_proj", "out_proj"];

/// Every order in which files may count the layers of this component.
pub fn orders<'a>(component: Component, modules: &[(Component, &'a Module)]) -> Vec<Vec<&'a Module>> {
    let own: Vec<&Module> =
        modules.iter().filter(|(of, _)| *of == component).map(|&(_, module)| module).filter(is_layer).collect();
    match component {
        Component::Unet => [(false, false), (false, true), (true, false), (true, true)]
            .map(|(extended, early)| sorted(&own, |path| unet_place(path, extended, early)))
            .into(),
        _ => vec![sorted(&own, text_place)],
    }
}

fn is_layer(module: &&Module) -> bool {
    matches!(module.kind, Kind::Linear { .. } | Kind::Conv { .. })
}

/// The modules that have a place, in the order of their places; equals stay in network order.
fn sorted<'a, P: Ord>(modules: &[&'a Module], place: impl Fn(&str) -> Option<P>) -> Vec<&'a Module> {
    let mut placed: Vec<_> = modules.iter().filter_map(|module| Some((place(&module.path)?, *module))).collect();
    placed.sort_by(|(a, _), (b, _)| a.cmp(b));
    placed.into_iter().map(|(_, module)| module).collect()
}

/// Stage, block, kind of sublayer, its number and the place in it.
fn unet_place(path: &str, extended: bool, early: bool) -> Option<(usize, usize, usize, usize, usize, usize)> {
    let (stage, rest) = if let Some(rest) = path.strip_prefix("down_blocks.") {
        (0, rest)
    } else if let Some(rest) = path.strip_prefix("up_blocks.") {
        (1, rest)
    } else {
        (2, path.strip_prefix("mid_block.")?)
    };
    let (block, rest) = if stage == 2 { (0, rest) } else { numbered(rest)? };
    if let Some(rest) = rest.strip_prefix("resnets.").filter(|_| extended) {
        let (number, layer) = numbered(rest)?;
        let place = ["conv1", "time_emb_proj", "conv2", "conv_shortcut"].iter().position(|name| *name == layer)?;
        return Some((stage, block, 1, number, 0, place));
    }
    let (number, rest) = numbered(rest.strip_prefix("attentions.")?)?;
    let (depth, layer) = numbered(rest.strip_prefix("transformer_blocks.")?)?;
    let place = match layer.split('.').next()? {
        "attn1" => 0,
        "attn2" => 2,
        "ff" if layer == "ff.net.0.proj" => {
            if early {
                1
            } else {
                3
            }
        }
        _ => return None,
    };
    Some((stage, block, 0, number, depth, place))
}

fn text_place(path: &str) -> Option<(usize, usize)> {
    let (layer, rest) = numbered(path.split_once("layers.")?.1)?;
    let name = rest.strip_prefix("self_attn.")?;
    Some((layer, CLIP_ATTENTION.iter().position(|known| *known == name)?))
}

/// "12.rest" to 12 and "rest".
fn numbered(text: &str) -> Option<(usize, &str)> {
    let (number, rest) = text.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, FamilyId};

    #[test]
    fn orders_have_the_published_lengths_and_places() {
        let family = Family::published(FamilyId::Sd15).expect("a published config");
        let unet = orders(Component::Unet, &family.modules());
        assert_eq!(unet.iter().map(Vec::len).collect::<Vec<_>>(), [144, 144, 224, 224]);
        let path = |order: usize, at: usize| unet[order][at].path.as_str();
        assert_eq!(path(0, 4), "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q");
        assert_eq!(path(1, 4), "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj");
        assert_eq!(path(0, 143), "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj");
        assert_eq!(path(2, 18), "down_blocks.0.resnets.0.conv1");
        let text = orders(Component::TextEncoder, &family.modules());
        assert_eq!((text[0].len(), &*text[0][5].path), (48, "text_model.encoder.layers.1.self_attn.v_proj"));
    }
}
