//! Infotexts: round trips, texts written by other programs, and PNG metadata.

use lora_loupe::pipeline::{
    AdapterChoice, EmbeddingChoice, EmbeddingMention, Hires, Leftover, MaskedAreaSettings, Mention, Origin, Recipe,
    RecipeDraft, Rng, Upscaler, Variation, encode_png, image_texts, is_infotext, read_infotext,
};
use lora_loupe::program::Program;
use lora_loupe::samplers::{SamplerKind, SigmaSpacing, WebUiSettings};
use lora_loupe::text::Emphasis;
use proptest::prelude::*;
use serde_json::json;

fn recipe() -> Recipe {
    let adapters = json!([
        { "name": "ink.safetensors", "sha256": "aa11", "strength": 0.8f32 },
        { "name": "odd: name, v2.pt", "sha256": "bb22", "strength": -1.0, "text_encoder": 0.5 },
    ]);
    let recipe = json!({
        "version": 1, "model": "photon_v1.safetensors", "adapters": adapters,
        "prompt": "a (red:1.3) cat,\nsitting", "negative": "blurry", "seed": 4_294_967_299u64, "steps": 20,
        "guidance": 7.5, "sampler": "dpmpp_2m", "schedule": "karras", "width": 512, "height": 768,
        "rng": "philox", "program": "a1111", "clip_skip": 1, "denoise": 0.55,
    });
    serde_json::from_value(recipe).unwrap()
}

/// Returns the recipe's infotext with hashes, which a recipe does not have.
fn full() -> RecipeDraft {
    let mut info = RecipeDraft::of(&recipe());
    info.model_hash = Some("ec41bd2a82".into());
    info.adapters[0].hash = Some("0123456789ab".into());
    info.adapters[1].hash = Some("ba9876543210".into());
    info
}

/// The draft of a text without any parameter.
fn unset() -> RecipeDraft {
    RecipeDraft { program: Program::A1111, ..RecipeDraft::default() }
}

fn leftovers(info: &RecipeDraft) -> Vec<(&str, &str)> {
    info.leftovers.iter().map(|Leftover { name, value, .. }| (name.as_str(), value.as_str())).collect()
}

