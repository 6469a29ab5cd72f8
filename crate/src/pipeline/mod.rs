//! Turns a recipe and files into a picture: prompt -> text states -> latents, step by step -> pixels.

mod error;
mod folder;
mod generate;
mod image;
mod model;
mod probe;
mod recipe;

pub use error::PipelineError;
pub use folder::Folder;
pub use generate::{Applied, Control, Picture, Progress, Session, Stage, TOKEN_TABLE, denoise_seconds_left, sinusoid};
pub use image::{encode_png, to_rgb8};
pub use model::Model;
pub use probe::Network;
pub use recipe::{AdapterChoice, Recipe};
