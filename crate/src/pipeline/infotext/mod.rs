//! Infotext: the generation parameters that AUTOMATIC1111's web UI stores under `parameters` in a PNG and under
//! `UserComment` in other images.
//!
//! ```text
//! a cat <lora:ink:0.8>
//! Negative prompt: blurry
//! Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, …
//! ```
//! Reading never fails: everything that is not understood is listed with the reason.

mod civitai;
mod fields;
mod names;
mod read;
mod settings;
mod write;

pub use names::{sampler_named, schedule_label, schedule_named};
pub use read::{is_infotext, read_infotext};

/// Removes the characters that `Lora hashes` does not allow in a name.
fn hash_name(name: &str) -> String {
    super::recipe_draft::tag_name(name).replace(',', "").trim().to_owned()
}
