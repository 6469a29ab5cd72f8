//! The web UI's labels of samplers, schedule types, generators and upscalers.

use crate::pipeline::recipe::{Rng, Upscaler};
use crate::samplers::{SamplerKind, SigmaSpacing};

const TIMESTEPS: Option<SigmaSpacing> = Some(SigmaSpacing::Timesteps);
const KARRAS: Option<SigmaSpacing> = Some(SigmaSpacing::Karras);
const EXPONENTIAL: Option<SigmaSpacing> = Some(SigmaSpacing::Exponential);

/// Samplers with the web UI's label and the spacing of its schedule type "Automatic", if the sampler has one.
const SAMPLERS: [(SamplerKind, &str, Option<SigmaSpacing>); SamplerKind::ALL.len()] = [
    (SamplerKind::Ddim, "DDIM", None),
    (SamplerKind::Euler, "Euler", TIMESTEPS),
    (SamplerKind::EulerA, "Euler a", TIMESTEPS),
    (SamplerKind::Dpmpp2m, "DPM++ 2M", KARRAS),
    (SamplerKind::Dpmpp2mSde, "DPM++ 2M SDE", EXPONENTIAL),
    (SamplerKind::Dpmpp2sA, "DPM++ 2S a", KARRAS),
    (SamplerKind::DpmppSde, "DPM++ SDE", KARRAS),
    (SamplerKind::Heun, "Heun", TIMESTEPS),
    (SamplerKind::Dpm2, "DPM2", KARRAS),
    (SamplerKind::Dpm2A, "DPM2 a", KARRAS),
    (SamplerKind::Lms, "LMS", TIMESTEPS),
    (SamplerKind::Pndm, "PLMS", None),
    (SamplerKind::UniPc, "UniPC", None),
    (SamplerKind::Lcm, "LCM", None),
    (SamplerKind::Tcd, "TCD", None),
];

/// The web UI's labels of schedule types.
const SCHEDULES: [(&str, SigmaSpacing); 8] = [
    ("Uniform", SigmaSpacing::Timesteps),
    ("Normal", SigmaSpacing::Timesteps),
    ("Karras", SigmaSpacing::Karras),
    ("Exponential", SigmaSpacing::Exponential),
    ("SGM Uniform", SigmaSpacing::SgmUniform),
    ("Simple", SigmaSpacing::Simple),
    ("Beta", SigmaSpacing::Beta),
    ("Align Your Steps", SigmaSpacing::Ays),
];

/// Returns the web UI's label of a sampler's name; unknown names are returned unchanged.
pub(super) fn sampler_label(name: &str) -> &str {
    SAMPLERS.iter().find(|row| row.0.name() == name).map_or(name, |row| row.1)
}

/// Returns the web UI's label of a spacing.
pub(super) fn schedule_label(spacing: SigmaSpacing) -> &'static str {
    match spacing {
        SigmaSpacing::Timesteps => "Uniform",
        SigmaSpacing::Karras => "Karras",
        SigmaSpacing::Exponential => "Exponential",
        SigmaSpacing::SgmUniform => "SGM Uniform",
        SigmaSpacing::Simple => "Simple",
        SigmaSpacing::Beta => "Beta",
        SigmaSpacing::Ays => "Align Your Steps",
    }
}

/// Returns the web UI's label of a generator.
pub(super) fn rng_label(rng: Rng) -> &'static str {
    match rng {
        Rng::Torch => "CPU",
        Rng::Philox => "NV",
    }
}

/// Returns the web UI's label of an upscaler.
pub(super) fn upscaler_label(upscaler: Upscaler) -> &'static str {
    match upscaler {
        Upscaler::Latent => "Latent",
        Upscaler::Pixels => "None",
    }
}

/// Parses an upscaler's label. The web UI's other latent upscalers and its upscaling networks have no
/// counterpart here.
pub(super) fn upscaler(label: &str) -> Option<Upscaler> {
    match normalize(label).as_str() {
        "latent" => Some(Upscaler::Latent),
        "none" | "pixels" => Some(Upscaler::Pixels),
        _ => None,
    }
}

/// Parses a sampler's label, with a spacing as suffix as web UIs before 1.9 wrote it: `DPM++ 2M Karras`.
pub(super) fn sampler(label: &str) -> Option<(SamplerKind, Option<SigmaSpacing>)> {
    let label = normalize(label);
    let known = |label: &str| {
        let row = SAMPLERS.iter().find(|row| normalize(row.0.name()) == label || normalize(row.1) == label);
        row.map(|row| row.0)
    };
    let with_suffix = |(suffix, spacing): &(&str, SigmaSpacing)| {
        let sampler = label.strip_suffix(&normalize(suffix))?.strip_suffix(' ')?;
        Some((known(sampler)?, Some(*spacing)))
    };
    known(&label).map(|sampler| (sampler, None)).or_else(|| SCHEDULES.iter().find_map(with_suffix))
}

/// Parses a schedule type; "Automatic" depends on the sampler, and is `Some(None)` if that has no spacing.
pub(super) fn schedule(label: &str, sampler: Option<&str>) -> Option<Option<SigmaSpacing>> {
    let label = normalize(label);
    if label == "automatic" {
        return Some(SAMPLERS.iter().find(|row| Some(row.0.name()) == sampler).and_then(|row| row.2));
    }
    SCHEDULES.iter().find(|row| normalize(row.0) == label).map(|row| Some(row.1))
}

/// Converts a label to lower case, with spaces between words and `pp` for `++`.
fn normalize(name: &str) -> String {
    name.to_lowercase().replace('_', " ").replace("++", "pp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sampler_has_a_web_ui_label() {
        for kind in SamplerKind::ALL {
            let label = sampler_label(kind.name());
            assert_ne!(label, kind.name());
            assert_eq!(sampler(label), Some((kind, None)));
            assert_eq!(sampler(kind.name()), Some((kind, None)));
        }
    }
}
