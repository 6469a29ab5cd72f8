//! The Stable Diffusion pipeline: prompt -> text embeddings -> latents, step by step -> pixels.

mod draw;
mod embedding;
mod encode_prompts;
mod error;
mod folder;
mod generate;
mod guidance;
mod image;
mod infotext;
mod latents;
mod model;
mod plans;
mod prepare;
mod preview;
mod probe;
mod progress;
mod prompt_schedule;
mod recipe;
mod request;
mod resize;
mod session;
mod shape;
mod sinusoidal;
mod spec;
mod stable_diffusion;
mod timing;
mod vae;

pub use embedding::Embedding;
pub use error::PipelineError;
pub use folder::Folder;
pub use generate::{Applied, Picture};
pub use image::{DecodedImage, decode_png, encode_png, to_rgb8};
pub use infotext::{Infotext, Leftover, Mention, png_parameters};
pub use model::Model;
pub use plans::{ImagePlans, MemoryRequirements, PlanRequirements, calls};
pub use preview::Preview;
pub use probe::Network;
pub use progress::{Control, Progress, Stage, denoise_seconds_left};
pub use prompt_schedule::{Lengths, PromptLine, Role};
pub use recipe::{AdapterChoice, EmbeddingChoice, Hires, Recipe, Rng, Upscaler};
pub use request::GenerateInputs;
pub use resize::{Filter, resize};
pub use session::Session;
pub use shape::Shape;
pub use sinusoidal::timestep_embedding;
pub use spec::{
    Conditioning, EncodePrompts, EncodedPrompt, EncodedText, LatentSpace, LocalFuture, ModelSpec, TextEncoder,
};
pub use stable_diffusion::token_table;
pub use timing::BenchResult;
