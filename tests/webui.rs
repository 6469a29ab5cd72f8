//! Images of AUTOMATIC1111's web UI and of ComfyUI: final latents that the programs' own code computes, and the parts of
//! their noise.

use lora_loupe::program::Program;
use lora_loupe::samplers::{
    BrownianPath, Outputs, PhiloxNoise, Sampler, SamplerKind, SamplerOptions, ScheduleConfig, SigmaSpacing, TorchNoise,
    seed_words,
};
use lora_loupe_tests::compare::rel_rms;
use lora_loupe_tests::golden;
use lora_loupe_tests::web_ui::{WebUiCases, recipe, text};
use std::collections::BTreeSet;

/// Limit below which two programs' latents are the same image's.
const SAME: f64 = 1e-3;

#[test]
fn seeds_agree_with_numpy() {
    let sequences = golden::json("golden/webui/brownian.json")["seed_sequences"].clone();
    let number = |value: &serde_json::Value| value.as_u64().expect("an integer");
    let words = |value: &serde_json::Value| -> Vec<u32> {
        value.as_array().expect("a list").iter().map(|word| number(word) as u32).collect()
    };
    let sequences = sequences.as_array().expect("a list");
    assert!(sequences.len() > 5);
    for sequence in sequences {
        let expected = words(&sequence["words"]);
        let found = seed_words(number(&sequence["entropy"]), &words(&sequence["spawn_key"]), expected.len());
        assert_eq!(found, expected, "{sequence}");
    }
}

