//! A network layer as data: names, kind and weight shape.

use crate::num::numel;
use std::fmt;

/// Pipeline component that a module belongs to; displays as diffusers' folder name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// First or only CLIP text encoder.
    TextEncoder,
    /// Second text encoder: SDXL's OpenCLIP bigG, Flux's T5.
    TextEncoder2,
    /// Third text encoder: SD 3's T5.
    TextEncoder3,
    /// Denoiser of Stable Diffusion 1.x, 2.x and XL.
    Unet,
    /// Denoiser of newer models (DiT).
    Transformer,
    /// Denoiser of Stable Cascade's stage C.
    Prior,
    /// Large language model.
    LanguageModel,
    /// VAE between pixels and latents.
    Vae,
    /// Network of an unknown model.
    Model,
}

impl Component {
    /// All components, in pipeline order.
    pub const ALL: [Component; 9] = [
        Component::TextEncoder,
        Component::TextEncoder2,
        Component::TextEncoder3,
        Component::Unet,
        Component::Transformer,
        Component::Prior,
        Component::LanguageModel,
        Component::Vae,
        Component::Model,
    ];

    /// Returns whether the component is a denoiser (or an unknown network).
    pub fn is_denoiser(self) -> bool {
        matches!(self, Component::Unet | Component::Transformer | Component::Prior | Component::Model)
    }

    /// Returns diffusers' folder name, which is also the first part of a full module path.
    pub fn name(self) -> &'static str {
        match self {
            Component::TextEncoder => "text_encoder",
            Component::TextEncoder2 => "text_encoder_2",
            Component::TextEncoder3 => "text_encoder_3",
            Component::Unet => "unet",
            Component::Transformer => "transformer",
            Component::Prior => "prior",
            Component::LanguageModel => "language_model",
            Component::Vae => "vae",
            Component::Model => "model",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Operation and sizes of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the variants' docs describe their fields")]
pub enum Kind {
    /// Linear layer with weight (outputs, inputs).
    Linear { inputs: usize, outputs: usize },
    /// 2D convolution with weight (outputs, inputs, kernel, kernel).
    Conv { inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize },
    /// Layer norm with weight (width).
    LayerNorm { width: usize, eps: f32 },
    /// Group norm with weight (channels).
    GroupNorm { channels: usize, groups: usize, eps: f32 },
    /// Embedding table with weight (rows, width).
    Embedding { rows: usize, width: usize },
}

/// A named layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// diffusers' dotted name within the component: `down_blocks.0.resnets.0.conv1`.
    pub path: String,
    /// Name in single-file (LDM/CompVis) checkpoints, without the component's prefix:
    /// `input_blocks.1.0.in_layers.2`.
    pub ldm: String,
    /// Alternative diffusers or transformers name, used in files of other versions:
    /// `mid_block.attentions.0.query` for `….to_q`, `encoder.layers.0…` for `text_model.encoder…`.
    pub alias: Option<String>,
    /// Operation and sizes.
    pub kind: Kind,
    /// Whether the layer has a bias.
    pub bias: bool,
    /// Implementations that have it as one layer.
    pub granularity: Granularity,
}

/// Implementations that have a layer as one: some fuse layers that others split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Granularity {
    /// All implementations.
    #[default]
    Common,
    /// Only the authors' implementation; diffusers splits it or lacks it.
    Authors,
    /// Only a trainer.
    Trainer,
}

impl Module {
    /// Creates a layer with a bias and without alias.
    pub fn new(path: impl Into<String>, ldm: impl Into<String>, kind: Kind) -> Module {
        Module { path: path.into(), ldm: ldm.into(), alias: None, kind, bias: true, granularity: Granularity::Common }
    }

    /// Removes the bias.
    pub fn without_bias(self) -> Module {
        Module { bias: false, ..self }
    }

    /// Sets the alias.
    pub fn or_spelled(self, alias: impl Into<String>) -> Module {
        Module { alias: Some(alias.into()), ..self }
    }

    /// Returns the weight's shape in PyTorch's layout.
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.kind {
            Kind::Linear { inputs, outputs } => vec![outputs, inputs],
            Kind::Conv { inputs, outputs, kernel, .. } => vec![outputs, inputs, kernel, kernel],
            Kind::LayerNorm { width, .. } => vec![width],
            Kind::GroupNorm { channels, .. } => vec![channels],
            Kind::Embedding { rows, width } => vec![rows, width],
        }
    }

    /// Returns the bias's length: the outputs of a layer, the width of a norm; 0 without bias.
    pub fn bias_len(&self) -> usize {
        if self.bias { self.weight_shape()[0] } else { 0 }
    }

    /// Returns the number of parameters in weight and bias.
    pub fn parameters(&self) -> u64 {
        numel(&self.weight_shape()) + self.bias_len() as u64
    }
}
