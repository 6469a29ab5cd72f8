//! Programs whose images a recipe can reproduce.

use serde::{Deserialize, Serialize};
use std::str::FromStr;
use ts_rs::TS;

/// The program whose image a recipe reproduces: it decides how prompts are read, how noise levels are spaced and how
/// noise is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// diffusers' pipelines: every character of a prompt is text, truncated to 75 ids.
    #[default]
    #[serde(alias = "plain")]
    Diffusers,
    /// AUTOMATIC1111's web UI 1.10: weights, `BREAK`, prompt editing, `<lora:…>`, prompts of any length.
    A1111,
    /// ComfyUI.
    Comfyui,
}

impl FromStr for Program {
    type Err = ParseProgramError;

    fn from_str(name: &str) -> Result<Self, ParseProgramError> {
        match name {
            "diffusers" | "plain" => Ok(Program::Diffusers),
            "a1111" => Ok(Program::A1111),
            "comfyui" => Ok(Program::Comfyui),
            _ => Err(ParseProgramError(name.into())),
        }
    }
}

/// An unknown program.
#[derive(Debug, thiserror::Error)]
#[error("unknown program {0:?}; use diffusers, a1111 or comfyui")]
pub struct ParseProgramError(String);
