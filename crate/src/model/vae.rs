//! Turns a VAE config into the decoder's layers in the order in which data flows
//! (diffusers' `AutoencoderKL`, LDM's `autoencoder.Decoder`).

use super::config::VaeConfig;
use super::module::{Kind, Module};
use super::unet::{Attention, Resnet};

/// Epsilon of every group norm in the VAE.
const NORM_EPS: f32 = 1e-6;

/// The decoding half of an autoencoder.
#[derive(Debug, Clone)]
pub struct Vae {
    /// Its sizes.
    pub config: VaeConfig,
    /// 1x1 over the latents.
    pub post_quant_conv: Option<Module>,
    /// Latent channels to the last level's.
    pub conv_in: Module,
    /// First resnet of the middle.
    pub mid_in: Resnet,
    /// The middle's group norm and single-head attention.
    pub mid_attention: Option<(Module, Attention)>,
    /// Second resnet of the middle.
    pub mid_out: Resnet,
    /// From the smallest level to the largest: resnets, then perhaps an upsampling convolution.
    pub up: Vec<(Vec<Resnet>, Option<Module>)>,
    /// Group norm before the last convolution.
    pub norm_out: Module,
    /// To colours.
    pub conv_out: Module,
}

fn conv(path: String, ldm: String, inputs: usize, outputs: usize, kernel: usize) -> Module {
    Module::new(path, ldm, Kind::Conv { inputs, outputs, kernel, stride: 1, padding: kernel / 2 })
}

impl Vae {
    /// Lists the decoder's layers of a checked config.
    pub fn new(config: &VaeConfig) -> Vae {
        let channels = &config.block_out_channels;
        let levels = channels.len();
        let deep = channels[levels - 1];
        let groups = config.norm_num_groups;

        let mut width = deep;
        let mut up = Vec::new();
        for block in 0..levels {
            let level = levels - 1 - block;
            let resnets = (0..=config.layers_per_block)
                .map(|layer| {
                    let path = format!("decoder.up_blocks.{block}.resnets.{layer}");
                    let resnet =
                        resnet(path, &format!("decoder.up.{level}.block.{layer}"), width, channels[level], groups);
                    width = channels[level];
                    resnet
                })
                .collect();
            let upsampler = (level > 0).then(|| {
                let path = format!("decoder.up_blocks.{block}.upsamplers.0.conv");
                conv(path, format!("decoder.up.{level}.upsample.conv"), width, width, 3)
            });
            up.push((resnets, upsampler));
        }

        Vae {
            post_quant_conv: config.use_post_quant_conv.then(|| {
                conv(
                    "post_quant_conv".into(),
                    "post_quant_conv".into(),
                    config.latent_channels,
                    config.latent_channels,
                    1,
                )
            }),
            conv_in: conv("decoder.conv_in".into(), "decoder.conv_in".into(), config.latent_channels, deep, 3),
            mid_in: resnet("decoder.mid_block.resnets.0".into(), "decoder.mid.block_1", deep, deep, groups),
            mid_attention: config.mid_block_add_attention.then(|| attention(deep, groups)),
            mid_out: resnet("decoder.mid_block.resnets.1".into(), "decoder.mid.block_2", deep, deep, groups),
            up,
            norm_out: norm("decoder.conv_norm_out".into(), "decoder.norm_out".into(), channels[0], groups),
            conv_out: conv("decoder.conv_out".into(), "decoder.conv_out".into(), channels[0], config.out_channels, 3),
            config: config.clone(),
        }
    }

    /// Every layer, in the order in which data flows.
    pub fn modules(&self) -> Vec<&Module> {
        let mut list: Vec<&Module> = self.post_quant_conv.iter().collect();
        list.push(&self.conv_in);
        self.mid_in.push(&mut list);
        if let Some((norm, attention)) = &self.mid_attention {
            list.push(norm);
            attention.push(&mut list);
        }
        self.mid_out.push(&mut list);
        for (resnets, upsampler) in &self.up {
            for resnet in resnets {
                resnet.push(&mut list);
            }
            list.extend(upsampler);
        }
        list.extend([&self.norm_out, &self.conv_out]);
        list
    }
}

fn norm(path: String, ldm: String, channels: usize, groups: usize) -> Module {
    Module::new(path, ldm, Kind::GroupNorm { channels, groups, eps: NORM_EPS })
}

fn resnet(path: String, ldm: &str, inputs: usize, outputs: usize, groups: usize) -> Resnet {
    let at = |name: &str| (format!("{path}.{name}"), format!("{ldm}.{name}"));
    let norm_at = |name: &str, channels| {
        let (path, ldm) = at(name);
        norm(path, ldm, channels, groups)
    };
    let conv_at = |name: &str, inputs| {
        let (path, ldm) = at(name);
        conv(path, ldm, inputs, outputs, 3)
    };
    Resnet {
        norm1: norm_at("norm1", inputs),
        conv1: conv_at("conv1", inputs),
        time_emb_proj: None,
        norm2: norm_at("norm2", outputs),
        conv2: conv_at("conv2", outputs),
        conv_shortcut: (inputs != outputs)
            .then(|| conv(format!("{path}.conv_shortcut"), format!("{ldm}.nin_shortcut"), inputs, outputs, 1)),
        path: path.clone(),
    }
}

/// Old diffusers files spell the projections `query`, `key`, `value` and `proj_attn`;
/// LDM files hold them as 1x1 convolutions `q`, `k`, `v` and `proj_out`.
fn attention(width: usize, groups: usize) -> (Module, Attention) {
    const PATH: &str = "decoder.mid_block.attentions.0";
    const LDM: &str = "decoder.mid.attn_1";
    let linear = |name: &str, old: &str, ldm: &str| {
        let kind = Kind::Linear { inputs: width, outputs: width };
        Module::new(format!("{PATH}.{name}"), format!("{LDM}.{ldm}"), kind).or_spelled(format!("{PATH}.{old}"))
    };
    let attention = Attention {
        path: PATH.into(),
        heads: 1,
        to_q: linear("to_q", "query", "q"),
        to_k: linear("to_k", "key", "k"),
        to_v: linear("to_v", "value", "v"),
        to_out: linear("to_out.0", "proj_attn", "proj_out"),
    };
    (norm(format!("{PATH}.group_norm"), format!("{LDM}.norm"), width, groups), attention)
}
