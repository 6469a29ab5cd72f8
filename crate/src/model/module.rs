//! Turns a layer of a network into a value: its names, its kind and its weight shape.

use crate::num::numel;
use std::fmt;

/// The part of a pipeline that a module belongs to; displays as diffusers' folder name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// The first (or only) CLIP text encoder.
    TextEncoder,
    /// The second text encoder: SDXL's OpenCLIP bigG, Flux's T5.
    TextEncoder2,
    /// SD 3's T5.
    TextEncoder3,
    /// The denoising network of Stable Diffusion 1.x, 2.x and XL.
    Unet,
    /// The denoising network of newer models.
    Transformer,
    /// Stable Cascade's stage C.
    Prior,
    /// A model that writes text.
    LanguageModel,
    /// The autoencoder between latents and pixels.
    Vae,
    /// A network of a model that is not known.
    Model,
}

impl Component {
    /// Every component, in the order of a pipeline.
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

    /// Whether it turns noise into latents.
    pub fn is_denoiser(self) -> bool {
        matches!(self, Component::Unet | Component::Transformer | Component::Prior | Component::Model)
    }

    /// diffusers' folder name, which is also the first part of a full module path.
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

/// What a layer computes and how large it is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum Kind {
    /// Weight (outputs, inputs).
    Linear { inputs: usize, outputs: usize },
    /// Weight (outputs, inputs, kernel, kernel).
    Conv { inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize },
    /// Weight (width).
    LayerNorm { width: usize, eps: f32 },
    /// Weight (channels).
    GroupNorm { channels: usize, groups: usize, eps: f32 },
    /// Weight (rows, width).
    Embedding { rows: usize, width: usize },
}

/// One named layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// diffusers' name inside its component, dotted: `down_blocks.0.resnets.0.conv1`.
    pub path: String,
    /// The name in single-file (LDM/CompVis) checkpoints, without that component's prefix:
    /// `input_blocks.1.0.in_layers.2`.
    pub ldm: String,
    /// Another diffusers or transformers spelling in files of other versions, where there is one:
    /// `mid_block.attentions.0.query` for `….to_q`, `encoder.layers.0…` for `text_model.encoder…`.
    pub alias: Option<String>,
    /// What it computes.
    pub kind: Kind,
    /// Whether it has a bias.
    pub bias: bool,
    /// Who has it as one layer.
    pub whose: Whose,
}

/// Who has a layer as one: some fuse what others split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whose {
    /// Everyone.
    #[default]
    Everyone,
    /// The model's authors; diffusers has its parts, or lacks it.
    Authors,
    /// A trainer alone.
    Trainer,
}

impl Module {
    /// A layer with a bias and no other spelling.
    pub fn new(path: impl Into<String>, ldm: impl Into<String>, kind: Kind) -> Module {
        Module { path: path.into(), ldm: ldm.into(), alias: None, kind, bias: true, whose: Whose::Everyone }
    }

    /// The same layer without a bias.
    pub fn without_bias(self) -> Module {
        Module { bias: false, ..self }
    }

    /// The same layer with one more spelling.
    pub fn or_spelled(self, alias: impl Into<String>) -> Module {
        Module { alias: Some(alias.into()), ..self }
    }

    /// Shape of the weight as PyTorch stores it.
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.kind {
            Kind::Linear { inputs, outputs } => vec![outputs, inputs],
            Kind::Conv { inputs, outputs, kernel, .. } => vec![outputs, inputs, kernel, kernel],
            Kind::LayerNorm { width, .. } => vec![width],
            Kind::GroupNorm { channels, .. } => vec![channels],
            Kind::Embedding { rows, width } => vec![rows, width],
        }
    }

    /// Length of the bias: the outputs of a layer, the width of a norm; 0 where there is none.
    pub fn bias_len(&self) -> usize {
        if self.bias { self.weight_shape()[0] } else { 0 }
    }

    /// Numbers in the weight and the bias.
    pub fn parameters(&self) -> u64 {
        numel(&self.weight_shape()) + self.bias_len() as u64
    }
}
