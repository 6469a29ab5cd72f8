//! Options of A1111's web UI for `generate`: settings that its images depend on and that are rarely changed.

use crate::values::size;
use lora_loupe::pipeline::Variation;
use lora_loupe::samplers::WebUiSettings;

/// Settings of AUTOMATIC1111's web UI, for `--as a1111`.
#[derive(clap::Args, Clone, Copy)]
#[command(next_help_heading = "Settings of AUTOMATIC1111's web UI (with --as a1111)")]
pub struct WebUiArguments {
    /// Variation seed
    #[arg(long, value_name = "N", requires = "variation_strength")]
    variation_seed: Option<u64>,
    /// Variation strength, 0 to 1
    #[arg(long, value_name = "X", requires = "variation_seed")]
    variation_strength: Option<f64>,
    /// Resize seed from width and height
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub seed_resize: Option<(usize, usize)>,
    /// Eta noise seed delta
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    ensd: i64,
    /// Always discard next-to-last sigma
    #[arg(long)]
    discard_penultimate: bool,
    /// SGM noise multiplier
    #[arg(long)]
    sgm_noise_multiplier: bool,
    /// Enable quantization in K samplers: whole timesteps
    #[arg(long)]
    quantize: bool,
    /// Sigma churn of Euler, Heun and DPM2
    #[arg(long, value_name = "X")]
    s_churn: Option<f64>,
    /// Sigma tmin: smallest sigma with churn
    #[arg(long, value_name = "X")]
    s_tmin: Option<f64>,
    /// Sigma tmax: largest sigma with churn; 0 for no limit
    #[arg(long, value_name = "X")]
    s_tmax: Option<f64>,
    /// Sigma noise: factor of the added noise
    #[arg(long, value_name = "X")]
    s_noise: Option<f64>,
    /// Smallest sigma of the schedule (Schedule min sigma)
    #[arg(long, value_name = "X")]
    sigma_min: Option<f64>,
    /// Largest sigma of the schedule (Schedule max sigma)
    #[arg(long, value_name = "X")]
    sigma_max: Option<f64>,
    /// Exponent of Karras (usually 7) and polyexponential (1) schedules (Schedule rho)
    #[arg(long, value_name = "X")]
    rho: Option<f64>,
    /// Parameter alpha of the beta schedule (usually 0.6)
    #[arg(long, value_name = "X")]
    beta_alpha: Option<f64>,
    /// Parameter beta of the beta schedule (usually 0.6)
    #[arg(long, value_name = "X")]
    beta_beta: Option<f64>,
    /// Extra noise added to the input image (Extra noise multiplier)
    #[arg(long, value_name = "X")]
    extra_noise: Option<f64>,
    /// Sigma below which every second call is without the negative prompt (NGMS)
    #[arg(long, value_name = "X")]
    ngms: Option<f64>,
    /// Share of the calls, from the first, that are without the negative prompt (Skip Early CFG)
    #[arg(long, value_name = "X")]
    skip_early_cfg: Option<f64>,
}

impl WebUiArguments {
    /// Returns the settings, if any is not at its default.
    pub fn settings(&self) -> Option<WebUiSettings> {
        let settings = WebUiSettings {
            noise_seed_delta: self.ensd,
            discard_penultimate: self.discard_penultimate,
            sgm_noise_multiplier: self.sgm_noise_multiplier,
            quantize: self.quantize,
            s_churn: self.s_churn,
            s_tmin: self.s_tmin,
            s_tmax: self.s_tmax,
            s_noise: self.s_noise,
            sigma_min: self.sigma_min,
            sigma_max: self.sigma_max,
            rho: self.rho,
            beta_alpha: self.beta_alpha,
            beta_beta: self.beta_beta,
            extra_noise: self.extra_noise,
            min_sigma_of_guidance: self.ngms,
            skip_early_guidance: self.skip_early_cfg,
        };
        Some(settings).filter(|settings| *settings != WebUiSettings::default())
    }

    /// Returns the variation of the seed.
    pub fn variation(&self) -> Option<Variation> {
        self.variation_seed.zip(self.variation_strength).map(|(seed, strength)| Variation { seed, strength })
    }
}
