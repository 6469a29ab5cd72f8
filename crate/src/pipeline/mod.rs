//! The Stable Diffusion pipeline: prompt -> text embeddings -> latents, step by step -> pixels.

mod conditioning;
mod draw;
mod embedding;
mod error;
mod folder;
mod generate;
mod image;
mod infotext;
mod latents;
mod model;
mod preview;
mod probe;
mod prompt_schedule;
mod recipe;
mod resize;
mod runners;
mod single_file;
mod timing;

pub use conditioning::token_table;
pub use embedding::Embedding;
pub use error::PipelineError;
pub use folder::Folder;
pub use generate::{
    Applied, Control, GenerateInputs, Picture, Progress, Session, Stage, denoise_seconds_left, timestep_embedding,
};
pub use image::{DecodedImage, decode_png, encode_png, to_rgb8};
pub use infotext::{Infotext, Leftover, Mention, png_parameters};
pub use model::Model;
pub use preview::Preview;
pub use probe::Network;
pub use recipe::{AdapterChoice, EmbeddingChoice, Hires, Recipe, Rng, Upscaler};
pub use resize::{Filter, resize};
pub use runners::{MemoryRequirements, PlanRequirements, Shape, calls};
pub use timing::BenchResult;
