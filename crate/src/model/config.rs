//! Parsing and validation of diffusers' and transformers' config.json.
//!
//! Field names are those of the libraries, so published files are read as they are. An unsupported value
//! of a field that changes the computation is an error that names the field.

use super::json;
use serde::Deserialize;
use serde_json::Value;

/// Error of an unusable config.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the variants' messages describe their fields")]
pub enum ConfigError {
    /// Not JSON, or not of the expected structure.
    #[error("{what} config: {reason}; the file may be damaged or for another kind of model")]
    Unreadable { what: &'static str, reason: String },
    /// A field selects a computation that is not implemented.
    #[error("{what} config: `{field}` is {found}, which is not supported (supported: {supported})")]
    Unsupported { what: &'static str, field: &'static str, found: String, supported: &'static str },
    /// Contradictory sizes.
    #[error("{what} config: {reason}")]
    Inconsistent { what: &'static str, reason: String },
}

/// One value for all levels, or one per level.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PerLevel {
    /// The same value for all levels.
    One(usize),
    /// One value per level, largest feature map first.
    Each(Vec<usize>),
}

impl PerLevel {
    /// Returns the value at `level`; missing levels use the last value.
    pub fn at(&self, level: usize) -> usize {
        match self {
            PerLevel::One(n) => *n,
            PerLevel::Each(list) => list.get(level).or(list.last()).copied().unwrap_or(1),
        }
    }
}

/// `UNet2DConditionModel`'s config.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UnetConfig {
    /// Native latent height and width.
    #[serde(default = "default_sample_size")]
    pub sample_size: usize,
    /// Input latent channels (4; 9 for inpainting models).
    pub in_channels: usize,
    /// Output latent channels.
    pub out_channels: usize,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// `CrossAttnDownBlock2D` or `DownBlock2D`, per level.
    pub down_block_types: Vec<String>,
    /// `CrossAttnUpBlock2D` or `UpBlock2D`, from the deepest level up.
    pub up_block_types: Vec<String>,
    /// Resnets per down block; up blocks have one more.
    pub layers_per_block: usize,
    /// Width of the text encoder's hidden states.
    pub cross_attention_dim: usize,
    /// Width of the guidance embedding, if the UNet is conditioned on the CFG scale (latent consistency models).
    #[serde(default)]
    pub time_cond_proj_dim: Option<usize>,
    /// Number of attention HEADS, not their size: diffusers kept the misnomer of the first SD configs
    /// (huggingface/diffusers issue 2011). `num_attention_heads` overrides it.
    pub attention_head_dim: PerLevel,
    /// Number of heads, in configs that use the correct name.
    #[serde(default)]
    pub num_attention_heads: Option<PerLevel>,
    /// Transformer blocks per spatial transformer.
    #[serde(default = "one")]
    pub transformer_layers_per_block: PerLevel,
    /// Whether `proj_in` and `proj_out` are linear (SD 2.x, SDXL) and not 1x1 convolutions (SD 1.x).
    #[serde(default)]
    pub use_linear_projection: bool,
    /// Groups of every group norm.
    #[serde(default = "default_groups")]
    pub norm_num_groups: usize,
    /// Epsilon of the resnets' group norms.
    #[serde(default = "default_eps")]
    pub norm_eps: f32,
    /// `text_time` for SDXL.
    #[serde(default)]
    pub addition_embed_type: Option<String>,
    /// Width of the sinusoidal embedding of each of SDXL's time ids.
    #[serde(default)]
    pub addition_time_embed_dim: Option<usize>,
    /// Width of the pooled text embedding and the embedded time ids together.
    #[serde(default)]
    pub projection_class_embeddings_input_dim: Option<usize>,
}

fn default_sample_size() -> usize {
    64
}
fn default_groups() -> usize {
    32
}
fn default_eps() -> f32 {
    1e-5
}
fn one() -> PerLevel {
    PerLevel::One(1)
}

impl UnetConfig {
    /// Reads and checks `unet/config.json`.
    pub fn parse(text: &str) -> Result<UnetConfig, ConfigError> {
        const WHAT: &str = "UNet";
        let json = parse_object(WHAT, text)?;
        expect_one_of(WHAT, &json, "act_fn", &["silu", "swish"])?;
        expect_one_of(WHAT, &json, "mid_block_type", &["UNetMidBlock2DCrossAttn"])?;
        expect_one_of(WHAT, &json, "resnet_time_scale_shift", &["default"])?;
        expect_one_of(WHAT, &json, "time_embedding_type", &["positional"])?;
        expect_one_of(WHAT, &json, "attention_type", &["default"])?;
        expect_one_of(WHAT, &json, "addition_embed_type", &["text_time"])?;
        for field in [
            "center_input_sample",
            "dual_cross_attention",
            "only_cross_attention",
            "mid_block_only_cross_attention",
            "class_embeddings_concat",
            "resnet_skip_time_act",
        ] {
            expect_unset(WHAT, &json, field)?;
        }
        for field in [
            "class_embed_type",
            "num_class_embeds",
            "encoder_hid_dim",
            "encoder_hid_dim_type",
            "time_embedding_dim",
            "time_embedding_act_fn",
            "timestep_post_act",
            "cross_attention_norm",
            "reverse_transformer_layers_per_block",
        ] {
            expect_unset(WHAT, &json, field)?;
        }
        expect_default(WHAT, &json, "freq_shift", 0.0)?;
        expect_default(WHAT, &json, "downsample_padding", 1.0)?;
        expect_default(WHAT, &json, "mid_block_scale_factor", 1.0)?;
        expect_default(WHAT, &json, "resnet_out_scale_factor", 1.0)?;
        expect_default(WHAT, &json, "conv_in_kernel", 3.0)?;
        expect_default(WHAT, &json, "conv_out_kernel", 3.0)?;
        if json.get("flip_sin_to_cos") == Some(&Value::Bool(false)) {
            return Err(unsupported(WHAT, "flip_sin_to_cos", "false", "true"));
        }
        let config: UnetConfig = deserialize(WHAT, json)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let levels = self.block_out_channels.len();
        let bad = |reason: String| Err(ConfigError::Inconsistent { what: "UNet", reason });
        if levels == 0 || self.down_block_types.len() != levels || self.up_block_types.len() != levels {
            return bad(format!(
                "{levels} entries in block_out_channels, {} in down_block_types, {} in up_block_types; all three must be equal and not 0",
                self.down_block_types.len(),
                self.up_block_types.len()
            ));
        }
        for name in &self.down_block_types {
            if !matches!(name.as_str(), "CrossAttnDownBlock2D" | "DownBlock2D") {
                return Err(unsupported("UNet", "down_block_types", name, "CrossAttnDownBlock2D, DownBlock2D"));
            }
        }
        for name in &self.up_block_types {
            if !matches!(name.as_str(), "CrossAttnUpBlock2D" | "UpBlock2D") {
                return Err(unsupported("UNet", "up_block_types", name, "CrossAttnUpBlock2D, UpBlock2D"));
            }
        }
        for (level, &channels) in self.block_out_channels.iter().enumerate() {
            let (groups, heads) = (self.norm_num_groups, self.heads(level));
            if groups == 0 || channels % groups != 0 {
                return bad(format!("{channels} channels are not divisible by norm_num_groups = {groups}"));
            }
            if heads == 0 || channels % heads != 0 {
                return bad(format!("{channels} channels are not divisible by {heads} attention heads"));
            }
        }
        if self.addition_embed_type.is_some()
            && (self.addition_time_embed_dim.is_none() || self.projection_class_embeddings_input_dim.is_none())
        {
            return bad(
                "addition_embed_type text_time needs addition_time_embed_dim and projection_class_embeddings_input_dim"
                    .into(),
            );
        }
        Ok(())
    }

