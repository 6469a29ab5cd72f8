//! Layers of a UNet in execution order (diffusers' `UNet2DConditionModel`, LDM's `openaimodel.UNetModel`).

use super::config::UnetConfig;
use super::module::{Kind, Module};

/// Epsilon of the group norm at the start of a spatial transformer; the resnets use 1e-5.
const TRANSFORMER_NORM_EPS: f32 = 1e-6;
/// Epsilon of the transformer blocks' layer norms (PyTorch's default).
const LAYER_NORM_EPS: f32 = 1e-5;

/// UNet.
#[derive(Debug, Clone)]
pub struct Unet {
    /// Config.
    pub config: UnetConfig,
    /// Convolution from in_channels to the first level's channels.
    pub conv_in: Module,
    /// MLP from the sinusoidal timestep embedding to the time embedding.
    pub time_embedding: [Module; 2],
    /// Projection of the guidance embedding to the timestep embedding's width (latent consistency models).
    pub guidance: Option<Module>,
    /// SDXL's MLP for pooled text and time ids.
    pub add_embedding: Option<[Module; 2]>,
    /// Down blocks, from the largest level to the smallest.
    pub down: Vec<DownBlock>,
    /// Mid block: resnet, transformer, resnet at the smallest level.
    pub mid: MidBlock,
    /// Up blocks, from the smallest level to the largest.
    pub up: Vec<UpBlock>,
    /// Group norm before the output convolution.
    pub norm_out: Module,
    /// Convolution from the first level's channels to out_channels.
    pub conv_out: Module,
}

/// Down block: (resnet, optional transformer) layers, then an optional stride-2 convolution.
#[derive(Debug, Clone)]
pub struct DownBlock {
    /// Resnets, each followed by a transformer if the level has attention.
    pub layers: Vec<(Resnet, Option<Transformer>)>,
    /// Halves height and width; None at the last level.
    pub downsampler: Option<Module>,
}

/// Mid block, at the smallest level.
#[derive(Debug, Clone)]
pub struct MidBlock {
    /// Resnet before the transformer.
    pub resnet_in: Resnet,
    /// Spatial transformer.
    pub transformer: Transformer,
    /// Resnet after the transformer.
    pub resnet_out: Resnet,
}

/// Up block; each resnet also reads a skip connection.
#[derive(Debug, Clone)]
pub struct UpBlock {
    /// Resnets, each followed by a transformer if the level has attention.
    pub layers: Vec<(Resnet, Option<Transformer>)>,
    /// Convolution after upsampling to the next skip connection's size (about twice); None at the last level.
    pub upsampler: Option<Module>,
}

/// Resnet block: norm, SiLU, conv, + time, norm, SiLU, conv, + shortcut.
#[derive(Debug, Clone)]
pub struct Resnet {
    /// diffusers' path of the block.
    pub path: String,
    /// Group norm of the input.
    pub norm1: Module,
    /// 3x3 convolution.
    pub conv1: Module,
    /// Projection of the time embedding to the channels; None in the VAE.
    pub time_emb_proj: Option<Module>,
    /// Group norm between the convolutions.
    pub norm2: Module,
    /// 3x3 convolution.
    pub conv2: Module,
    /// 1x1 convolution, if the channel count changes.
    pub conv_shortcut: Option<Module>,
}

/// Spatial transformer: group norm, input projection, blocks, output projection, + input.
#[derive(Debug, Clone)]
pub struct Transformer {
    /// diffusers' path of the block.
    pub path: String,
    /// Group norm with epsilon 1e-6.
    pub norm: Module,
    /// Input projection, 1x1 convolution or linear.
    pub proj_in: Module,
    /// Transformer blocks.
    pub blocks: Vec<TransformerBlock>,
    /// Output projection, 1x1 convolution or linear.
    pub proj_out: Module,
}

