//! The number of ids of a prompt, as shown while it is typed.

use super::chunks::{MAX_IDS, fill};
use super::comfyui::comfyui_count;
use super::{Tokenizer, compose, extra_networks, parse_attention, schedule, strip_comments};
use crate::program::Program;

/// Returns the number of ids of a prompt, and how many fit into its chunks: 12 of 75.
///
/// In diffusers there is one chunk, and ids over 75 are truncated. In the web UI, the longest text counts of a prompt that
/// changes over `steps` steps or is composed with `AND`.
pub fn count(tokenizer: &Tokenizer, prompt: &str, program: Program, steps: usize) -> (usize, usize) {
    let used = match program {
        Program::Diffusers => return (tokenizer.count(prompt), MAX_IDS),
        Program::Comfyui => comfyui_count(tokenizer, prompt),
        Program::A1111 => {
            let parts = compose(&extra_networks(&strip_comments(prompt)).0);
            let mut texts: Vec<String> =
                parts.iter().flat_map(|(part, _)| schedule(part, steps)).map(|edit| edit.1).collect();
            texts.sort_unstable();
            texts.dedup();
            texts.iter().map(|text| fill(tokenizer, &parse_attention(text), &[]).1).max().unwrap_or(0)
        }
    };
    (used, used.max(1).div_ceil(MAX_IDS) * MAX_IDS)
}