#[test]
fn recipes_are_written_in_the_web_uis_format() {
    let expected = format!(
        "a (red:1.3) cat,\nsitting <lora:ink:0.8> <lora:odd name, v2:0.5:-1>\nNegative prompt: blurry\n\
         Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 4294967299, Size: 512x768, \
         Model hash: ec41bd2a82, Model: photon_v1, Denoising strength: 0.55, Clip skip: 2, RNG: NV, \
         Lora hashes: \"ink: 0123456789ab, odd name v2: ba9876543210\", Version: LoRA Loupe {}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(full().to_infotext(), expected);
    assert_eq!(read_infotext(&expected), full());
}

#[test]
fn unusual_values_round_trip() {
    for model in
        [" padded ", "\"quoted\"", "\"half", "a, b: c", "back\\slash\\", "two\nlines\r", "[1, 2]", "{", "é, 日本"]
    {
        let info = RecipeDraft { model: Some(model.into()), ..full() };
        assert_eq!(read_infotext(&info.to_infotext()), info, "{model:?}");
    }
    let unquoted = read_infotext("a\nSteps: 2, Model: \"x\" y, Seed: 3, Model hash: [1] z, CFG scale: 1");
    assert_eq!((unquoted.model.as_deref(), unquoted.model_hash.as_deref()), (Some("\"x\" y"), Some("[1] z")));
    assert_eq!((unquoted.seed, unquoted.guidance), (Some(3), Some(1.0)));
}

#[test]
fn unset_fields_are_not_written() {
    let plain = Recipe { adapters: vec![], negative: None, schedule: None, clip_skip: 0, denoise: None, ..recipe() };
    let text = RecipeDraft::of(&plain).to_infotext();
    for absent in ["Negative", "Clip skip", "Schedule", "hash", "Denoising", "<"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert_eq!(RecipeDraft::of(&plain).clip_skip, Some(1), "the default is not written");
    let torch = Recipe { rng: Rng::Torch, ..plain };
    assert!(RecipeDraft::of(&torch).to_infotext().contains(", RNG: CPU, "));
    assert_eq!(RecipeDraft::default().to_infotext(), "");
}

#[test]
fn plain_prompts_are_written_so_that_the_web_ui_reads_no_weights() {
    let plain = Recipe {
        program: Program::Diffusers,
        prompt: r"a (red) cat [old], \ <b>".into(),
        negative: Some("((x))".into()),
        embeddings: vec![EmbeddingChoice { name: "tired,neg.pt".into(), sha256: "0123456789abcdef".into() }],
        ..recipe()
    };
    let text = RecipeDraft::of(&plain).to_infotext();
    assert!(text.starts_with(r"a \(red\) cat \[old\], \\ <b> <lora:ink"), "{text}");
    assert!(text.contains("\nNegative prompt: \\(\\(x\\)\\)\n"), "{text}");
    assert!(text.contains(", TI hashes: \"tiredneg: 0123456789ab\", "), "{text}");
    let comfyui = Recipe { program: Program::Comfyui, ..plain };
    assert!(RecipeDraft::of(&comfyui).to_infotext().starts_with(r"a (red) cat \[old\], \ <b>"));
}

#[test]
fn only_texts_with_parameters_are_infotexts() {
    assert!(is_infotext(&full().to_infotext()));
    assert!(is_infotext("Steps: 5, Sampler: LCM") && is_infotext("a\nSampler: LCM, Seed: 2, CFG scale: 1"));
    assert!(is_infotext("a cat Negative prompt: b Steps: 5, Sampler: LCM, Seed: 2"), "a site joined the lines");
    for text in ["", "a cat", "a\nSteps: 3", "Bread\nSteps: 3, Time: 20 min, Serves: 4", "{\"Steps\": 3, \"Seed\": 1}"]
    {
        assert!(!is_infotext(text), "{text:?}");
    }
    let joined = read_infotext("a cat Negative prompt: b Steps: 5, Sampler: LCM, Seed: 2");
    assert_eq!((joined.prompt.as_str(), joined.negative.as_str(), joined.steps), ("a cat", "b", Some(5)));
}

#[test]
fn the_upscaler_of_hires_fix_is_a_network_or_interpolates_where_it_worked() {
    let read = |upscaler: &str, size: &str| {
        let info = read_infotext(&format!(
            "a\nSteps: 6, Sampler: Euler, Denoising strength: 0.4, {size}, Hires upscaler: {upscaler}, Size: 512x768"
        ));
        (info.hires.map(|hires| (hires.scale, hires.upscaler, hires.network)), info.leftovers.len())
    };
    let network = Some("RealESRGAN_x4plus".to_owned());
    assert_eq!(read("R-ESRGAN 4x+", "Hires upscale: 2"), (Some((2.0, Upscaler::Pixels, network)), 0));
    assert_eq!(read("Latent (bicubic)", "Hires upscale: 2"), (Some((2.0, Upscaler::Latent, None)), 1));
    assert_eq!(read("Latent", "Hires resize: 1024x1536"), (Some((2.0, Upscaler::Latent, None)), 0));
    assert_eq!(read("Lanczos", "Hires upscale: 2"), (Some((2.0, Upscaler::Pixels, None)), 0));
    assert_eq!(read("Nearest", "Hires upscale: 2"), (Some((2.0, Upscaler::Pixels, None)), 1));
    assert_eq!(read("Latent", "Hires resize: 1024x1024").0, None, "it changes the shape");
}

#[test]
fn strengths_in_the_recipe_override_those_in_the_prompt() {
    let tagged = Recipe { prompt: "a <lora:ink:0.1> cat <lora:lost:0.4:0.2><hypernet:x:1>".into(), ..recipe() };
    let text = RecipeDraft::of(&tagged).to_infotext();
    assert!(
        text.starts_with("a  cat  <lora:ink:0.8> <lora:odd name, v2:0.5:-1> <lora:lost:0.4:0.2>\nNegative"),
        "{text}"
    );
}

#[test]
fn recipes_are_restored_and_missing_adapters_reported() {
    let info = full();
    let mut restored =
        Recipe { prompt: String::new(), steps: 1, width: 64, sampler: SamplerKind::Ddim, rng: Rng::Torch, ..recipe() };
    (restored.schedule, restored.clip_skip, restored.denoise, restored.negative) = (None, 0, None, None);
    let loaded = &recipe().adapters[..1];
    let missing = info.restore(&mut restored, &mut |mention| {
        loaded
            .iter()
            .find(|choice| mention.is_named(&choice.name))
            .cloned()
            .map(|choice| AdapterChoice { strength: 0.0, ..choice })
    });
    let expected = Recipe { model: "photon_v1".into(), adapters: loaded.to_vec(), ..recipe() };
    assert_eq!(restored, expected);
    assert_eq!(missing, [info.adapters[1].clone()]);

    let mut kept = recipe();
    assert_eq!(read_infotext("only a prompt").restore(&mut kept, &mut |_| None), []);
    let expected = Recipe { prompt: "only a prompt".into(), negative: None, adapters: vec![], ..recipe() };
    assert_eq!(kept, expected, "fields missing from the text are kept");
    read_infotext("a\nSteps: 3, Sampler: Euler, RNG: CPU").restore(&mut kept, &mut |_| None);
    assert_eq!((kept.steps, kept.clip_skip, kept.denoise, kept.schedule), (3, 0, None, None));
    let found = AdapterChoice {
        name: "x.pt".into(),
        sha256: "cc".into(),
        strength: 9.0,
        text_encoder: Some(9.0),
        blocks: None,
        hash: None,
    };
    read_infotext("<lora:x:0.5><lora:x:0.5:1>").restore(&mut kept, &mut |_| Some(found.clone()));
    let strengths = kept.adapters.iter().map(|choice| (choice.strength, choice.text_encoder));
    assert_eq!(strengths.collect::<Vec<_>>(), [(0.5, None), (1.0, Some(0.5))]);
}

#[test]
fn mentions_match_files_by_name_or_hash() {
    let mention = Mention {
        name: "odd name, v2".into(),
        text_encoder: 1.0,
        unet: 1.0,
        blocks: None,
        hash: Some("0123456789ab".into()),
        civitai_version: None,
    };
    assert!(mention.is_named("odd: name, v2.safetensors") && mention.is_named("odd name, v2"));
    assert!(!mention.is_named("odd name, v3.safetensors"));
    assert!(mention.has_hash("0123456789abcdef") && mention.has_hash("0123456789ab"));
    assert!(!mention.has_hash("0123456789ac") && !mention.has_hash("0123"));
    assert!(!Mention { hash: Some(String::new()), ..mention.clone() }.has_hash("0123456789ab"));
    assert!(!Mention { hash: None, ..mention }.has_hash("0123456789ab"));
}

#[test]
fn web_ui_1_10_texts_are_read() {
    let info = read_infotext(
        "portrait of a (lighthouse keeper:1.2), storm <lora:ink-wash v2:0.65> <lora:detail:0.2:0.4>\n\
         BREAK\n\
         oil painting\n\
         Negative prompt: lowres, (worst quality:1.4),\n\
         watermark\n\
         Steps: 28, Sampler: DPM++ 2M SDE, Schedule type: Automatic, CFG scale: 5.5, Seed: 3735928559, Size: 832x1216, \
         Model hash: 31e35c80fc, Model: \"sd_xl: base, 1.0\", Denoising strength: 0.4, Clip skip: 2, Hires upscale: 1.5, \
         Hires upscaler: Latent, ADetailer prompt: \"a \\\"face\\\", sharp\\nSteps: 3\", \
         Lora hashes: \"ink-wash v2: 0F1E2D3C4B5A, detail: 1a2b3c4d5e6f\", TI hashes: \"neg: 5e40d722fc3d\", Version: v1.10.1",
    );
    assert_eq!(
        info.prompt,
        "portrait of a (lighthouse keeper:1.2), storm\nBREAK\noil painting".replace("storm", "storm  ")
    );
    assert_eq!(info.negative, "lowres, (worst quality:1.4),\nwatermark");
    let mention = |name: &str, text_encoder, unet, hash: &str| Mention {
        name: name.into(),
        text_encoder,
        unet,
        blocks: None,
        hash: Some(hash.into()),
        civitai_version: None,
    };
    let adapters = [mention("ink-wash v2", 0.65, 0.65, "0f1e2d3c4b5a"), mention("detail", 0.2, 0.4, "1a2b3c4d5e6f")];
    assert_eq!(info.adapters, adapters);
    assert_eq!((info.steps, info.guidance, info.seed), (Some(28), Some(5.5), Some(3_735_928_559)));
    assert_eq!((info.sampler, info.schedule), (Some(SamplerKind::Dpmpp2mSde), Some(SigmaSpacing::Exponential)));
    assert_eq!((info.size, info.denoise, info.clip_skip), (Some((832, 1216)), None, Some(2)));
    assert_eq!((info.model.as_deref(), info.model_hash.as_deref()), (Some("sd_xl: base, 1.0"), Some("31e35c80fc")));
    assert_eq!((info.rng, info.version.as_deref()), (Some(Rng::Philox), Some("v1.10.1")));
    let expected = [("ADetailer prompt", "a \"face\", sharp\nSteps: 3")];
    assert_eq!(info.embeddings, [EmbeddingMention { name: "neg".into(), hash: Some("5e40d722fc3d".into()) }]);
    assert_eq!((info.origin, info.program), (Some(Origin::A1111), Program::A1111));
    let hires = Hires { scale: 1.5, denoise: 0.4, steps: 0, upscaler: Upscaler::Latent, network: None };
    assert_eq!(info.hires, Some(hires));
    assert_eq!(leftovers(&info), expected);
}

#[test]
fn masks_are_of_the_whole_picture_or_only_of_an_area() {
    let area = |text: &str| read_infotext(&format!("a cat\nSteps: 5, Sampler: Euler a, {text}")).masked_area;
    let settings = |padding, blur| Some(MaskedAreaSettings { padding, blur });
    assert_eq!(area("Denoising strength: 0.5"), None);
    assert_eq!(area("Denoising strength: 0.5, Mask blur: 4"), settings(None, 4));
    assert_eq!(area("Mask blur: 7, Inpaint area: Only masked, Masked area padding: 16"), settings(Some(16), 7));
    assert_eq!(area("Inpaint area: Only masked"), settings(Some(32), 0));
    let recipe = Recipe { masked: true, masked_area: settings(None, 4), ..recipe() };
    assert_eq!(read_infotext(&RecipeDraft::of(&recipe).to_infotext()).masked_area, settings(None, 4));
}

#[test]
fn hires_fix_of_unknown_size_is_reported_as_leftovers() {
    let info = read_infotext(
        "a\nSteps: 6, Sampler: Euler, Denoising strength: 0.4, Hires steps: 3, Hires upscaler: Latent, Size: 512x512",
    );
    assert_eq!((&info.hires, info.denoise), (&None, None));
    let expected = [("Hires steps", "3"), ("Hires upscaler", "Latent"), ("Denoising strength", "0.4")];
    assert_eq!(leftovers(&info), expected);
}

#[test]
fn settings_of_the_web_ui_are_read() {
    let text = "a\nSteps: 20, Sampler: Euler, Schedule type: Beta, CFG scale: 7, Seed: 1, Size: 512x512, Eta: 0.5, \
                Variation seed: 18446744073709551615, Variation seed strength: 0.25, Seed resize from: 512x768, \
                ENSD: -31337, Sigma churn: 3, Sigma tmin: 0.1, Sigma tmax: 8, Sigma noise: 1.01, \
                Schedule max sigma: 10, Schedule min sigma: 0.1, Schedule rho: 5, Beta schedule alpha: 0.5, \
                Beta schedule beta: 0.7, Discard penultimate sigma: True, SGM noise multiplier: True, \
                Extra noise: 0.05, NGMS: 2, Skip Early CFG: 0.1";
    let info = read_infotext(text);
    assert_eq!(leftovers(&info), []);
    assert_eq!(info.variation, Some(Variation { seed: u64::MAX, strength: 0.25 }));
    assert_eq!(info.seed_resize, Some((512, 768)));
    let expected = WebUiSettings {
        noise_seed_delta: -31337,
        discard_penultimate: true,
        sgm_noise_multiplier: true,
        s_churn: Some(3.0),
        s_tmin: Some(0.1),
        s_tmax: Some(8.0),
        s_noise: Some(1.01),
        sigma_min: Some(0.1),
        sigma_max: Some(10.0),
        rho: Some(5.0),
        beta_alpha: Some(0.5),
        beta_beta: Some(0.7),
        extra_noise: Some(0.05),
        min_sigma_of_guidance: Some(2.0),
        skip_early_guidance: Some(0.1),
        ..WebUiSettings::default()
    };
    assert_eq!(info.web_ui, Some(expected));
    let mut restored = recipe();
    info.restore(&mut restored, &mut |_| None);
    assert_eq!((restored.web_ui, restored.variation), (info.web_ui, info.variation));
    assert_eq!(read_infotext(&RecipeDraft::of(&restored).to_infotext()).web_ui, info.web_ui);
    restored.check(8).expect("a recipe");

    let info = read_infotext(
        "a\nSteps: 2, Sampler: DDIM, Seed: 1, Eta DDIM: 0.5, Schedule rho: 0, Sigma churn: -1, Variation seed: 3",
    );
    assert_eq!((info.eta, info.web_ui), (Some(0.5), None));
    assert_eq!(leftovers(&info), [("Sigma churn", "-1"), ("Variation seed", "3")]);
}

#[test]
fn schedule_types_in_sampler_names_before_web_ui_1_9_are_read() {
    let read = |sampler: &str| {
        let info = read_infotext(&format!(
            "a\nSteps: 20, Sampler: {sampler}, CFG scale: 7, Seed: 1, Size: 512x512, Tiling: True"
        ));
        assert_eq!(leftovers(&info).last(), Some(&("Tiling", "True")));
        (info.sampler, info.schedule)
    };
    let some = |sampler: &str, schedule| (Some(sampler.parse::<SamplerKind>().expect("a sampler")), schedule);
    assert_eq!(read("Euler a"), some("euler_a", None));
    assert_eq!(read("DPM++ 2M Karras"), some("dpmpp_2m", Some(SigmaSpacing::Karras)));
    assert_eq!(read("DPM++ 2M SDE Exponential"), some("dpmpp_2m_sde", Some(SigmaSpacing::Exponential)));
    assert_eq!(read("DPM++ SDE Karras"), some("dpmpp_sde", Some(SigmaSpacing::Karras)));
    assert_eq!(read("DPM2 a Karras"), some("dpm2_a", Some(SigmaSpacing::Karras)));
    assert_eq!(read("LMS Karras"), some("lms", Some(SigmaSpacing::Karras)));
    assert_eq!(read("PLMS"), some("pndm", None));
    assert_eq!(read("dpmpp_2m_karras"), some("dpmpp_2m", Some(SigmaSpacing::Karras)));
    assert_eq!(read("DPM adaptive"), some("dpm_adaptive", None));
    assert_eq!(read("DPM++ 2M Turbo"), some("dpmpp_2m", Some(SigmaSpacing::Turbo)));
    assert_eq!(read("DDIM CFG++"), some("ddim_cfg_pp", None));
    assert_eq!(read("DPM slow"), (None, None));
    assert_eq!(read("Karras"), (None, None));
}

#[test]
fn automatic_schedule_type_is_the_samplers_default() {
    let read = |sampler: &str, schedule: &str| {
        let text = format!("a\nSteps: 20, Schedule type: {schedule}, Sampler: {sampler}, CFG scale: 7");
        let info = read_infotext(&text);
        (info.schedule, info.leftovers.len())
    };
    assert_eq!(read("DPM++ 2M", "Automatic"), (Some(SigmaSpacing::Karras), 0));
    assert_eq!(read("DPM++ 2M SDE", "Automatic"), (Some(SigmaSpacing::Exponential), 0));
    assert_eq!(read("Euler a", "Automatic"), (Some(SigmaSpacing::Timesteps), 0));
    assert_eq!(read("DDIM", "Automatic"), (None, 0));
    assert_eq!(read("DPM++ 2M", "Uniform"), (Some(SigmaSpacing::Timesteps), 0));
    assert_eq!(read("DPM++ 2M", "Normal"), (Some(SigmaSpacing::Timesteps), 0));
    assert_eq!(read("UniPC", "karras"), (Some(SigmaSpacing::Karras), 0));
    assert_eq!(read("DPM++ 2M Karras", "Exponential"), (Some(SigmaSpacing::Exponential), 0));
    assert_eq!(read("Euler", "Turbo"), (Some(SigmaSpacing::Turbo), 0));
    assert_eq!(read("Euler", "Fast"), (None, 1));
}

#[test]
fn json_values_by_civitai_are_read() {
    let info = read_infotext(
        "a tree <lora:moss:1>\nSteps: 25, Sampler: Euler, CFG scale: 4.0, Seed: 7, Size: 1024x1024, \
         Hashes: {\"model\": \"00AABBCCDD\", \"lora:moss\": \"FFEEDD0011\", \"vae\": \"123\"}, Clip skip: 1, Denoising strength: 0.3, \
         Civitai resources: [{\"type\":\"checkpoint\",\"modelVersionId\":1,\"modelName\":\"A, B\"}], Version: ComfyUI",
    );
    assert_eq!(info.model_hash.as_deref(), Some("00AABBCCDD"));
    assert_eq!(info.adapters[0].hash.as_deref(), Some("ffeedd0011"));
    assert_eq!((info.clip_skip, info.guidance, info.denoise), (Some(1), Some(4.0), Some(0.3)));
    assert_eq!((info.version.as_deref(), info.rng), (Some("ComfyUI"), Some(Rng::Torch)));
    assert_eq!((info.origin, info.model.as_deref()), (Some(Origin::Civitai), Some("A, B")));
    assert_eq!(leftovers(&info), [("Hashes", "vae: \"123\"")]);
}

#[test]
fn incomplete_and_unusual_texts_are_read() {
    let only = read_infotext("just a prompt, with (weights:1.2): and colons");
    assert_eq!(only, RecipeDraft { prompt: "just a prompt, with (weights:1.2): and colons".into(), ..unset() });
    let windows = read_infotext("a\r\nNegative prompt: b\r\n\r\nSteps: 5, Sampler: LCM, Seed: 2\r\n");
    assert_eq!((windows.prompt.as_str(), windows.negative.as_str(), windows.steps), ("a", "b", Some(5)));
    let no_prompt = read_infotext("Negative prompt: b\nSteps: 5, Sampler: LCM, Seed: 2");
    assert_eq!((no_prompt.prompt.as_str(), no_prompt.negative.as_str(), no_prompt.steps), ("", "b", Some(5)));
    let template = read_infotext("a\nSteps: 5, Sampler: LCM, Seed: 2\nTemplate: {a|b}\nloose end");
    assert_eq!((template.prompt.as_str(), template.steps), ("a", Some(5)));
    assert_eq!(leftovers(&template), [("Template", "{a|b}"), ("", "loose end")]);
    let no_steps = read_infotext("a\nSampler: LCM, Seed: 2, CFG scale: 1");
    assert_eq!((no_steps.prompt.as_str(), no_steps.seed), ("a", Some(2)));
    let stairs = read_infotext("a temple\nSteps: worn by feet");
    assert_eq!((stairs.prompt.as_str(), stairs.steps), ("a temple\nSteps: worn by feet", None));
    let hypernet = read_infotext("a<hypernet:anime:0.5>");
    assert_eq!((hypernet.prompt.as_str(), leftovers(&hypernet)), ("a", vec![("hypernet", "anime")]));
    assert_eq!(read_infotext(""), unset());
}

#[test]
fn invalid_values_are_leftovers_with_a_reason() {
    let info = read_infotext(
        "a<lora:x:strong>\nSteps: 20.5, Sampler: DPM slow, CFG scale: inf, Seed: -1, Size: big, Clip skip: 0, \
         RNG: dice, Denoising strength: 2, Lora hashes: \"y: 12, z\", stray, Hashes: {1}, Face restoration: CodeFormer",
    );
    let unread = RecipeDraft { prompt: "a".into(), ..unset() };
    let understood = RecipeDraft { adapters: vec![], leftovers: vec![], rng: None, ..info.clone() };
    assert_eq!(understood, unread);
    let names: Vec<&str> = leftovers(&info).into_iter().map(|pair| pair.0).collect();
    let expected = [
        "lora x",
        "Steps",
        "Sampler",
        "CFG scale",
        "Seed",
        "Size",
        "Clip skip",
        "RNG",
        "Denoising strength",
        "Lora hashes",
        "",
        "Hashes",
        "Face restoration",
        "Lora hashes",
    ];
    assert_eq!(names, expected);
    assert!(info.leftovers.iter().all(|leftover| !leftover.reason.is_empty()));
    assert_eq!(info.leftovers[2].reason, "unsupported sampler");
}

/// Returns a one-pixel PNG with the chunks added by `add`.
fn png(add: impl FnOnce(&mut png::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 1, 1);
    add(&mut encoder);
    encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
    file
}

/// The text of an image under `parameters`.
fn parameters(bytes: &[u8]) -> Option<String> {
    image_texts("a.png", bytes).unwrap().text("parameters").map(str::to_owned)
}

#[test]
fn png_parameters_round_trip() {
    let text = format!("日本, ü {}", full().to_infotext());
    let written = encode_png(&[1, 2, 3], 1, 1, &[("lora-loupe", "{}"), ("parameters", &text)]).unwrap();
    assert_eq!(parameters(&written), Some(text.clone()));
    let latin = png(|encoder| encoder.add_text_chunk("parameters".into(), "ü a".into()).unwrap());
    assert_eq!(parameters(&latin).as_deref(), Some("ü a"));
    let utf8_as_latin: String = text.bytes().map(char::from).collect();
    let wrong = png(|encoder| encoder.add_text_chunk("parameters".into(), utf8_as_latin).unwrap());
    assert_eq!(parameters(&wrong), Some(text));
    let packed = png(|encoder| encoder.add_ztxt_chunk("parameters".into(), "packed ".repeat(50)).unwrap());
    assert_eq!(parameters(&packed), Some("packed ".repeat(50).trim().into()));
    let other = png(|encoder| encoder.add_text_chunk("Comment".into(), "parameters".into()).unwrap());
    assert_eq!(parameters(&other), None);
}

#[test]
fn damaged_pngs_are_read_up_to_the_damage_and_reported() {
    let whole = png(|encoder| encoder.add_text_chunk("parameters".into(), "a cat".into()).unwrap());
    assert_eq!(image_texts("whole.png", &whole).unwrap().problems, [""; 0]);
    let text_end = whole.windows(5).position(|bytes| bytes == b"a cat").unwrap() + 5;
    for end in 0..whole.len() - 12 {
        match image_texts("broken.png", &whole[..end]) {
            Ok(found) => {
                assert_eq!(found.text("parameters"), (end >= text_end).then_some("a cat"), "{end}");
                assert_eq!(found.problems.len(), 1, "{end}");
            }
            Err(error) => assert!(error.to_string().starts_with("broken.png: ") && end < 8, "{end}: {error}"),
        }
    }
    assert!(image_texts("page.png", b"<html>").unwrap_err().to_string().starts_with("page.png: "));
    let bomb = png(|encoder| encoder.add_ztxt_chunk("parameters".into(), "a".repeat(5 << 20)).unwrap());
    let found = image_texts("bomb.png", &bomb).unwrap();
    assert_eq!((found.entries.len(), found.problems.len()), (0, 1), "5 MiB is too large for a text");
}

/// Quadratic time for any of these would take minutes.
#[test]
fn texts_of_100_000_characters_are_read() {
    let parts = [
        "a",
        ":",
        "ab:",
        "ab: 1, ",
        "Steps word ",
        "Steps: 1\n",
        "Negative prompt:\n",
        "ab:\"x,",
        "ab:\"\\\"",
        "ab:[\"ab:[\",",
        "ab:{\"ab\":",
        "ab:[",
        "[",
        "\"",
        "<lora:a:1>",
        "<a:",
        ",",
        "\n",
        "-",
        "é:",
    ];
    for part in parts {
        for start in ["", "Steps: 1, ", "Steps: 1, ab: "] {
            let text = format!("{start}{}", part.repeat(100_000 / part.len()));
            let again = read_infotext(&read_infotext(&text).to_infotext());
            assert!(again.prompt.len() <= text.len());
        }
    }
    let tags = "<lora:a:1>".repeat(5000);
    let text = format!("{tags}\nSteps: 1, Lora hashes: \"{}\"", "a: b, ".repeat(5000));
    assert_eq!(read_infotext(&text).adapters.len(), 5000);
}

fn adapter() -> impl Strategy<Value = Mention> {
    let name = "[a-zA-Z0-9 ._,()é=-]{0,10}[a-z]".prop_filter("named strengths", |name| {
        !name.starts_with("te=") && !name.starts_with("unet=") && !name.starts_with("lbw=")
    });
    let strength = || prop_oneof![-4f32..4.0, Just(1.0), Just(0.0)];
    let blocks = prop::option::of("[A-Z]{2}0[0-9]=0\\.[1-9](,MID=-?[0-9])?");
    (name, strength(), strength(), blocks, prop::option::of("[0-9a-f]{12}")).prop_map(
        |(name, text_encoder, unet, blocks, hash)| Mention {
            name,
            text_encoder,
            unet,
            blocks,
            hash,
            civitai_version: None,
        },
    )
}

prop_compose! {
    fn settings()(
        (noise_seed_delta, [discard_penultimate, sgm_noise_multiplier, quantize]) in (any::<i64>(), any::<[bool; 3]>()),
        numbers in prop::collection::vec(prop::option::of(0.01f64..1.0), 12),
    ) -> WebUiSettings {
        WebUiSettings {
            noise_seed_delta,
            discard_penultimate,
            sgm_noise_multiplier,
            quantize,
            s_churn: numbers[0],
            s_tmin: numbers[1],
            s_tmax: numbers[2],
            s_noise: numbers[3],
            sigma_min: numbers[4],
            sigma_max: numbers[5],
            rho: numbers[6],
            beta_alpha: numbers[7],
            beta_beta: numbers[8],
            extra_noise: numbers[9],
            min_sigma_of_guidance: numbers[10],
            skip_early_guidance: numbers[11],
        }
    }
}

prop_compose! {
    fn infotext()(
        prompt in r"[a-zé(]([a-z0-9 ,.:()\[\]|é\\/\n-]{0,60}[a-z0-9)\]])?",
        negative in r"([a-z(][a-z0-9 ,.:()é\n]{0,40}[a-z)])?",
        adapters in prop::collection::vec(adapter(), 0..4),
        (steps, seed, size, guidance) in (any::<u16>(), any::<u64>(), any::<(u16, u16)>(), -50f32..50.0),
        sampler in prop::option::of(prop::sample::select(SamplerKind::ALL.to_vec())),
        schedule in prop::option::of(prop::sample::select(SigmaSpacing::ALL.to_vec())),
        (model, model_hash) in (prop::option::of(any::<String>()), prop::option::of("[0-9a-f]{10}")),
        (denoise, clip_skip, eta, masked_area) in (prop::option::of(0f64..=1.0), prop::option::of(2usize..13), prop::option::of(0f64..=1.0), prop::option::of((prop::option::of(0usize..1024), 1usize..256))),
        hires in prop::option::of((1.01f64..4.0, 0f64..=1.0, 0usize..90, prop::sample::select(vec![Upscaler::Latent, Upscaler::Pixels]), prop::option::of("[a-zA-Z][a-zA-Z0-9+_ -]{0,20}[a-z0-9+]"))),
        embeddings in prop::collection::btree_map("[a-z][a-z0-9-]{0,8}", "[0-9a-f]{12}", 0..3),
        (emphasis, pad_conds, is_zero_snr) in (prop::sample::select(vec![None, Some(Emphasis::NoNorm), Some(Emphasis::Ignore)]), any::<bool>(), any::<bool>()),
        (rng, version, (web_ui, variation, seed_resize)) in (
            prop::sample::select(vec![Rng::Torch, Rng::Philox, Rng::TorchPhilox]),
            prop::option::of("LoRA Loupe [0-9.]{1,5}"),
            (
                prop::option::of(settings().prop_filter("all defaults", |it| *it != WebUiSettings::default())),
                prop::option::of((any::<u64>(), 0f64..=1.0).prop_map(|(seed, strength)| Variation { seed, strength })),
                prop::option::of((1usize..4096, 1usize..4096)),
            ),
        ),
    ) -> RecipeDraft {
        let lines = |text: String| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        let mut names = std::collections::BTreeSet::new();
        RecipeDraft {
            origin: Some(if version.is_some() { Origin::LoraLoupe } else { Origin::A1111 }),
            program: Program::A1111,
            embeddings: embeddings.into_iter().map(|(name, hash)| EmbeddingMention { name, hash: Some(hash) }).collect(),
            prompt: lines(prompt),
            negative: lines(negative),
            adapters: adapters.into_iter().filter(|adapter| names.insert(adapter.name.replace(',', "").trim().to_owned())).collect(),
            steps: Some(steps.into()),
            sampler,
            schedule,
            guidance: Some(guidance),
            seed: Some(seed),
            size: Some((size.0.into(), size.1.into())),
            model,
            model_hash,
            // With hires fix the field holds the denoising strength of the second pass.
            denoise: denoise.filter(|_| hires.is_none()),
            masked_area: masked_area.map(|(padding, blur)| MaskedAreaSettings { padding, blur }),
            eta,
            hires: hires.map(|(scale, denoise, steps, upscaler, network)| Hires {
                scale,
                denoise,
                steps,
                upscaler,
                network: network.filter(|_| upscaler == Upscaler::Pixels),
            }),
            clip_skip,
            rng: Some(rng),
            web_ui,
            variation,
            seed_resize,
            version,
            emphasis,
            pad_conds,
            zero_snr: is_zero_snr.then_some(true),
            leftovers: vec![],
        }
    }
}

#[test]
fn loras_whose_strength_changes_stay_in_the_prompt() {
    let info = read_infotext("a <lora:ink:0@0,1@0.5> cat <lora:odd:0.5>\nSteps: 3, Emphasis: No norm, Pad conds: True");
    assert_eq!(info.prompt, "a  cat <lora:ink:0@0,1@0.5>");
    assert_eq!(info.adapters.iter().map(|mention| mention.name.as_str()).collect::<Vec<_>>(), ["odd"]);
    assert_eq!((info.emphasis, info.pad_conds), (Some(Emphasis::NoNorm), true));
    assert_eq!(read_infotext(&info.to_infotext()), info);
}

proptest! {
    #[test]
    fn any_infotext_round_trips(info in infotext()) {
        prop_assert_eq!(read_infotext(&info.to_infotext()), info);
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        read_infotext(&text);
    }

    #[test]
    fn any_parameters_are_read_without_a_panic(text in "(Steps: |Size: |Sampler: |Lora hashes: |Hashes: |Negative prompt: |<lora:|[ ab1x:,\"\\\\\\n{}\\[\\]<>é-]){0,40}") {
        let info = read_infotext(&text);
        prop_assert_eq!(info.prompt.trim(), info.prompt.as_str());
        read_infotext(&info.to_infotext());
    }

    #[test]
    fn random_bytes_are_no_image(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(image_texts("x.png", &bytes).is_err());
    }
}
