//! Turns a recipe and files into a picture: prompt -> text states -> latents, step by step -> pixels.

mod conditioning;
mod error;
mod folder;
mod generate;
mod image;
mod infotext;
mod latents;
mod model;
mod probe;
mod recipe;
mod runners;
mod script;
mod single_file;

pub use conditioning::token_table;
pub use error::PipelineError;
pub use folder::Folder;
pub use generate::{Applied, Control, Picture, Progress, Session, Stage, denoise_seconds_left, sinusoid};
pub use image::{Decoded, decode_png, encode_png, to_rgb8};
pub use infotext::{Infotext, Leftover, Mention, png_parameters};
pub use model::Model;
pub use probe::Network;
pub use recipe::{AdapterChoice, Recipe, Rng};