#[test]
fn brownian_paths_agree_with_torchsde() {
    let paths = golden::json("golden/webui/brownian.json")["paths"].clone();
    let expected = golden::tensors("golden/webui/brownian.safetensors");
    let mut count = 0;
    for path in paths.as_array().expect("a list") {
        let (key, seed) = (text(path, "key"), path["seed"].as_u64().expect("a seed"));
        let number = |value: &serde_json::Value| value.as_f64().expect("a number");
        let shape: Vec<usize> =
            path["shape"].as_array().expect("a shape").iter().map(|axis| number(axis) as usize).collect();
        let len = shape[0] * shape[1] * shape[2];
        let is_philox = path["rng"] == "NV";
        let unit = move |seed: u64| match is_philox {
            true => PhiloxNoise::new(seed).randn(len),
            false => TorchNoise::new(seed).randn(len),
        };
        let mut walked = BrownianPath::new(seed, (number(&path["start"]), number(&path["end"])), Box::new(unit));
        for (index, query) in path["queries"].as_array().expect("queries").iter().enumerate() {
            let expected = &expected[&format!("{key}.q{index}")].data;
            let distance = rel_rms(&walked.noise(number(&query[0]), number(&query[1])), expected);
            assert!(distance < 1e-5, "{key} {query}: {distance:.1e}");
            count += 1;
        }
    }
    assert!(count > 20, "{count} queries");
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn images_are_those_of_the_web_uis() {
    let mut folder = WebUiCases::open(&golden::path("golden/webui"), &golden::path("golden/pipelines"));
    let cases = folder.cases.clone();
    let mut different = Vec::new();
    for case in &cases {
        let (latents, expected) = folder.latents(case).unwrap_or_else(|error| panic!("{}: {error}", text(case, "id")));
        let distance = rel_rms(&latents, &expected);
        if distance >= SAME {
            different.push(format!("{} by {distance:.1e}", text(case, "id")));
        }
    }
    assert!(different.is_empty(), "of {} images, these differ: {different:#?}", cases.len());
}

/// Samplers of which neither an image nor a run was recorded.
const NOT_RECORDED: [SamplerKind; 1] = [SamplerKind::Dpmpp2mSdeHeun];

#[test]
fn samplers_that_only_web_uis_have_are_compared() {
    let cases = golden::json("golden/webui/cases.json");
    let images =
        cases.as_array().expect("a list").iter().map(|case| recipe(case).expect("a recipe").sampler.to_string());
    let runs = golden::json("golden/webui/samplers.json");
    let runs = runs.as_array().expect("a list").iter().map(|case| text(case, "sampler").to_owned());
    let compared: BTreeSet<String> = images.chain(runs).collect();
    for kind in SamplerKind::ALL.into_iter().filter(|kind| kind.is_web_ui_only()) {
        assert_eq!(compared.contains(kind.name()), !NOT_RECORDED.contains(&kind), "{kind}");
    }
}

/// The function used in place of a model.
fn mock_model(x: &[f32], t: f32) -> Vec<f32> {
    x.iter().map(|x| 0.8 * x / (1.0 + 0.2 * x * x) + 0.15 * (t / 1000.0 - 0.5)).collect()
}

/// Returns the sampler of a case of `samplers.json`.
fn sampler_of(case: &serde_json::Value) -> Sampler {
    let field = |name: &str| case.get(name).cloned().unwrap_or_default();
    let options = SamplerOptions {
        program: text(case, "program").parse().expect("a program"),
        sigma_spacing: serde_json::from_value(field("schedule")).expect("a schedule"),
        eta: field("eta").as_f64(),
        settings: serde_json::from_value::<Option<_>>(field("settings")).expect("settings").unwrap_or_default(),
        ..SamplerOptions::default()
    };
    let steps = field("steps").as_u64().expect("steps") as usize;
    let kind = text(case, "sampler").parse().expect("a sampler");
    let is_timestep_based = !SamplerKind::has_sigma_spacing(kind);
    let sigma_spacing = options.sigma_spacing.filter(|_| !is_timestep_based);
    let options = SamplerOptions { sigma_spacing, ..options };
    Sampler::new(kind, &ScheduleConfig::stable_diffusion(), steps, &options).expect("a sampler")
}

#[test]
fn samplers_agree_with_k_diffusion_and_their_formulas() {
    let cases = golden::json("golden/webui/samplers.json");
    let floats = |value: &serde_json::Value| -> Vec<f32> {
        value.as_array().expect("numbers").iter().map(|value| value.as_f64().expect("a number") as f32).collect()
    };
    for case in cases.as_array().expect("a list") {
        let mut sampler = sampler_of(case);
        if let Some(sigmas) = case.get("sigmas") {
            assert!(rel_rms(&sampler.sigmas(), &floats(sigmas)) < 1e-6, "{case}: {:?}", sampler.sigmas());
            continue;
        }
        let mut noise = TorchNoise::new(2);
        let mut noise = |n: usize| noise.randn(n);
        let sample = sampler.start(None, &TorchNoise::new(1).randn(16), 0);
        let mut sample = sampler.begin(sample, &mut noise);
        let mut i = 0;
        while i < sampler.timesteps().len() {
            let guided = mock_model(&sampler.scale_input(i, &sample), sampler.timesteps()[i]);
            let negative: Vec<f32> = guided.iter().map(|value| 0.9 * value + 0.05).collect();
            sample = sampler.step(i, Outputs { guided: &guided, negative: &negative }, &sample, &mut noise);
            i += 1;
        }
        let timesteps = floats(&case["timesteps"]);
        assert_eq!(sampler.timesteps().len(), timesteps.len(), "{case}");
        let furthest = sampler.timesteps().iter().zip(&timesteps).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let distance = rel_rms(&sample, &floats(&case["end"]));
        assert!(furthest < 0.02 && distance < 1e-4, "{case}: timesteps {furthest}, {distance:.1e}");
    }
}

#[test]
fn every_sampler_and_schedule_of_the_web_uis_ends_in_finite_latents() {
    let config = ScheduleConfig::stable_diffusion();
    let initial = TorchNoise::new(1).randn(16);
    let programs = [Program::A1111, Program::Comfyui].into_iter();
    let runs = programs.flat_map(|program| SamplerKind::ALL.map(|kind| (program, kind)));
    let runs = runs.flat_map(|(program, kind)| SigmaSpacing::ALL.map(|spacing| (program, kind, spacing)));
    let mut count = 0;
    for (program, kind, spacing) in runs {
        for (steps, strength) in [(1, None), (2, None), (3, Some(1.0)), (11, Some(0.05)), (20, None), (40, Some(0.5))] {
            let options =
                SamplerOptions { program, sigma_spacing: Some(spacing), strength, ..SamplerOptions::default() };
            // Samplers that the program lacks run as in diffusers, which has no such schedule types.
            let Ok(mut sampler) = Sampler::new(kind, &config, steps, &options) else { continue };
            let first = strength.map_or(0, |strength| sampler.start_index(strength));
            let clean = strength.map(|_| vec![0.5; initial.len()]);
            let mut sample = sampler.start(clean.as_deref(), &initial, first);
            let mut noise = TorchNoise::new(2);
            let mut i = first;
            while i < sampler.timesteps().len() {
                let output = mock_model(&sampler.scale_input(i, &sample), sampler.timesteps()[i]);
                sample = sampler.step(i, &output, &sample, &mut |n: usize| noise.randn(n));
                i += 1;
            }
            let what = format!("{program:?} {kind} {spacing:?}, {steps} steps, {strength:?}");
            assert!(sample.iter().all(|value| value.is_finite()), "{what}");
            count += 1;
        }
    }
    assert!(count > 1500, "{count} runs");
}
