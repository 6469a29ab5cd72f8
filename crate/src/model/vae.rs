//! Layers of a VAE's decoder and encoder in execution order (diffusers' `AutoencoderKL`, LDM's
//! `autoencoder.Decoder` and `Encoder`).

use super::config::VaeConfig;
use super::module::{Kind, Module};
use super::unet::{Attention, Resnet};

/// Epsilon of every group norm in the VAE.
const NORM_EPS: f32 = 1e-6;

/// VAE between pixels and latents; the fields besides `encoder` and `config` are the decoder's.
#[derive(Debug, Clone)]
pub struct Vae {
    /// Encoder.
    pub encoder: Encoder,
    /// Config.
    pub config: VaeConfig,
    /// 1x1 convolution of the latents.
    pub post_quant_conv: Option<Module>,
    /// Convolution from the latent channels to the last level's.
    pub conv_in: Module,
    /// First resnet of the mid block.
    pub mid_in: Resnet,
    /// Group norm and single-head attention of the mid block.
    pub mid_attention: Option<(Module, Attention)>,
    /// Second resnet of the mid block.
    pub mid_out: Resnet,
    /// Up blocks, from the smallest level to the largest: resnets and an optional convolution after upsampling.
    pub up: Vec<(Vec<Resnet>, Option<Module>)>,
    /// Group norm before the output convolution.
    pub norm_out: Module,
    /// Convolution to RGB.
    pub conv_out: Module,
}

/// Encoder of a VAE.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Convolution from RGB to the first level's channels.
    pub conv_in: Module,
    /// Down blocks, from the largest level to the smallest: resnets and an optional strided convolution.
    pub down: Vec<(Vec<Resnet>, Option<Module>)>,
    /// First resnet of the mid block.
    pub mid_in: Resnet,
    /// Group norm and single-head attention of the mid block.
    pub mid_attention: Option<(Module, Attention)>,
    /// Second resnet of the mid block.
    pub mid_out: Resnet,
    /// Group norm before the output convolution.
    pub norm_out: Module,
    /// Convolution to mean and log-variance of each latent channel.
    pub conv_out: Module,
    /// 1x1 convolution of mean and log-variance.
    pub quant_conv: Option<Module>,
}

impl Encoder {
    fn new(config: &VaeConfig) -> Encoder {
        let channels = &config.block_out_channels;
        let (levels, groups) = (channels.len(), config.norm_num_groups);
        let (deep, moments) = (channels[levels - 1], 2 * config.latent_channels);
        let mut width = channels[0];
        let mut down = Vec::new();
        for level in 0..levels {
            let resnets = (0..config.layers_per_block)
                .map(|layer| {
                    let path = format!("encoder.down_blocks.{level}.resnets.{layer}");
                    let resnet =
                        resnet(path, &format!("encoder.down.{level}.block.{layer}"), width, channels[level], groups);
                    width = channels[level];
                    resnet
                })
                .collect();
            let downsampler = (level + 1 < levels).then(|| {
                let kind = Kind::Conv { inputs: width, outputs: width, kernel: 3, stride: 2, padding: 0 };
                let ldm = format!("encoder.down.{level}.downsample.conv");
                Module::new(format!("encoder.down_blocks.{level}.downsamplers.0.conv"), ldm, kind)
            });
            down.push((resnets, downsampler));
        }
        Encoder {
            conv_in: conv("encoder.conv_in".into(), "encoder.conv_in".into(), config.in_channels, channels[0], 3),
            down,
            mid_in: resnet("encoder.mid_block.resnets.0".into(), "encoder.mid.block_1", deep, deep, groups),
            mid_attention: config.mid_block_add_attention.then(|| attention("encoder", deep, groups)),
            mid_out: resnet("encoder.mid_block.resnets.1".into(), "encoder.mid.block_2", deep, deep, groups),
            norm_out: norm("encoder.conv_norm_out".into(), "encoder.norm_out".into(), deep, groups),
            conv_out: conv("encoder.conv_out".into(), "encoder.conv_out".into(), deep, moments, 3),
            quant_conv: config
                .use_quant_conv
                .then(|| conv("quant_conv".into(), "quant_conv".into(), moments, moments, 1)),
        }
    }

    /// Returns all layers in execution order.
    pub fn modules(&self) -> Vec<&Module> {
        let mut list = vec![&self.conv_in];
        for (resnets, downsampler) in &self.down {
            for resnet in resnets {
                resnet.push(&mut list);
            }
            list.extend(downsampler);
        }
        self.mid_in.push(&mut list);
        if let Some((norm, attention)) = &self.mid_attention {
            list.push(norm);
            attention.push(&mut list);
        }
        self.mid_out.push(&mut list);
        list.extend([&self.norm_out, &self.conv_out]);
        list.extend(&self.quant_conv);
        list
    }
}

fn conv(path: String, ldm: String, inputs: usize, outputs: usize, kernel: usize) -> Module {
    Module::new(path, ldm, Kind::Conv { inputs, outputs, kernel, stride: 1, padding: kernel / 2 })
}

impl Vae {
    /// Creates the layers of a validated config.
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
            encoder: Encoder::new(config),
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
            mid_attention: config.mid_block_add_attention.then(|| attention("decoder", deep, groups)),
            mid_out: resnet("decoder.mid_block.resnets.1".into(), "decoder.mid.block_2", deep, deep, groups),
            up,
            norm_out: norm("decoder.conv_norm_out".into(), "decoder.norm_out".into(), channels[0], groups),
            conv_out: conv("decoder.conv_out".into(), "decoder.conv_out".into(), channels[0], config.out_channels, 3),
            config: config.clone(),
        }
    }

    /// Returns all layers of the decoder in execution order.
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
    let paths = |name: &str| (format!("{path}.{name}"), format!("{ldm}.{name}"));
    let norm_at = |name: &str, channels| {
        let (path, ldm) = paths(name);
        norm(path, ldm, channels, groups)
    };
    let conv_at = |name: &str, inputs| {
        let (path, ldm) = paths(name);
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

/// Creates the mid block's group norm and attention. Old diffusers files name the projections `query`,
/// `key`, `value` and `proj_attn`; in LDM files they are 1x1 convolutions `q`, `k`, `v` and `proj_out`.
fn attention(half: &str, width: usize, groups: usize) -> (Module, Attention) {
    let path = format!("{half}.mid_block.attentions.0");
    let ldm_path = format!("{half}.mid.attn_1");
    let linear = |name: &str, alias: &str, ldm: &str| {
        let kind = Kind::Linear { inputs: width, outputs: width };
        Module::new(format!("{path}.{name}"), format!("{ldm_path}.{ldm}"), kind).or_spelled(format!("{path}.{alias}"))
    };
    let attention = Attention {
        heads: 1,
        to_q: linear("to_q", "query", "q"),
        to_k: linear("to_k", "key", "k"),
        to_v: linear("to_v", "value", "v"),
        to_out: linear("to_out.0", "proj_attn", "proj_out"),
        path: path.clone(),
    };
    (norm(format!("{path}.group_norm"), format!("{ldm_path}.norm"), width, groups), attention)
}
