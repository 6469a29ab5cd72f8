//! Values of arguments that several commands take.

use lora_loupe::formats::Dtype;

/// Parses an output dtype.
pub fn dtype(text: &str) -> Result<Dtype, String> {
    match text {
        "f32" | "fp32" => Ok(Dtype::F32),
        "f16" | "fp16" => Ok(Dtype::F16),
        "bf16" => Ok(Dtype::BF16),
        _ => Err(format!("unknown dtype `{text}`: use f32, f16 or bf16")),
    }
}

/// Parses a rank of at least 1.
pub fn rank(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&rank| rank > 0)
        .ok_or_else(|| format!("`{text}` is not a valid rank: give an integer of at least 1"))
}

/// Parses `0.98` or `98%` as a share in (0, 1].
pub fn share(text: &str) -> Result<f64, String> {
    let (digits, divisor) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
    let share = digits.trim().parse::<f64>().ok().map(|value| value / divisor);
    let is_share = |share: &f64| *share > 0.0 && *share <= 1.0;
    share.filter(is_share).ok_or_else(|| format!("`{text}` is not a valid share: give e.g. 0.98 or 98%"))
}

/// Parses `512x512` as (width, height).
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let parts =
        text.split_once(['x', 'X']).and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parts.ok_or_else(|| format!("`{text}` is not a size: give WIDTHxHEIGHT, e.g. 512x512"))
}
