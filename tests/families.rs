//! Adapters of every listed network under every spelling: the family, the layers and their places.

use lora_loupe::analysis::{Report, inspect, inspect_header};
use lora_loupe::model::{Architecture, Component, Module, Naming};
use lora_loupe::num::{host_len, numel};
use pollster::block_on;
use std::collections::BTreeSet;

/// A file of rank-1 pairs of F8 zeros for these layers.
fn file(modules: &[(Component, &Module)], key: impl Fn(&Module) -> String, down: &str, up: &str) -> Vec<u8> {
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (_, module) in modules {
        let shape = module.weight_shape();
        for (role, shape) in [(down, [&[1], &shape[1..]].concat()), (up, vec![shape[0], 1])] {
            let shape =
                if role == up { [&shape[..], &vec![1; module.weight_shape().len() - 2]].concat() } else { shape };
            let end = at + host_len(numel(&shape));
            let info = serde_json::json!({"dtype": "F8_E4M3", "shape": shape, "data_offsets": [at, end]});
            header.insert(format!("{}{role}", key(module)), info);
            at = end;
        }
    }
    let text = serde_json::to_vec(&header).expect("a header");
    [&(text.len() as u64).to_le_bytes()[..], &text, &vec![0; at]].concat()
}

fn report(bytes: Vec<u8>) -> Report {
    block_on(inspect("made.safetensors", &bytes, None, None))
}

/// The report from the header alone.
fn header_report(bytes: Vec<u8>) -> Report {
    block_on(inspect_header("made.safetensors", &bytes, None))
}

/// The denoiser's (or language model's) layers that a pair can change.
fn large(architecture: &Architecture, naming: Naming) -> Vec<(Component, &Module)> {
    let own = |component: Component| !component.name().starts_with("text");
    let modules = architecture.modules_of(naming).into_iter();
    modules.filter(|(component, module)| own(*component) && module.weight_shape().len() > 1).collect()
}

/// (prefix, separator, whose names, endings of the pair, the spelling's name)
const SPELLINGS: [(&str, &str, Naming, &str, &str, &str); 6] = [
    ("lora_unet_", "_", Naming::Native, ".lora_down.weight", ".lora_up.weight", "kohya"),
    ("diffusion_model.", ".", Naming::Native, ".lora_A.weight", ".lora_B.weight", "comfy"),
    ("transformer.", ".", Naming::Diffusers, ".lora_A.weight", ".lora_B.weight", "peft_prefixed"),
    ("lora_transformer_", "_", Naming::Diffusers, ".lora_down.weight", ".lora_up.weight", "kohya"),
    ("lycoris_", "_", Naming::Diffusers, ".lora_down.weight", ".lora_up.weight", "lycoris"),
    ("base_model.model.", ".", Naming::Diffusers, ".lora_A.weight", ".lora_B.weight", "peft_plain"),
];

