//! Images of AUTOMATIC1111's web UI and of ComfyUI: final latents that the programs' own code computes, and the parts of
//! their noise.

use lora_loupe::program::Program;
use lora_loupe::samplers::{
    BrownianPath, PhiloxNoise, Sampler, SamplerKind, SamplerOptions, ScheduleConfig, SigmaSpacing, TorchNoise,
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

/// Samplers of which no image was recorded.
const NOT_RECORDED: [SamplerKind; 1] = [SamplerKind::Dpmpp2mSdeHeun];

#[test]
fn samplers_that_only_web_uis_have_are_compared() {
    let cases = golden::json("golden/webui/cases.json");
    let cases = cases.as_array().expect("a list").iter();
    let compared: BTreeSet<String> = cases.map(|case| recipe(case).expect("a recipe").sampler.to_string()).collect();
    for kind in SamplerKind::ALL.into_iter().filter(|kind| kind.is_web_ui_only()) {
        assert_eq!(compared.contains(kind.name()), !NOT_RECORDED.contains(&kind), "{kind}");
    }
}

/// The function used in place of a model.
fn mock_model(x: &[f32], t: f32) -> Vec<f32> {
    x.iter().map(|x| 0.8 * x / (1.0 + 0.2 * x * x) + 0.15 * (t / 1000.0 - 0.5)).collect()
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
            for i in first..sampler.timesteps().len() {
                let output = mock_model(&sampler.scale_input(i, &sample), sampler.timesteps()[i]);
                sample = sampler.step(i, &output, &sample, &mut |n: usize| noise.randn(n));
            }
            let what = format!("{program:?} {kind} {spacing:?}, {steps} steps, {strength:?}");
            assert!(sample.iter().all(|value| value.is_finite()), "{what}");
            count += 1;
        }
    }
    assert!(count > 1500, "{count} runs");
}
