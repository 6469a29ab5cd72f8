//! Noise, schedules and samplers compared with PyTorch, diffusers and k-diffusion for the same seeds and settings.

use std::fs;
use std::path::PathBuf;

use lora_loupe::samplers::{
    PhiloxNoise, PredictionType, Sampler, SamplerKind, SamplerOptions, ScheduleConfig, ScheduleError, SigmaSpacing,
    TimestepSpacing, TorchNoise,
};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Map, Value};

fn golden(path: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn words(file: &SafeTensors, name: &str) -> Vec<u32> {
    let tensor = file.tensor(name).unwrap();
    tensor.data().chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as u32).collect()
}

/// Returns ‖a - b‖ / ‖b‖; infinite if the lengths differ or a value is NaN.
fn rel_rms(a: &[f32], b: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let ratio = difference / norm(&mut b.iter().map(|b| f64::from(*b)));
    if a.len() != b.len() || ratio.is_nan() { f64::INFINITY } else { ratio }
}

fn max_abs(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn distances_detect_a_difference() {
    assert_eq!(rel_rms(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
    assert!(rel_rms(&[1.0, 2.001], &[1.0, 2.0]) > 1e-4);
    assert_eq!(rel_rms(&[1.0], &[1.0, 2.0]), f64::INFINITY);
    assert_eq!(rel_rms(&[f32::NAN, 2.0], &[1.0, 2.0]), f64::INFINITY);
    assert!(max_abs(&[1.0, 2.001], &[1.0, 2.0]) > 1e-4);
}

/// Parses the number after `label` in the name of a golden: `seed12` -> 12.
fn parse_label(part: &str, label: &str) -> u64 {
    part.strip_prefix(label).and_then(|rest| rest.parse().ok()).unwrap_or_else(|| panic!("{part}: no {label}"))
}

#[test]
fn torch_noise_agrees_with_pytorch() {
    let data = golden("rng/rng.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    let (mut word_count, mut tensor_count) = (0, 0);
    for name in file.names() {
        let parts: Vec<&str> = name.split('.').collect();
        match parts[0] {
            "mt19937_words" => {
                let mut noise = TorchNoise::new(parse_label(parts[1], "seed"));
                let expected = words(&file, name);
                assert_eq!(expected.iter().map(|_| noise.word()).collect::<Vec<_>>(), expected, "{name}");
                word_count += 1;
            }
            "torch" => {
                let expected = floats(&file, name);
                let got = TorchNoise::new(parse_label(parts[1], "seed")).randn(expected.len());
                assert!(max_abs(&got, &expected) <= 3e-6, "{name}");
                tensor_count += 1;
            }
            _ => {}
        }
    }
    assert_eq!((word_count, tensor_count), (6, 93));
}

#[test]
fn torch_noise_continues_across_calls() {
    let data = golden("rng/rng.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    for seed in [0, 1, 42, 1234, 4_294_967_295, 9_007_199_254_740_992] {
        let mut noise = TorchNoise::new(seed);
        for (call, n) in [3, 64, 1, 2, 5, 20, 16, 1].into_iter().enumerate() {
            let name = format!("torch_sequence.seed{seed}.call{call}.n{n}");
            assert!(max_abs(&noise.randn(n), &floats(&file, &name)) <= 3e-6, "{name}");
        }
    }
}

#[test]
fn philox_noise_agrees_with_the_web_ui() {
    let data = golden("rng/rng.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    let mut count = 0;
    for name in file.names() {
        let parts: Vec<&str> = name.split('.').collect();
        if parts[0] == "philox_words" {
            let (seed, call) = (parse_label(parts[1], "seed"), parse_label(parts[2], "call") as u32);
            let got: Vec<u32> = (0..6).flat_map(|index| PhiloxNoise::words(seed, call, index)).collect();
            assert_eq!(got, words(&file, name), "{name}");
        } else if parts[0] == "philox" {
            let expected = floats(&file, name);
            let mut noise = PhiloxNoise::new(parse_label(parts[1], "seed"));
            let mut got = noise.randn(expected.len());
            for _ in 0..parse_label(parts[2], "call") {
                got = noise.randn(expected.len());
            }
            assert!(max_abs(&got, &expected) <= 1e-6, "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 36);
}

#[derive(Deserialize)]
struct Schedulers {
    configs: std::collections::BTreeMap<String, Map<String, Value>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    key: String,
    scheduler: String,
    prediction_type: String,
    spacing: Option<String>,
    steps: usize,
    strength: Option<f64>,
    model_calls: usize,
    init_noise_sigma: Option<f32>,
    noise_tensors_used: usize,
}

impl Schedulers {
    fn read() -> Self {
        serde_json::from_slice(&golden("schedulers/schedulers.json")).unwrap()
    }

    /// Returns the sampler of a case, with the scheduler config of diffusers.
    fn sampler(&self, scheduler: &str, prediction: &str, spacing: Option<&str>, steps: usize) -> Sampler {
        let mut config = self.configs[scheduler].clone();
        config.insert("prediction_type".into(), prediction.into());
        config.insert("timestep_spacing".into(), spacing.into());
        let eta = config["step_kwargs"].get("eta").and_then(Value::as_f64);
        let options = SamplerOptions { eta, ..SamplerOptions::default() };
        let config = ScheduleConfig::from_json(&Value::Object(config).to_string()).unwrap();
        Sampler::new(kind(scheduler), &config, steps, &options).unwrap()
    }
}

/// Parses the name of a golden: a sampler's name and a suffix for a variant of its settings.
fn kind(scheduler: &str) -> SamplerKind {
    let variants = ["_karras", "_exponential", "_eta0.5", "_zero_snr", "_euler_at_final"];
    let name = variants.iter().find_map(|variant| scheduler.strip_suffix(variant)).unwrap_or(scheduler);
    name.parse().unwrap()
}

/// Returns whether the sampler's second call of a step is at a sigma between two steps.
fn calls_inside_steps(kind: SamplerKind) -> bool {
    kind.calls_per_step() == 2 && kind != SamplerKind::Heun
}

/// The function used in place of a model when the goldens were made.
fn mock_model(x: &[f32], t: f32, pattern: &[f32]) -> Vec<f32> {
    let drift = 0.15 * (t / 1000.0 - 0.5);
    x.iter().zip(pattern).map(|(x, pattern)| 0.8 * x / (1.0 + 0.2 * x * x) + drift + 0.2 * pattern).collect()
}

#[test]
fn trajectories_agree_with_diffusers() {
    let data = golden("schedulers/schedulers.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    let schedulers = Schedulers::read();
    let common = |name: &str| floats(&file, &format!("common.{name}"));
    let (initial, pattern, clean, bank) =
        (common("initial_noise"), common("pattern"), common("x0"), common("noise_bank"));
    let n = initial.len();
    for case in &schedulers.cases {
        let key = &case.key;
        let spacing = case.spacing.as_deref();
        let mut sampler = schedulers.sampler(&case.scheduler, &case.prediction_type, spacing, case.steps);
        let start = case.strength.map_or(0, |strength| sampler.start_index(strength));
        assert_eq!(sampler.timesteps().len() - start, case.model_calls, "{key}: calls");

        let timesteps = floats(&file, &format!("{key}.timesteps"));
        let off = max_abs(&sampler.timesteps()[start..], &timesteps);
        assert!(
            off <= 1e-3,
            "{key}: timesteps off by {off}: {:?}, expected {timesteps:?}",
            &sampler.timesteps()[start..]
        );

        let mut sample: Vec<f32> = initial.iter().map(|x| x * sampler.init_noise_sigma()).collect();
        if case.strength.is_some() {
            sample = sampler.add_noise(&clean, &initial, start);
            let off = rel_rms(&sample, &floats(&file, &format!("{key}.noised_start")));
            assert!(off < 1e-5, "{key}: noised start off by {off:e}");
        } else {
            let expected = case.init_noise_sigma.unwrap();
            assert!((sampler.init_noise_sigma() / expected - 1.0).abs() < 1e-4, "{key}: init_noise_sigma");
        }

        let mut noise_count = 0;
        let mut noise = |count: usize| {
            assert_eq!(count, n);
            noise_count += 1;
            bank[(noise_count - 1) * n..noise_count * n].to_vec()
        };
        let samples = floats(&file, &format!("{key}.samples"));
        for (call, expected) in samples.chunks_exact(n).enumerate() {
            let i = start + call;
            let output = mock_model(&sampler.scale_input(i, &sample), sampler.timesteps()[i], &pattern);
            sample = sampler.step(i, &output, &sample, &mut noise);
            let off = rel_rms(&sample, expected);
            assert!(off < 1e-4, "{key}: call {call} off by {off:e}");
        }
        assert_eq!(noise_count, case.noise_tensors_used, "{key}: noise tensors");
    }
}

#[derive(Deserialize)]
struct KCase {
    sampler: SamplerKind,
    schedule: SigmaSpacing,
    xl: bool,
    steps: usize,
    eta: Option<f64>,
    noises: usize,
}

#[test]
fn samplers_and_schedules_not_in_diffusers_agree_with_k_diffusion() {
    let (common, data) = (golden("schedulers/schedulers.safetensors"), golden("schedulers/k_diffusion.safetensors"));
    let (common, file) = (SafeTensors::deserialize(&common).unwrap(), SafeTensors::deserialize(&data).unwrap());
    let common = |name: &str| floats(&common, &format!("common.{name}"));
    let (initial, pattern, bank) = (common("initial_noise"), common("pattern"), common("noise_bank"));
    let n = initial.len();
    let cases: Vec<KCase> = serde_json::from_slice(&golden("schedulers/k_diffusion.json")).unwrap();
    let config =
        ScheduleConfig { timestep_spacing: Some(TimestepSpacing::Linspace), ..ScheduleConfig::stable_diffusion() };
    for (index, case) in cases.iter().enumerate() {
        let key = format!("{} {:?} {} steps, eta {:?}", case.sampler, case.schedule, case.steps, case.eta);
        let options = SamplerOptions {
            eta: case.eta,
            sigma_spacing: Some(case.schedule),
            is_xl: case.xl,
            ..SamplerOptions::default()
        };
        let mut sampler = Sampler::new(case.sampler, &config, case.steps, &options).unwrap();
        let timesteps = floats(&file, &format!("{index}.timesteps"));
        let off = max_abs(sampler.timesteps(), &timesteps);
        assert!(off <= 2e-2, "{key}: timesteps off by {off}: {:?}, expected {timesteps:?}", sampler.timesteps());
        if !calls_inside_steps(case.sampler) {
            let off = rel_rms(&sampler.sigmas(), &floats(&file, &format!("{index}.sigmas")));
            assert!(off < 1e-5, "{key}: sigmas off by {off:e}");
        }
        let mut noise_count = 0;
        let mut noise = |count: usize| {
            assert_eq!(count, n);
            noise_count += 1;
            bank[(noise_count - 1) * n..noise_count * n].to_vec()
        };
        let mut sample: Vec<f32> = initial.iter().map(|x| x * sampler.init_noise_sigma()).collect();
        for i in 0..sampler.timesteps().len() {
            let output = mock_model(&sampler.scale_input(i, &sample), sampler.timesteps()[i], &pattern);
            sample = sampler.step(i, &output, &sample, &mut noise);
        }
        let off = rel_rms(&sample, &floats(&file, &format!("{index}.end")));
        assert!(off < 1e-4, "{key}: off by {off:e}");
        // diffusers also samples noise for the last step of Euler a, and multiplies it by 0.
        let unused_noises = usize::from(case.sampler == SamplerKind::EulerA);
        assert_eq!(noise_count, case.noises + unused_noises, "{key}: noises");
    }
}

#[test]
fn every_sampler_has_goldens() {
    let cases: Vec<KCase> = serde_json::from_slice(&golden("schedulers/k_diffusion.json")).unwrap();
    let schedulers = Schedulers::read().cases.into_iter().map(|case| kind(&case.scheduler));
    let compared: Vec<SamplerKind> = cases.into_iter().map(|case| case.sampler).chain(schedulers).collect();
    // tests/webui.rs has those of the web UIs.
    for kind in SamplerKind::ALL.into_iter().filter(|kind| !kind.is_web_ui_only()) {
        assert!(compared.contains(&kind), "{kind} has no goldens: tests/make/samplers.py makes them");
    }
}

#[test]
fn sigmas_agree_with_diffusers() {
    let data = golden("schedulers/schedulers.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    let schedulers = Schedulers::read();
    let mut count = 0;
    for case in schedulers.cases.iter().filter(|case| case.strength.is_none()) {
        let name = format!("{}.sigmas", case.key);
        if file.tensor(&name).is_err() {
            continue;
        }
        let sampler = schedulers.sampler(&case.scheduler, &case.prediction_type, case.spacing.as_deref(), case.steps);
        let (mut got, mut expected) = (sampler.sigmas(), floats(&file, &name));
        if calls_inside_steps(kind(&case.scheduler)) {
            // The reference lists the sigma of each step twice; every second call is at one of them.
            got = got.into_iter().step_by(2).collect();
            expected = expected.into_iter().step_by(2).take(got.len()).collect();
        }
        assert_eq!(got.len(), expected.len(), "{name}");
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() <= 1e-4 * expected, "{name}: {got}, expected {expected}");
        }
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn add_noise_agrees_with_diffusers() {
    let data = golden("schedulers/schedulers.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    let schedulers = Schedulers::read();
    let (clean, noise) = (floats(&file, "common.x0"), floats(&file, "common.initial_noise"));
    let mut count = 0;
    for name in file.names() {
        let Some((scheduler, index)) = name.split_once(".add_noise.i").filter(|_| !name.ends_with(".t")) else {
            continue;
        };
        let index: usize = index.parse().unwrap();
        let sampler = schedulers.sampler(scheduler, "epsilon", None, 20);
        let t = floats(&file, &format!("{name}.t"))[0];
        assert!((sampler.timesteps()[index] - t).abs() < 1e-3, "{name}: {t}");
        assert!(rel_rms(&sampler.add_noise(&clean, &noise, index), &floats(&file, name)) < 1e-5, "{name}");
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn switching_samplers_keeps_the_models_fields_and_uses_the_samplers_defaults() {
    let sd15 = r#"{"_class_name": "PNDMScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "beta_start": 0.00085, "clip_sample": false, "num_train_timesteps": 1000, "set_alpha_to_one": false,
        "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null}"#;
    let config = ScheduleConfig::from_json(sd15).unwrap();
    let plan = |kind| Sampler::new(kind, &config, 4, &SamplerOptions::default()).unwrap();
    assert_eq!(plan(SamplerKind::Ddim).timesteps(), [751.0, 501.0, 251.0, 1.0]);
    assert_eq!(plan(SamplerKind::Euler).timesteps(), [999.0, 666.0, 333.0, 0.0]);
    let options = SamplerOptions { timestep_spacing: Some(TimestepSpacing::Trailing), ..SamplerOptions::default() };
    let trailing = Sampler::new(SamplerKind::Euler, &config, 4, &options).unwrap();
    assert_eq!(trailing.timesteps(), [999.0, 749.0, 499.0, 249.0]);
    let default = ScheduleConfig::stable_diffusion();
    assert_eq!(ScheduleConfig { prediction_type: Some(PredictionType::Epsilon), ..config.clone() }, default);
}

#[test]
fn timesteps_of_sigma_schedules_are_integers() {
    // diffusers 0.42.1: set_timesteps(4) of DPMSolverMultistepScheduler and UniPCMultistepScheduler. The largest sigma
    // is slightly below that of timestep 999.
    for (spacing, wanted) in [("exponential", [998.0, 538.0, 52.0, 0.0]), ("beta", [998.0, 943.0, 746.0, 0.0])] {
        let mut config = ScheduleConfig::stable_diffusion();
        config.use_exponential_sigmas = Some(spacing == "exponential");
        config.use_beta_sigmas = Some(spacing == "beta");
        for kind in [SamplerKind::Dpmpp2m, SamplerKind::UniPc] {
            let sampler = Sampler::new(kind, &config, 4, &SamplerOptions::default()).unwrap();
            assert_eq!(sampler.timesteps(), wanted, "{spacing} {kind:?}");
            assert_eq!(sampler.init_noise_sigma(), 1.0, "{spacing} {kind:?}");
        }
    }
}

#[test]
fn unsupported_fields_are_reported() {
    let error = |json: &str| ScheduleConfig::from_json(json).unwrap_err().to_string();
    assert!(error(r#"{"thresholding": true}"#).contains("thresholding is true, supported: [false]"));
    assert!(error(r#"{"prediction_type": "flow_prediction"}"#).contains("prediction_type is \"flow_prediction\""));
    assert!(error(r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#).contains("_class_name"));
    assert!(error(r#"{"sigma_min": 0.002}"#).contains("sigma_min"));
    assert!(error("[]").contains("scheduler_config.json is not valid"));
    assert!(ScheduleConfig::from_json(r#"{"lambda_min_clipped": -Infinity, "solver_order": 2}"#).is_ok());
    assert!(error(r#"{"lambda_min_clipped": -5.1}"#).contains("lambda_min_clipped"));
    for number in ["-Infinity", "Infinity", "NaN"] {
        assert!(error(&format!(r#"{{"sigma_max": {number}}}"#)).contains("sigma_max"), "{number}");
        assert!(error(&format!(r#"{{"clip_sample_range": {number}}}"#)).contains("not valid"), "{number}");
    }
    assert!(error(r#"{"lambda_min_clipped": Infinity}"#).contains("lambda_min_clipped"));
    assert!(error(r#"{"beta_start": -Infinity"#).contains("not valid"));
}

#[test]
fn python_infinities_and_nan_are_parsed_outside_strings_only() {
    let error = |json: &str| ScheduleConfig::from_json(json).unwrap_err().to_string();
    assert!(error(r#"{"prediction_type": "-Infinity"}"#).contains("prediction_type is \"-Infinity\""));
    assert!(error(r#"{"prediction_type": "a \" NaN \\"}"#).contains(r#"prediction_type is "a \" NaN \\""#));
    assert!(error(r#"{"prediction_type": "ä\u0022, Infinity"}"#).contains(r#"prediction_type is "ä\", Infinity""#));
    let config =
        ScheduleConfig::from_json(r#"{"note": "from -Infinity to NaN", "x": [NaN, -Infinity], "steps_offset": 1}"#);
    assert_eq!(config.unwrap().steps_offset, Some(1));
}

#[test]
fn invalid_settings_are_refused() {
    let config = ScheduleConfig::stable_diffusion();
    let plan = |kind, config: &ScheduleConfig, steps, options: &SamplerOptions| {
        Sampler::new(kind, config, steps, options).map(|_| ())
    };
    let options = SamplerOptions::default();
    for steps in [0, 1000] {
        assert!(matches!(plan(SamplerKind::Euler, &config, steps, &options), Err(ScheduleError::Steps { .. })));
    }
    for train_steps in [0, 1] {
        let tiny = ScheduleConfig { num_train_timesteps: Some(train_steps), ..config.clone() };
        assert!(matches!(plan(SamplerKind::Ddim, &tiny, 1, &options), Err(ScheduleError::Steps { .. })));
    }
    let karras = SamplerOptions { sigma_spacing: Some(SigmaSpacing::Karras), ..options };
    assert!(matches!(plan(SamplerKind::Ddim, &config, 4, &karras), Err(ScheduleError::SigmaSpacing { .. })));
    let eta = SamplerOptions { eta: Some(0.5), ..options };
    assert!(matches!(plan(SamplerKind::Euler, &config, 4, &eta), Err(ScheduleError::NoEta { .. })));
    let eta = SamplerOptions { eta: Some(1.5), ..options };
    assert!(matches!(plan(SamplerKind::Ddim, &config, 4, &eta), Err(ScheduleError::Eta(_))));
    let restart = plan(SamplerKind::Restart, &config, 4, &options);
    assert!(matches!(restart, Err(ScheduleError::OnlyInWebUis { .. })));
    let kl_optimal = SamplerOptions { sigma_spacing: Some(SigmaSpacing::KlOptimal), ..options };
    assert!(matches!(plan(SamplerKind::Euler, &config, 4, &kl_optimal), Err(ScheduleError::OnlyInWebUis { .. })));
    let zero_snr = ScheduleConfig { rescale_betas_zero_snr: Some(true), ..config.clone() };
    assert!(matches!(plan(SamplerKind::Ddim, &zero_snr, 4, &options), Err(ScheduleError::Unsupported { .. })));
}

#[test]
fn sampler_names_round_trip() {
    for kind in SamplerKind::ALL {
        assert_eq!(kind.to_string().parse::<SamplerKind>().unwrap(), kind);
        assert_eq!(serde_json::from_value::<SamplerKind>(serde_json::to_value(kind).unwrap()).unwrap(), kind);
    }
    assert_eq!("plms".parse::<SamplerKind>().unwrap(), SamplerKind::Pndm);
    let normal = serde_json::from_str::<SigmaSpacing>("\"normal\"").unwrap();
    assert_eq!((normal, serde_json::to_value(normal).unwrap()), (SigmaSpacing::Timesteps, "timesteps".into()));
    let error = "dimd".parse::<SamplerKind>().unwrap_err().to_string();
    assert!(error.starts_with("unknown sampler \"dimd\"; available: ddim, "));
}