#[test]
fn every_network_is_found_under_every_spelling() {
    // Cosmos-Predict2 has the layers of Anima, a part of Kolors those of SDXL: what tells them apart is elsewhere.
    let apart = |family: &&str| !matches!(*family, "llm" | "cascade" | "cosmos_predict2");
    let families: Vec<&str> = Architecture::families().filter(apart).collect();
    assert!(families.len() >= 29);
    for family in families {
        for architecture in Architecture::of(family) {
            for (index, (prefix, separator, naming, down, up, convention)) in SPELLINGS.into_iter().enumerate() {
                let modules = large(&architecture, naming);
                let name = |module: &Module| match naming {
                    Naming::Native => module.ldm.clone(),
                    _ => module.path.clone(),
                };
                let key = |module: &Module| format!("{prefix}{}", name(module).replace('.', separator));
                let bytes = file(&modules, key, down, up);
                // The numbers are the same under every name: read once.
                let report = if index == 0 { report(bytes) } else { header_report(bytes) };
                let what = format!("{} as {prefix}{separator}", architecture.label);
                assert_eq!(report.base.family, family, "{what}: {:?}", report.base.evidence);
                assert_eq!(report.base.label, architecture.label, "{what}: {:?}", report.base.evidence);
                assert!(report.leftovers.is_empty(), "{what}: {:?}", &report.leftovers[..1]);
                assert_eq!(report.modules.len(), modules.len(), "{what}");
                if !matches!(family, "sdxl_refiner" | "kolors" | "qwen_image") {
                    assert_eq!(report.convention, convention, "{what}");
                }
                let counted = report.coverage.iter().filter(|block| !block.component.starts_with("text"));
                let (covered, total) =
                    counted.fold((0, 0), |(covered, total), block| (covered + block.covered, total + block.total));
                assert_eq!(covered, modules.len(), "{what}");
                // The connectors of LTX-2 stand in files of their own in diffusers, and have no name in its network.
                assert!(total == covered || architecture.label == "LTX-2" && total > covered, "{what}: {total}");
                assert!(!report.refused(), "{what}: {:?}", report.problems);
                let norm = (index == 0).then_some(0.0);
                assert!(report.modules.iter().all(|row| row.norm == norm), "{what}");
            }
        }
    }
}

#[test]
fn stable_cascade_has_its_own_prefix() {
    let architecture = &Architecture::of("cascade")[0];
    let modules = large(architecture, Naming::Native);
    let key = |module: &Module| format!("lora_prior_unet_{}", module.ldm.replace('.', "_"));
    let report = report(file(&modules, key, ".lora_down.weight", ".lora_up.weight"));
    assert_eq!((&*report.base.family, report.modules.len()), ("cascade", modules.len()));
    assert!(report.modules.iter().any(|row| row.path == "prior.down_blocks.0.11.attention.attn.to_q"));
}

#[test]
fn language_models_are_told_by_their_sizes() {
    let sizes = Architecture::of("llm");
    for architecture in &sizes {
        let modules = large(architecture, Naming::Native);
        let attention: Vec<_> = modules
            .iter()
            .filter(|(_, module)| module.path.ends_with("q_proj") || module.path.contains("mlp"))
            .copied()
            .collect();
        let key = |module: &Module| format!("base_model.model.{}", module.path);
        let report = report(file(&attention, key, ".lora_A.weight", ".lora_B.weight"));
        assert_eq!((&*report.base.family, &*report.base.label), ("llm", architecture.label));
        assert_eq!(report.modules.len(), attention.len());
    }
    assert_eq!(sizes.iter().map(|size| size.label).collect::<BTreeSet<_>>().len(), sizes.len());
}

/// One block of a transformer, as adapters for few layers have it.
#[test]
fn a_few_layers_are_enough() {
    let check = |family: &str, size: usize, prefix: &str, separator: &str, block: &str, expect: &str| {
        let architecture = &Architecture::of(family)[size];
        let modules: Vec<_> = large(architecture, Naming::Native)
            .into_iter()
            .filter(|(_, module)| module.ldm.starts_with(block))
            .collect();
        let key = |module: &Module| format!("{prefix}{}", module.ldm.replace('.', separator));
        let report = report(file(&modules, key, ".lora_down.weight", ".lora_up.weight"));
        assert_eq!(report.base.label, expect, "{family} {size}: {:?}", report.base.evidence);
        assert_eq!(report.modules.len(), modules.len());
    };
    check("flux1", 0, "lora_unet_", "_", "double_blocks.3.", "Flux.1");
    check("flux1", 0, "lora_unet_", "_", "single_blocks.37.", "Flux.1");
    check("flux2", 1, "diffusion_model.", ".", "double_blocks.0.", "Flux.2 Klein 9B");
    check("flux2", 2, "diffusion_model.", ".", "double_blocks.0.img_mlp", "Flux.2 Klein 4B");
    check("sd3", 0, "lora_unet_", "_", "joint_blocks.5.", "Stable Diffusion 3 medium");
    check("sd3", 2, "lora_unet_", "_", "joint_blocks.5.", "Stable Diffusion 3.5 large");
    check("wan", 0, "lora_unet_", "_", "blocks.1.", "Wan 2.1 1.3B");
    check("wan", 2, "lora_unet__", "_", "blocks.1.", "Wan 2.1 14B image-to-video");
    check("hunyuan_video", 0, "lora_unet_", "_", "double_blocks.19.", "HunyuanVideo");
    check("z_image", 0, "diffusion_model.", ".", "layers.1.", "Z-Image");
    check("lumina2", 0, "lora_unet_", "_", "layers.1.", "Lumina 2");
    check("anima", 0, "lora_unet_", "_", "blocks.7.", "Anima");
    check("qwen_image", 0, "", ".", "transformer_blocks.2.", "Qwen-Image");
    check("chroma", 0, "lora_unet_", "_", "distilled_guidance_layer.", "Chroma");
}

