//! Turns the web UI's names of samplers and of noise level spacings into ours, and ours into its.

use crate::pipeline::recipe::{Rng, Upscaler};
use crate::samplers::{SamplerKind, SigmaSpacing};

const TIMESTEPS: Option<SigmaSpacing> = Some(SigmaSpacing::Timesteps);
const KARRAS: Option<SigmaSpacing> = Some(SigmaSpacing::Karras);
const EXPONENTIAL: Option<SigmaSpacing> = Some(SigmaSpacing::Exponential);

/// A sampler, the web UI's name, and what its "Automatic" spaces noise levels by, where it spaces them.
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

/// The web UI's names of spacings.
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

/// The web UI's name of our sampler; a name that is none stays.
pub(super) fn sampler_label(name: &str) -> &str {
    SAMPLERS.iter().find(|row| row.0.name() == name).map_or(name, |row| row.1)
}

/// The web UI's name of a spacing.
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

/// The web UI's name of a generator.
pub(super) fn rng_label(rng: Rng) -> &'static str {
    match rng {
        Rng::Torch => "CPU",
        Rng::Philox => "NV",
    }
}

/// The web UI's name of what a second pass makes larger.
pub(super) fn upscaler_label(upscaler: Upscaler) -> &'static str {
    match upscaler {
        Upscaler::Latent => "Latent",
        Upscaler::Pixels => "None",
    }
}

/// Ours; the web UI's other latent ones come near, its networks for pixels do not.
pub(super) fn upscaler(label: &str) -> Option<Upscaler> {
    match plain(label).as_str() {
        "latent" => Some(Upscaler::Latent),
        "none" | "pixels" => Some(Upscaler::Pixels),
        _ => None,
    }
}

/// Our sampler and the spacing at the end of its name, as web UIs before 1.9 wrote it: `DPM++ 2M Karras`.
pub(super) fn sampler(label: &str) -> Option<(SamplerKind, Option<SigmaSpacing>)> {
    let label = plain(label);
    let known = |label: &str| {
        let row = SAMPLERS.iter().find(|row| plain(row.0.name()) == label || plain(row.1) == label);
        row.map(|row| row.0)
    };
    let ended = |(ending, spacing): &(&str, SigmaSpacing)| {
        let sampler = label.strip_suffix(&plain(ending))?.strip_suffix(' ')?;
        Some((known(sampler)?, Some(*spacing)))
    };
    known(&label).map(|sampler| (sampler, None)).or_else(|| SCHEDULES.iter().find_map(ended))
}

/// Our spacing; the sampler's name decides what "Automatic" is. Some(None) where it decides for none.
pub(super) fn schedule(label: &str, sampler: Option<&str>) -> Option<Option<SigmaSpacing>> {
    let label = plain(label);
    if label == "automatic" {
        return Some(SAMPLERS.iter().find(|row| Some(row.0.name()) == sampler).and_then(|row| row.2));
    }
    SCHEDULES.iter().find(|row| plain(row.0) == label).map(|row| Some(row.1))
}

/// Lower case, words apart by spaces, `++` as in our names.
fn plain(name: &str) -> String {
    name.to_lowercase().replace('_', " ").replace("++", "pp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sampler_has_a_name_in_the_web_ui() {
        for kind in SamplerKind::ALL {
            let label = sampler_label(kind.name());
            assert_ne!(label, kind.name());
            assert_eq!(sampler(label), Some((kind, None)));
            assert_eq!(sampler(kind.name()), Some((kind, None)));
        }
    }
}
