//! The web UI's labels of schedule types, generators and upscalers, and settings from their labels.

use crate::pipeline::recipe::{Rng, Upscaler};
use crate::samplers::{SamplerKind, SigmaSpacing};

/// The web UI's labels of schedule types.
const SCHEDULES: [(&str, SigmaSpacing); 16] = [
    ("Uniform", SigmaSpacing::Timesteps),
    ("Normal", SigmaSpacing::Timesteps),
    ("Karras", SigmaSpacing::Karras),
    ("Exponential", SigmaSpacing::Exponential),
    ("SGM Uniform", SigmaSpacing::SgmUniform),
    ("Simple", SigmaSpacing::Simple),
    ("Beta", SigmaSpacing::Beta),
    ("Align Your Steps", SigmaSpacing::Ays),
    ("Polyexponential", SigmaSpacing::Polyexponential),
    ("KL Optimal", SigmaSpacing::KlOptimal),
    ("DDIM", SigmaSpacing::DdimUniform),
    ("Linear Quadratic", SigmaSpacing::LinearQuadratic),
    ("Turbo", SigmaSpacing::Turbo),
    ("Align Your Steps 11", SigmaSpacing::Ays11),
    ("Align Your Steps 32", SigmaSpacing::Ays32),
    ("Align Your Steps GITS", SigmaSpacing::AysGits),
];

/// The web UI's labels of upscaling networks that it fetches itself, and the names of their files.
const NETWORKS: [(&str, &str); 6] = [
    ("R-ESRGAN 4x+", "RealESRGAN_x4plus"),
    ("R-ESRGAN 4x+ Anime6B", "RealESRGAN_x4plus_anime_6B"),
    ("R-ESRGAN 2x+", "RealESRGAN_x2plus"),
    ("R-ESRGAN General 4xV3", "realesr-general-x4v3"),
    ("R-ESRGAN General WDN 4xV3", "realesr-general-wdn-x4v3"),
    ("R-ESRGAN AnimeVideo", "realesr-animevideov3"),
];

/// Returns the web UI's label of a spacing.
pub fn schedule_label(spacing: SigmaSpacing) -> &'static str {
    SCHEDULES.iter().find(|row| row.1 == spacing).map_or("Automatic", |row| row.0)
}

/// Returns the web UI's label of a generator.
pub(super) fn rng_label(rng: Rng) -> &'static str {
    match rng {
        Rng::Torch => "CPU",
        Rng::Philox => "NV",
        Rng::TorchPhilox => "CPU+NV",
    }
}

/// Returns the web UI's label of an upscaler or network.
pub(super) fn upscaler_label(upscaler: Upscaler, network: Option<&str>) -> &str {
    match (upscaler, network) {
        (Upscaler::Latent, _) => "Latent",
        (Upscaler::Pixels, Some(network)) => NETWORKS.iter().find(|row| row.1 == network).map_or(network, |row| row.0),
        (Upscaler::Pixels, None) => "None",
    }
}

/// Returns the file's name of an upscaling network, without extension, from the web UI's label.
pub(super) fn network(label: &str) -> &str {
    NETWORKS.iter().find(|row| row.0 == label).map_or(label, |row| row.1)
}

/// Parses an upscaler's label; None for a network's. Whether it is another one here is returned too.
pub(super) fn upscaler(label: &str) -> Option<(Upscaler, bool)> {
    match normalize(label).as_str() {
        "latent" => Some((Upscaler::Latent, false)),
        label if label.starts_with("latent") => Some((Upscaler::Latent, true)),
        "none" | "pixels" | "lanczos" => Some((Upscaler::Pixels, false)),
        "nearest" => Some((Upscaler::Pixels, true)),
        _ => None,
    }
}

/// Parses a sampler's label or name, with a spacing as suffix as web UIs before 1.9 wrote it: `DPM++ 2M Karras`.
pub fn sampler_named(label: &str) -> Option<(SamplerKind, Option<SigmaSpacing>)> {
    let label = compact(label);
    let known = |label: &str| {
        let names = |kind: &SamplerKind| [kind.name(), kind.label()];
        SamplerKind::ALL.into_iter().find(|kind| names(kind).into_iter().any(|name| compact(name) == label))
    };
    let with_suffix = |(suffix, spacing): &(&str, SigmaSpacing)| {
        let sampler = label.strip_suffix(&compact(suffix))?;
        Some((known(sampler)?, Some(*spacing)))
    };
    known(&label).map(|sampler| (sampler, None)).or_else(|| SCHEDULES.iter().find_map(with_suffix))
}

/// Parses a schedule type; "Automatic" depends on the sampler, and is `Some(None)` if that has no spacing.
pub fn schedule_named(label: &str, sampler: Option<SamplerKind>) -> Option<Option<SigmaSpacing>> {
    let label = normalize(label);
    if label == "automatic" {
        return Some(sampler.and_then(SamplerKind::automatic_spacing));
    }
    SCHEDULES.iter().find(|row| normalize(row.0) == label).map(|row| Some(row.1))
}

/// Converts a label to lower case without spaces, with `pp` for `++`: programs divide words differently.
fn compact(name: &str) -> String {
    normalize(name).replace(' ', "")
}

/// Converts a label to lower case, with spaces between words and `pp` for `++`.
fn normalize(name: &str) -> String {
    name.to_lowercase().replace('_', " ").replace("++", "pp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_found_by_their_labels_and_names() {
        for kind in SamplerKind::ALL {
            assert_ne!(kind.label(), kind.name());
            assert_eq!(sampler_named(kind.label()), Some((kind, None)));
            assert_eq!(sampler_named(kind.name()), Some((kind, None)));
        }
    }
}
