//! Turns the published configs of each model family into one list of named layers.

use super::module::{Component, Module};
use super::{Clip, ClipConfig, ConfigError, Unet, UnetConfig, Vae, VaeConfig};
use std::fmt;

/// A family of base models that share layer names and sizes.
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
    /// Every family whose layers are listed, the oldest first.
    pub const ALL: [FamilyId; 3] = [FamilyId::Sd15, FamilyId::Sd21, FamilyId::Sdxl];

    /// Short name used in reports: `sd15`.
    pub fn name(self) -> &'static str {
        match self {
            FamilyId::Sd15 => "sd15",
            FamilyId::Sd21 => "sd21",
            FamilyId::Sdxl => "sdxl",
        }
    }

    /// Name for people.
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

/// A family's networks that adapters touch.
#[derive(Debug, Clone)]
pub struct Family {
    /// The UNet.
    pub unet: Unet,
    /// The first text encoder.
    pub text_encoder: Clip,
    /// SDXL's second.
    pub text_encoder_2: Option<Clip>,
}

impl Family {
    /// The networks at the sizes that were published.
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

    /// The family's autoencoder at the size that was published.
    pub fn published_vae(id: FamilyId) -> Result<Vae, ConfigError> {
        let text = match id {
            FamilyId::Sd15 => include_str!("configs/sd15/vae.json"),
            FamilyId::Sd21 => include_str!("configs/sd21/vae.json"),
            FamilyId::Sdxl => include_str!("configs/sdxl/vae.json"),
        };
        Ok(Vae::new(&VaeConfig::parse(text)?))
    }

    /// Every layer that an adapter may name, in network order: text encoders first, then the UNet.
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