/// Transformer block: self-attention, cross-attention and GEGLU feed-forward, each after a layer norm.
#[derive(Debug, Clone)]
pub struct TransformerBlock {
    /// diffusers' path of the block.
    pub path: String,
    /// Layer norm before self-attention.
    pub norm1: Module,
    /// Self-attention.
    pub attn1: Attention,
    /// Layer norm before cross-attention.
    pub norm2: Module,
    /// Cross-attention to the text states.
    pub attn2: Attention,
    /// Layer norm before the feed-forward.
    pub norm3: Module,
    /// `ff.net.0.proj`, to 8 times the width; GEGLU halves it.
    pub ff_in: Module,
    /// `ff.net.2`, back to the width.
    pub ff_out: Module,
}

/// Multi-head attention with its four projections.
#[derive(Debug, Clone)]
pub struct Attention {
    /// diffusers' path of the layer.
    pub path: String,
    /// Number of heads.
    pub heads: usize,
    /// Query projection.
    pub to_q: Module,
    /// Key projection.
    pub to_k: Module,
    /// Value projection.
    pub to_v: Module,
    /// Output projection (`to_out.0`).
    pub to_out: Module,
}

fn linear(path: String, ldm: String, inputs: usize, outputs: usize) -> Module {
    Module::new(path, ldm, Kind::Linear { inputs, outputs })
}