/// Text encoders beside the denoiser, under sd-scripts', OneTrainer's and diffusers' numbers.
#[test]
fn text_encoders_keep_their_numbers() {
    let check = |family: &str, component: Component, prefix: &str, separator: &str| {
        let architecture = &Architecture::of(family)[0];
        let text: Vec<_> = architecture
            .modules()
            .into_iter()
            .filter(|(of, module)| {
                *of == component && module.weight_shape().len() > 1 && !module.path.contains("embed")
            })
            .collect();
        let denoiser = large(architecture, Naming::Diffusers);
        let all = [&text[..], &denoiser[..]].concat();
        let own = |module: &Module| text.iter().any(|(_, text)| std::ptr::eq(*text, module));
        let key = |module: &Module| match own(module) {
            true => format!("{prefix}{}", module.path.replace('.', separator)),
            false => format!("transformer.{}", module.path),
        };
        let report = report(file(&all, key, ".lora_down.weight", ".lora_up.weight"));
        assert!(report.leftovers.is_empty(), "{family} {prefix}: {:?}", &report.leftovers[..1]);
        let found = report.modules.iter().filter(|row| row.path.starts_with(&format!("{component}."))).count();
        assert_eq!(found, text.len(), "{family} {prefix}");
    };
    check("flux1", Component::TextEncoder, "lora_te1_", "_");
    check("flux1", Component::TextEncoder2, "lora_te2_", "_");
    check("flux1", Component::TextEncoder2, "lora_te3_", "_");
    check("sd3", Component::TextEncoder2, "lora_te2_", "_");
    check("sd3", Component::TextEncoder3, "lora_te3_", "_");
    check("sd3", Component::TextEncoder3, "text_encoders.t5xxl.transformer.", ".");
    check("lumina2", Component::TextEncoder, "lora_te_", "_");
    check("anima", Component::TextEncoder, "lora_te_", "_");
}

#[test]
fn a_header_that_contradicts_the_layers_is_called_wrong() {
    let architecture = &Architecture::of("flux1")[0];
    let modules: Vec<_> = large(architecture, Naming::Native);
    let key = |module: &Module| format!("lora_unet_{}", module.ldm.replace('.', "_"));
    let bytes = file(&modules, key, ".lora_down.weight", ".lora_up.weight");
    let told = |said: &str| {
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
        let mut header: serde_json::Map<_, _> = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
        header.insert("__metadata__".into(), serde_json::json!({"ss_base_model_version": said}));
        let text = serde_json::to_vec(&header).expect("a header");
        let report = report([&(text.len() as u64).to_le_bytes()[..], &text, &bytes[8 + length..]].concat());
        report.problems.iter().any(|problem| problem.class == "wrong_header")
    };
    assert!(told("sdxl_base_v1-0"));
    assert!(!told("flux1"));
    assert!(!told("my own words"));
}