    /// Returns the number of attention heads at `level` (0 = largest feature map).
    pub fn heads(&self, level: usize) -> usize {
        self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim).at(level)
    }

    /// Returns the width of the time embedding: four times the first level's channels.
    pub fn time_width(&self) -> usize {
        self.block_out_channels[0] * 4
    }
}

/// `CLIPTextModel`'s config.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClipConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Inner width of the MLP.
    pub intermediate_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Maximum number of tokens (77).
    #[serde(default = "default_positions")]
    pub max_position_embeddings: usize,
    /// `quick_gelu` or `gelu`.
    #[serde(default = "default_act")]
    pub hidden_act: String,
    /// Epsilon of the layer norms.
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f32,
    /// Width of the projected pooled state (`CLIPTextModelWithProjection` only).
    #[serde(default)]
    pub projection_dim: usize,
    /// `CLIPTextModel` or `CLIPTextModelWithProjection`.
    #[serde(default)]
    pub architectures: Vec<String>,
}

fn default_positions() -> usize {
    77
}
fn default_act() -> String {
    "quick_gelu".into()
}

impl ClipConfig {
    /// Reads and checks `text_encoder/config.json`.
    pub fn parse(text: &str) -> Result<ClipConfig, ConfigError> {
        const WHAT: &str = "text encoder";
        let json = parse_object(WHAT, text)?;
        expect_one_of(WHAT, &json, "hidden_act", &["quick_gelu", "gelu"])?;
        let config: ClipConfig = deserialize(WHAT, json)?;
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if heads == 0 || width % heads != 0 {
            return Err(ConfigError::Inconsistent {
                what: WHAT,
                reason: format!("hidden_size {width} is not divisible by {heads} attention heads"),
            });
        }
        Ok(config)
    }

