//! Networks as data: diffusers configs -> layers with their names, sizes and order.
//!
//! A network is a tree of [`Module`]s in execution order. The plan builder walks it, and adapter and
//! checkpoint keys are looked up in it.

pub mod architecture;
pub mod block;
pub mod clip;
pub mod config;
pub mod family;
pub mod json;
pub mod module;
pub mod positional;
pub mod single_file;
pub mod spelling;
pub mod stored;
pub mod toml_table;
pub mod unet;
pub mod upscaler;
pub mod vae;

pub use architecture::{Architecture, ModuleSource};
pub use block::block;
pub use clip::Clip;
pub use config::{ClipConfig, ConfigError, UnetConfig, VaeConfig};
pub use family::{Family, FamilyId};
pub use module::{Component, Granularity, Kind, Module};
pub use stored::TensorLocation;
pub use unet::Unet;
pub use upscaler::{UpscalerError, UpscalerNet};
pub use vae::Vae;
