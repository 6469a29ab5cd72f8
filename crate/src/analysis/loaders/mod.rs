//! Turns a file's keys into what each loader does with them: applied, partly, ignored or refused,
//! why, with the line that it prints, and how its strength differs. The rules are rules.toml.

mod judge;
mod log;
mod rules;
mod strength;

pub use judge::{Evidence, verdicts};
pub use log::{LogExplanation, explain_log};

use serde::Serialize;
use ts_rs::TS;

/// What a loader does with a file.
#[derive(Debug, Clone, Serialize, TS)]
pub struct LoaderVerdict {
    /// Its short name: `comfyui`, `a1111`, `forge`, `diffusers`, `invokeai`, `stable_diffusion_cpp`, `this_page`.
    pub loader: String,
    /// Its name for people.
    pub label: String,
    /// The version that this holds for, and when its rules were read.
    pub version: String,
    /// What becomes of the file.
    pub status: LoaderStatus,
    /// Layers that are applied.
    pub applied: usize,
    /// Layers that the file changes.
    pub total: usize,
    /// Why not all, in a sentence; empty where all are.
    pub reason: String,
    /// The line that it prints.
    pub log: Option<String>,
    /// How the effect differs from what the file means, and by how much.
    pub strength_note: Option<String>,
}

/// What becomes of a file in a loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum LoaderStatus {
    /// Every layer is applied.
    Applied,
    /// Some layers are.
    Partly,
    /// None is, and the picture is drawn all the same.
    Ignored,
    /// It stops, or leaves the whole file out with a message.
    Refused,
    /// Nothing is known of it.
    Unknown,
}