fn conv(path: String, ldm: String, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Module {
    Module::new(path, ldm, Kind::Conv { inputs, outputs, kernel, stride, padding: kernel / 2 })
}

impl Unet {
    /// Creates the layers of a validated config.
    pub fn new(config: &UnetConfig) -> Unet {
        let channels = &config.block_out_channels;
        let time = config.time_width();
        let (down, skips) = down_blocks(config);
        Unet {
            conv_in: conv("conv_in".into(), "input_blocks.0.0".into(), config.in_channels, channels[0], 3, 1),
            time_embedding: [
                linear("time_embedding.linear_1".into(), "time_embed.0".into(), channels[0], time),
                linear("time_embedding.linear_2".into(), "time_embed.2".into(), time, time),
            ],
            guidance: config.time_cond_proj_dim.map(|width| {
                let path = "time_embedding.cond_proj";
                linear(path.into(), path.into(), width, channels[0]).without_bias()
            }),
            add_embedding: config
                .projection_class_embeddings_input_dim
                .filter(|_| config.addition_embed_type.is_some())
                .map(|inputs| {
                    [
                        linear("add_embedding.linear_1".into(), "label_emb.0.0".into(), inputs, time),
                        linear("add_embedding.linear_2".into(), "label_emb.0.2".into(), time, time),
                    ]
                }),
            down,
            mid: MidBlock::new(config),
            up: up_blocks(config, skips),
            norm_out: Module::new("conv_norm_out", "out.0", group_norm(config, channels[0])),
            conv_out: conv("conv_out".into(), "out.2".into(), channels[0], config.out_channels, 3, 1),
            config: config.clone(),
        }
    }

    /// Returns all layers in execution order.
    pub fn modules(&self) -> Vec<&Module> {
        let mut list: Vec<&Module> = self.time_embedding.iter().collect();
        list.extend(&self.guidance);
        list.extend(self.add_embedding.iter().flatten());
        list.push(&self.conv_in);
        for block in &self.down {
            push_layers(&block.layers, &mut list);
            list.extend(&block.downsampler);
        }
        self.mid.resnet_in.push(&mut list);
        self.mid.transformer.push(&mut list);
        self.mid.resnet_out.push(&mut list);
        for block in &self.up {
            push_layers(&block.layers, &mut list);
            list.extend(&block.upsampler);
        }
        list.extend([&self.norm_out, &self.conv_out]);
        list
    }
}

/// Returns a group norm with the config's groups and epsilon.
fn group_norm(config: &UnetConfig, channels: usize) -> Kind {
    Kind::GroupNorm { channels, groups: config.norm_num_groups, eps: config.norm_eps }
}

/// Creates the down blocks, and returns with them the channels of the skip connections in execution order: the outputs
/// of `conv_in`, of every layer and of every downsampler.
fn down_blocks(config: &UnetConfig) -> (Vec<DownBlock>, Vec<usize>) {
    let channels = &config.block_out_channels;
    let mut width = channels[0];
    let mut skips = vec![width];
    let mut blocks = Vec::new();
    for (level, &outputs) in channels.iter().enumerate() {
        let path = format!("down_blocks.{level}");
        let attends = config.down_block_types[level].starts_with("CrossAttn");
        let mut layers = Vec::new();
        for layer in 0..config.layers_per_block {
            // In LDM every skip connection is the output of an input block.
            let ldm = format!("input_blocks.{}", skips.len());
            let resnet = Resnet::unet(config, &format!("{path}.resnets.{layer}"), &format!("{ldm}.0"), width, outputs);
            let transformer = attends
                .then(|| Transformer::new(config, &format!("{path}.attentions.{layer}"), &format!("{ldm}.1"), level));
            layers.push((resnet, transformer));
            width = outputs;
            skips.push(width);
        }
        let downsampler = (level + 1 < channels.len()).then(|| {
            let ldm = format!("input_blocks.{}.0.op", skips.len());
            skips.push(width);
            conv(format!("{path}.downsamplers.0.conv"), ldm, width, width, 3, 2)
        });
        blocks.push(DownBlock { layers, downsampler });
    }
    (blocks, skips)
}

/// Creates the up blocks, whose layers read the skip connections in reverse order.
fn up_blocks(config: &UnetConfig, mut skips: Vec<usize>) -> Vec<UpBlock> {
    let channels = &config.block_out_channels;
    let per_block = config.layers_per_block + 1;
    let mut width = channels[channels.len() - 1];
    let mut blocks = Vec::new();
    for (block, (level, &outputs)) in channels.iter().enumerate().rev().enumerate() {
        let path = format!("up_blocks.{block}");
        let attends = config.up_block_types[block].starts_with("CrossAttn");
        let mut layers = Vec::new();
        for layer in 0..per_block {
            let ldm = format!("output_blocks.{}", block * per_block + layer);
            let inputs = width + skips.pop().unwrap_or(0);
            let resnet = Resnet::unet(config, &format!("{path}.resnets.{layer}"), &format!("{ldm}.0"), inputs, outputs);
            let transformer = attends
                .then(|| Transformer::new(config, &format!("{path}.attentions.{layer}"), &format!("{ldm}.1"), level));
            layers.push((resnet, transformer));
            width = outputs;
        }
        let upsampler = (level > 0).then(|| {
            // In LDM the upsampler is the last part of the block's last layer, after resnet and transformer.
            let (last, part) = (block * per_block + per_block - 1, if attends { 2 } else { 1 });
            let ldm = format!("output_blocks.{last}.{part}.conv");
            conv(format!("{path}.upsamplers.0.conv"), ldm, width, width, 3, 1)
        });
        blocks.push(UpBlock { layers, upsampler });
    }
    blocks
}

impl MidBlock {
    fn new(config: &UnetConfig) -> MidBlock {
        let level = config.block_out_channels.len() - 1;
        let width = config.block_out_channels[level];
        MidBlock {
            resnet_in: Resnet::unet(config, "mid_block.resnets.0", "middle_block.0", width, width),
            transformer: Transformer::new(config, "mid_block.attentions.0", "middle_block.1", level),
            resnet_out: Resnet::unet(config, "mid_block.resnets.1", "middle_block.2", width, width),
        }
    }
}

fn push_layers<'a>(layers: &'a [(Resnet, Option<Transformer>)], list: &mut Vec<&'a Module>) {
    for (resnet, transformer) in layers {
        resnet.push(list);
        if let Some(transformer) = transformer {
            transformer.push(list);
        }
    }
}

impl Resnet {
    fn unet(config: &UnetConfig, path: &str, ldm: &str, inputs: usize, outputs: usize) -> Resnet {
        let norm = |name: &str, ldm_name: &str, channels| {
            Module::new(format!("{path}.{name}"), format!("{ldm}.{ldm_name}"), group_norm(config, channels))
        };
        let path_of = |name: &str| format!("{path}.{name}");
        let ldm_of = |name: &str| format!("{ldm}.{name}");
        Resnet {
            path: path.into(),
            norm1: norm("norm1", "in_layers.0", inputs),
            conv1: conv(path_of("conv1"), ldm_of("in_layers.2"), inputs, outputs, 3, 1),
            time_emb_proj: Some(linear(path_of("time_emb_proj"), ldm_of("emb_layers.1"), config.time_width(), outputs)),
            norm2: norm("norm2", "out_layers.0", outputs),
            conv2: conv(path_of("conv2"), ldm_of("out_layers.3"), outputs, outputs, 3, 1),
            conv_shortcut: (inputs != outputs)
                .then(|| conv(path_of("conv_shortcut"), ldm_of("skip_connection"), inputs, outputs, 1, 1)),
        }
    }

