//! Model families with published configs.

use super::module::{Component, Module};
use super::{Clip, ClipConfig, ConfigError, Unet, UnetConfig, Vae, VaeConfig};
use std::fmt;

/// A family of base models with the same layer names and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FamilyId {
    /// Stable Diffusion 1.x.
    Sd15,
    /// Stable Diffusion 2.x.
    Sd21,
    /// Stable Diffusion XL base.
    Sdxl,
}

impl FamilyId {
    /// All families, oldest first.
    pub const ALL: [FamilyId; 3] = [FamilyId::Sd15, FamilyId::Sd21, FamilyId::Sdxl];

    /// Returns the short name used in reports: `sd15`.
    pub fn name(self) -> &'static str {
        match self {
            FamilyId::Sd15 => "sd15",
            FamilyId::Sd21 => "sd21",
            FamilyId::Sdxl => "sdxl",
        }
    }

    /// Returns the display name.
    pub fn label(self) -> &'static str {
        match self {
            FamilyId::Sd15 => "Stable Diffusion 1.x",
            FamilyId::Sd21 => "Stable Diffusion 2.x",
            FamilyId::Sdxl => "Stable Diffusion XL",
        }
    }
}

impl fmt::Display for FamilyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Networks of a family that adapters apply to.
#[derive(Debug, Clone)]
pub struct Family {
    /// UNet.
    pub unet: Unet,
    /// First or only text encoder.
    pub text_encoder: Clip,
    /// SDXL's second text encoder.
    pub text_encoder_2: Option<Clip>,
}

impl Family {
    /// Creates the networks from the published configs.
    pub fn published(id: FamilyId) -> Result<Family, ConfigError> {
        let (unet, text, second) = match id {
            FamilyId::Sd15 => {
                (include_str!("configs/sd15/unet.json"), include_str!("configs/sd15/text_encoder.json"), None)
            }
            FamilyId::Sd21 => {
                (include_str!("configs/sd21/unet.json"), include_str!("configs/sd21/text_encoder.json"), None)
            }
            FamilyId::Sdxl => (
                include_str!("configs/sdxl/unet.json"),
                include_str!("configs/sdxl/text_encoder.json"),
                Some(include_str!("configs/sdxl/text_encoder_2.json")),
            ),
        };
        Ok(Family {
            unet: Unet::new(&UnetConfig::parse(unet)?),
            text_encoder: Clip::new(&ClipConfig::parse(text)?),
            text_encoder_2: second.map(|text| ClipConfig::parse(text).map(|config| Clip::new(&config))).transpose()?,
        })
    }

    /// Creates the family's VAE from the published config.
    pub fn published_vae(id: FamilyId) -> Result<Vae, ConfigError> {
        let text = match id {
            FamilyId::Sd15 => include_str!("configs/sd15/vae.json"),
            FamilyId::Sd21 => include_str!("configs/sd21/vae.json"),
            FamilyId::Sdxl => include_str!("configs/sdxl/vae.json"),
        };
        Ok(Vae::new(&VaeConfig::parse(text)?))
    }

    /// Returns all layers that adapter keys can refer to, in network order: text encoders, then the UNet.
    pub fn modules(&self) -> Vec<(Component, &Module)> {
        let mut list = Vec::new();
        list.extend(self.text_encoder.modules().into_iter().map(|module| (Component::TextEncoder, module)));
        if let Some(clip) = &self.text_encoder_2 {
            list.extend(clip.modules().into_iter().map(|module| (Component::TextEncoder2, module)));
        }
        list.extend(self.unet.modules().into_iter().map(|module| (Component::Unet, module)));
        list
    }
}
