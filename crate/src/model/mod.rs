//! Turns diffusers configs into networks as data: every layer with its names, sizes and place.
//!
//! A network is a plain tree of [`Module`]s in the order in which data flows. The plan builder
//! walks it, the adapters look keys up in it, checkpoints are read by it.

pub mod architecture;
pub mod block;
pub mod clip;
pub mod config;
pub mod family;
pub mod module;
pub mod positional;
pub mod single_file;
pub mod spelling;
pub mod stored;
pub mod unet;
pub mod vae;

pub use architecture::{Architecture, ModuleSource};
pub use block::block;
pub use clip::Clip;
pub use config::{ClipConfig, ConfigError, UnetConfig, VaeConfig};
pub use family::{Family, FamilyId};
pub use module::{Component, Kind, Module, Whose};
pub use stored::Stored;
pub use unet::Unet;
pub use vae::Vae;
