//! Composed prompts of AUTOMATIC1111's web UI: `a cat :1.2 AND a hat :0.6`.
//!
//! Each part predicts noise of its own, and the guidance adds their weighted differences from the negative prompt's.
//! Source: Liu et al., "Compositional Visual Generation with Composable Diffusion Models", 2022.

use crate::num::to_f32;

/// Splits a prompt at each `AND` that is a separate word. Returns the different texts in order, each with its weight:
/// the number after a colon at its end (1 by default), summed over equal texts. At least one.
pub fn compose(prompt: &str) -> Vec<(String, f32)> {
    const AND: &str = "AND";
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut parts: Vec<(String, f32)> = Vec::new();
    let mut push = |part: &str| {
        let (text, weight) = split_weight(part);
        match parts.iter_mut().find(|(known, _)| known == text) {
            Some((_, sum)) => *sum += weight,
            None => parts.push((text.to_owned(), weight)),
        }
    };
    let (mut start, mut from) = (0, 0);
    while let Some(at) = prompt[from..].find(AND).map(|at| from + at) {
        from = at + AND.len();
        if !prompt[..at].ends_with(is_word) && !prompt[from..].starts_with(is_word) {
            push(&prompt[start..at]);
            start = from;
        }
    }
    push(&prompt[start..]);
    parts
}

/// Splits `text :1.2` into text and weight, without the whitespace at the end of both.
fn split_weight(part: &str) -> (&str, f32) {
    let part = part.trim_end();
    let weighted =
        part.rsplit_once(':').and_then(|(text, number)| Some((text.trim_end(), weight(number.trim_start())?)));
    weighted.unwrap_or((part, 1.0))
}

/// Parses a decimal number without exponent.
fn weight(number: &str) -> Option<f32> {
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let is_decimal =
        digits.contains(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c == '.' || c.is_ascii_digit());
    if is_decimal { number.parse().ok().map(to_f32) } else { None }
}