    /// Appends the layers in execution order.
    pub(super) fn push<'a>(&'a self, list: &mut Vec<&'a Module>) {
        list.extend([&self.norm1, &self.conv1]);
        list.extend(&self.time_emb_proj);
        list.extend([&self.norm2, &self.conv2]);
        list.extend(&self.conv_shortcut);
    }
}

impl Transformer {
    fn new(config: &UnetConfig, path: &str, ldm: &str, level: usize) -> Transformer {
        let width = config.block_out_channels[level];
        let project = |name: &str| {
            let (path, ldm) = (format!("{path}.{name}"), format!("{ldm}.{name}"));
            match config.use_linear_projection {
                true => linear(path, ldm, width, width),
                false => conv(path, ldm, width, width, 1, 1),
            }
        };
        let norm = Kind::GroupNorm { channels: width, groups: config.norm_num_groups, eps: TRANSFORMER_NORM_EPS };
        Transformer {
            norm: Module::new(format!("{path}.norm"), format!("{ldm}.norm"), norm),
            proj_in: project("proj_in"),
            blocks: (0..config.transformer_layers_per_block.at(level))
                .map(|i| {
                    let (path, ldm) =
                        (format!("{path}.transformer_blocks.{i}"), format!("{ldm}.transformer_blocks.{i}"));
                    TransformerBlock::new(path, &ldm, width, config.cross_attention_dim, config.heads(level))
                })
                .collect(),
            proj_out: project("proj_out"),
            path: path.into(),
        }
    }

    fn push<'a>(&'a self, list: &mut Vec<&'a Module>) {
        list.extend([&self.norm, &self.proj_in]);
        for block in &self.blocks {
            list.push(&block.norm1);
            block.attn1.push(list);
            list.push(&block.norm2);
            block.attn2.push(list);
            list.extend([&block.norm3, &block.ff_in, &block.ff_out]);
        }
        list.push(&self.proj_out);
    }
}

impl TransformerBlock {
    fn new(path: String, ldm: &str, width: usize, text_width: usize, heads: usize) -> TransformerBlock {
        let norm = |name: &str| {
            Module::new(
                format!("{path}.{name}"),
                format!("{ldm}.{name}"),
                Kind::LayerNorm { width, eps: LAYER_NORM_EPS },
            )
        };
        let attention = |name: &str, kv_width: usize| {
            let paths = |layer: &str| (format!("{path}.{name}.{layer}"), format!("{ldm}.{name}.{layer}"));
            let project = |layer: &str, inputs: usize| {
                let (path, ldm) = paths(layer);
                linear(path, ldm, inputs, width)
            };
            Attention {
                path: format!("{path}.{name}"),
                heads,
                to_q: project("to_q", width).without_bias(),
                to_k: project("to_k", kv_width).without_bias(),
                to_v: project("to_v", kv_width).without_bias(),
                to_out: project("to_out.0", width),
            }
        };
        TransformerBlock {
            norm1: norm("norm1"),
            attn1: attention("attn1", width),
            norm2: norm("norm2"),
            attn2: attention("attn2", text_width),
            norm3: norm("norm3"),
            ff_in: linear(format!("{path}.ff.net.0.proj"), format!("{ldm}.ff.net.0.proj"), width, width * 8),
            ff_out: linear(format!("{path}.ff.net.2"), format!("{ldm}.ff.net.2"), width * 4, width),
            path,
        }
    }
}

impl Attention {
    /// Appends the layers in execution order.
    pub(super) fn push<'a>(&'a self, list: &mut Vec<&'a Module>) {
        list.extend([&self.to_q, &self.to_k, &self.to_v, &self.to_out]);
    }
}
