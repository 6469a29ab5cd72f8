//! Weights of prompts' words, applied to the hidden states of a text encoder.

use super::parse_attention;
use crate::num::to_f32;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use ts_rs::TS;

/// Meaning of weights in AUTOMATIC1111's web UI, its setting "Emphasis mode".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Emphasis {
    /// States are multiplied by their weights, and all are rescaled to the original mean.
    #[default]
    Original,
    /// States are multiplied by their weights.
    NoNorm,
    /// Weights are removed from the prompt and have no effect.
    Ignore,
    /// Brackets and numbers are text.
    None,
}

impl Emphasis {
    /// All modes with the web UI's labels.
    pub const ALL: [(Emphasis, &str); 4] = [
        (Emphasis::Original, "Original"),
        (Emphasis::NoNorm, "No norm"),
        (Emphasis::Ignore, "Ignore"),
        (Emphasis::None, "None"),
    ];

    /// Returns the web UI's label.
    pub fn label(self) -> &'static str {
        Emphasis::ALL.iter().find(|(mode, _)| *mode == self).map_or("Original", |(_, label)| label)
    }

    /// Splits a prompt into pieces with weights, and `BREAK`, as [`parse_attention`] does; with [`Emphasis::None`]
    /// it is one piece.
    pub fn pieces(self, prompt: &str) -> Vec<(String, f64)> {
        if self == Emphasis::None { vec![(prompt.to_owned(), 1.0)] } else { parse_attention(prompt) }
    }

    /// Applies the weights of chunks to their states. The mean is that of all chunks together: the web UI encodes the
    /// texts of a changing prompt as one batch.
    pub fn apply(self, chunks: &mut [WeightedStates]) {
        let is_weighted = chunks.iter().any(|chunk| chunk.weights.iter().any(|&weight| weight != 1.0));
        if !is_weighted || matches!(self, Emphasis::Ignore | Emphasis::None) {
            return;
        }
        let original = mean(chunks);
        for WeightedStates { states, weights, .. } in &mut *chunks {
            let width = (states.len() / weights.len().max(1)).max(1);
            for (row, weight) in states.chunks_mut(width).zip(*weights) {
                row.iter_mut().for_each(|state| *state *= weight);
            }
        }
        let factor = to_f32(original / mean(chunks));
        if self == Emphasis::Original && factor.is_finite() {
            chunks.iter_mut().flat_map(|chunk| &mut chunk.states).for_each(|state| *state *= factor);
        }
    }
}

/// Hidden states of a chunk with the weights of its ids.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedStates<'a> {
    /// States, (T, D).
    pub states: Vec<f32>,
    /// Weights, (T).
    pub weights: &'a [f32],
    /// How often the chunk's text occurs in its prompt.
    pub count: usize,
}

/// Returns the mean over all states of all texts.
fn mean(chunks: &[WeightedStates]) -> f64 {
    let sum = |states: &[f32]| states.iter().map(|state| f64::from(*state)).sum::<f64>();
    let total: f64 = chunks.iter().map(|chunk| chunk.count as f64 * sum(&chunk.states)).sum();
    total / chunks.iter().map(|chunk| chunk.count * chunk.states.len()).sum::<usize>() as f64
}

impl FromStr for Emphasis {
    type Err = String;

    /// Parses the web UI's label or its lower-case form with underscores.
    fn from_str(text: &str) -> Result<Emphasis, String> {
        let name = text.trim().to_lowercase().replace('_', " ");
        let found = Emphasis::ALL.into_iter().find(|(_, label)| label.to_lowercase() == name);
        found
            .map(|(mode, _)| mode)
            .ok_or_else(|| format!("unknown emphasis mode `{text}`; use original, no_norm, ignore or none"))
    }
}

/// Moves the states (T, D) of weighted ids away from those of an empty prompt, or towards them: ComfyUI's weights.
pub fn interpolate(states: &mut [f32], empty: &[f32], weights: &[f32]) {
    let width = (states.len() / weights.len().max(1)).max(1);
    let rows = states.chunks_mut(width).zip(empty.chunks(width)).zip(weights);
    for ((row, empty), &weight) in rows.filter(|(_, weight)| **weight != 1.0) {
        row.iter_mut().zip(empty).for_each(|(state, empty)| *state = (*state - empty) * weight + empty);
    }
}