    /// Returns whether the model has a `text_projection`.
    pub fn projects(&self) -> bool {
        self.architectures.iter().any(|name| name == "CLIPTextModelWithProjection")
    }
}

/// `AutoencoderKL`'s config.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VaeConfig {
    /// Input color channels.
    #[serde(default = "three")]
    pub in_channels: usize,
    /// Output color channels.
    #[serde(default = "three")]
    pub out_channels: usize,
    /// Latent channels.
    pub latent_channels: usize,
    /// Channels of each level, from the image to the latents.
    pub block_out_channels: Vec<usize>,
    /// Resnets per encoder block; decoder blocks have one more.
    pub layers_per_block: usize,
    /// Groups of every group norm.
    #[serde(default = "default_groups")]
    pub norm_num_groups: usize,
    /// Latent scale: latents = encoded * scaling_factor.
    #[serde(default = "default_scaling")]
    pub scaling_factor: f32,
    /// Whether a 1x1 convolution follows the encoder.
    #[serde(default = "yes")]
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    #[serde(default = "yes")]
    pub use_post_quant_conv: bool,
    /// Whether the mid block has self-attention.
    #[serde(default = "yes")]
    pub mid_block_add_attention: bool,
}

fn three() -> usize {
    3
}
fn default_scaling() -> f32 {
    0.18215
}
fn yes() -> bool {
    true
}

impl VaeConfig {
    /// Reads and checks `vae/config.json`.
    pub fn parse(text: &str) -> Result<VaeConfig, ConfigError> {
        const WHAT: &str = "VAE";
        let json = parse_object(WHAT, text)?;
        expect_one_of(WHAT, &json, "act_fn", &["silu", "swish"])?;
        for field in ["latents_mean", "latents_std", "shift_factor"] {
            expect_unset(WHAT, &json, field)?;
        }
        for (field, kind) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
            for entry in json.get(field).and_then(Value::as_array).into_iter().flatten() {
                if entry.as_str() != Some(kind) {
                    return Err(ConfigError::Unsupported {
                        what: WHAT,
                        field,
                        found: entry.to_string(),
                        supported: kind,
                    });
                }
            }
        }
        let config: VaeConfig = deserialize(WHAT, json)?;
        let groups = config.norm_num_groups;
        if config.block_out_channels.is_empty() || groups == 0 {
            return Err(ConfigError::Inconsistent {
                what: WHAT,
                reason: "block_out_channels is empty or norm_num_groups is 0".into(),
            });
        }
        if let Some(channels) = config.block_out_channels.iter().find(|&&channels| channels % groups != 0) {
            return Err(ConfigError::Inconsistent {
                what: WHAT,
                reason: format!("{channels} channels are not divisible by norm_num_groups = {groups}"),
            });
        }
        Ok(config)
    }

    /// Returns the downsampling factor from pixels to latents: 2 per level after the first.
    pub fn scale(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }
}

type Object = serde_json::Map<String, Value>;

fn parse_object(what: &'static str, text: &str) -> Result<Object, ConfigError> {
    json::parse_object(text).map_err(|reason| ConfigError::Unreadable { what, reason })
}

fn deserialize<T: serde::de::DeserializeOwned>(what: &'static str, json: Object) -> Result<T, ConfigError> {
    json::read(Value::Object(json)).map_err(|reason| ConfigError::Unreadable { what, reason })
}

fn unsupported(what: &'static str, field: &'static str, found: &str, supported: &'static str) -> ConfigError {
    ConfigError::Unsupported { what, field, found: found.into(), supported }
}

/// Returns an error unless the field is absent, null or one of `allowed`.
fn expect_one_of(
    what: &'static str,
    json: &Object,
    field: &'static str,
    allowed: &[&'static str],
) -> Result<(), ConfigError> {
    match json.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(name)) if allowed.contains(&name.as_str()) => Ok(()),
        Some(other) => Err(ConfigError::Unsupported { what, field, found: other.to_string(), supported: allowed[0] }),
    }
}

/// Returns an error unless the field is absent, null or false.
fn expect_unset(what: &'static str, json: &Object, field: &'static str) -> Result<(), ConfigError> {
    match json.get(field) {
        None | Some(Value::Null | Value::Bool(false)) => Ok(()),
        Some(other) => Err(ConfigError::Unsupported { what, field, found: other.to_string(), supported: "null" }),
    }
}

/// Returns an error unless the field is absent, null or `default`.
fn expect_default(what: &'static str, json: &Object, field: &'static str, default: f64) -> Result<(), ConfigError> {
    match json.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(value) if value.as_f64() == Some(default) => Ok(()),
        Some(other) => {
            Err(ConfigError::Unsupported { what, field, found: other.to_string(), supported: "the default" })
        }
    }
}
