//! Settings of the web UI in infotexts, which it writes if they are not at their defaults.

use crate::samplers::{SamplerKind, WebUiSettings};

/// A setting that is a number: its name, and its field.
type Number = (&'static str, fn(&mut WebUiSettings) -> &mut Option<f64>);
/// A setting that is on or off.
type Flag = (&'static str, fn(&mut WebUiSettings) -> &mut bool);

const NUMBERS: [Number; 12] = [
    ("Sigma churn", |settings| &mut settings.s_churn),
    ("Sigma tmin", |settings| &mut settings.s_tmin),
    ("Sigma tmax", |settings| &mut settings.s_tmax),
    ("Sigma noise", |settings| &mut settings.s_noise),
    ("Schedule min sigma", |settings| &mut settings.sigma_min),
    ("Schedule max sigma", |settings| &mut settings.sigma_max),
    ("Schedule rho", |settings| &mut settings.rho),
    ("Beta schedule alpha", |settings| &mut settings.beta_alpha),
    ("Beta schedule beta", |settings| &mut settings.beta_beta),
    ("Extra noise", |settings| &mut settings.extra_noise),
    ("NGMS", |settings| &mut settings.min_sigma_of_guidance),
    ("Skip Early CFG", |settings| &mut settings.skip_early_guidance),
];

const FLAGS: [Flag; 3] = [
    ("Discard penultimate sigma", |settings| &mut settings.discard_penultimate),
    ("SGM noise multiplier", |settings| &mut settings.sgm_noise_multiplier),
    ("Enable quantization in K samplers", |settings| &mut settings.quantize),
];

/// Settings whose 0 means the default.
const ZERO_IS_DEFAULT: [&str; 3] = ["Schedule min sigma", "Schedule max sigma", "Schedule rho"];
const SEED_DELTA: &str = "ENSD";

/// Sets a setting from its text and returns whether that is valid; `None` for other parameters.
pub(super) fn set(settings: &mut Option<WebUiSettings>, name: &str, value: &str) -> Option<bool> {
    let mut changed = settings.unwrap_or_default();
    let is_valid = if name == SEED_DELTA {
        value.parse().map(|delta| changed.noise_seed_delta = delta).is_ok()
    } else if let Some((_, flag)) = FLAGS.iter().find(|row| row.0 == name) {
        let is_on = match value {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        };
        is_on.map(|is_on| *flag(&mut changed) = is_on).is_some()
    } else {
        let (_, number) = NUMBERS.iter().find(|row| row.0 == name)?;
        let parsed = value.parse::<f64>().ok();
        let is_default = parsed == Some(0.0) && ZERO_IS_DEFAULT.contains(&name);
        *number(&mut changed) = parsed.filter(|_| !is_default);
        parsed.is_some() && changed.check().is_ok()
    };
    if is_valid {
        *settings = Some(changed).filter(|changed| *changed != WebUiSettings::default());
    }
    Some(is_valid)
}

/// Returns the settings as parameters.
pub(super) fn fields(settings: &WebUiSettings) -> Vec<(&'static str, String)> {
    let mut settings = *settings;
    let mut fields = Vec::new();
    if settings.noise_seed_delta != 0 {
        fields.push((SEED_DELTA, settings.noise_seed_delta.to_string()));
    }
    for (name, number) in NUMBERS {
        fields.extend(number(&mut settings).map(|value| (name, value.to_string())));
    }
    fields.extend(FLAGS.into_iter().filter(|(_, flag)| *flag(&mut settings)).map(|(name, _)| (name, "True".into())));
    fields
}

/// Returns the parameter that holds a sampler's eta.
pub(super) fn eta_name(sampler: Option<SamplerKind>) -> &'static str {
    match sampler {
        Some(SamplerKind::Ddim | SamplerKind::DdimCfgPp) => "Eta DDIM",
        _ => "Eta",
    }
}
