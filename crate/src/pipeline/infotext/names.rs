//! Turns the web UI's names of samplers and of noise level spacings into ours, and ours into its.

use crate::samplers::SamplerKind;

/// Our name, the web UI's, and what its "Automatic" spaces noise levels by.
const SAMPLERS: [(&str, &str, Option<&str>); 15] = [
    ("ddim", "DDIM", None),
    ("euler", "Euler", Some("normal")),
    ("euler_a", "Euler a", Some("normal")),
    ("dpmpp_2m", "DPM++ 2M", Some("karras")),
    ("dpmpp_2m_sde", "DPM++ 2M SDE", Some("exponential")),
    ("dpmpp_sde", "DPM++ SDE", Some("karras")),
    ("dpmpp_2s_a", "DPM++ 2S a", Some("karras")),
    ("heun", "Heun", Some("normal")),
    ("dpm2", "DPM2", Some("karras")),
    ("dpm2_a", "DPM2 a", Some("karras")),
    ("lms", "LMS", Some("normal")),
    ("pndm", "PLMS", None),
    ("unipc", "UniPC", None),
    ("lcm", "LCM", None),
    ("tcd", "TCD", None),
];

/// Our name and the web UI's; where it has two names for one thing, the second is only read.
const SCHEDULES: [(&str, &str); 8] = [
    ("normal", "Uniform"),
    ("normal", "Normal"),
    ("karras", "Karras"),
    ("exponential", "Exponential"),
    ("sgm_uniform", "SGM Uniform"),
    ("simple", "Simple"),
    ("beta", "Beta"),
    ("ays", "Align Your Steps"),
];

/// The web UI's name of our sampler; a name that is none stays.
pub(super) fn sampler_label(name: &str) -> &str {
    SAMPLERS.iter().find(|row| row.0 == name).map_or(name, |row| row.1)
}

/// The web UI's name of our spacing; a name that is none stays.
pub(super) fn schedule_label(name: &str) -> &str {
    SCHEDULES.iter().find(|row| row.0 == name).map_or(name, |row| row.1)
}

/// Our names of a sampler and of the spacing at its end, as web UIs before 1.9 wrote it: `DPM++ 2M Karras`.
pub(super) fn sampler(label: &str) -> Option<(&'static str, Option<&'static str>)> {
    let label = plain(label);
    let known = |label: &str| {
        let row = SAMPLERS.iter().find(|row| plain(row.0) == label || plain(row.1) == label)?;
        row.0.parse::<SamplerKind>().ok().map(|kind| kind.name())
    };
    let ended = |(name, ending): &(&'static str, &str)| {
        let sampler = label.strip_suffix(&plain(ending))?.strip_suffix(' ')?;
        Some((known(sampler)?, Some(*name)))
    };
    known(&label).map(|sampler| (sampler, None)).or_else(|| SCHEDULES.iter().find_map(ended))
}

/// Our name of a spacing; the sampler decides what "Automatic" is. Some(None) where it decides for none.
pub(super) fn schedule(label: &str, sampler: Option<&str>) -> Option<Option<&'static str>> {
    let label = plain(label);
    if label == "automatic" {
        return Some(SAMPLERS.iter().find(|row| Some(row.0) == sampler).and_then(|row| row.2));
    }
    SCHEDULES.iter().find(|row| plain(row.0) == label || plain(row.1) == label).map(|row| Some(row.0))
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
            assert_eq!(sampler(label), Some((kind.name(), None)));
        }
    }
}
