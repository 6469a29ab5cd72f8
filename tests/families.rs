//! Detection of adapters for every known architecture in every naming convention: family, layers and coverage.

use lora_loupe::analysis::{ProblemClass, Report, inspect, inspect_header};
use lora_loupe::model::{Architecture, Component, Family, FamilyId, Module, ModuleSource};
use lora_loupe::num::{host_len, numel};
use pollster::block_on;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Returns a file of rank-1 pairs for these layers, all zeros in F8.
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

/// Returns a file with this metadata.
fn claiming(bytes: &[u8], metadata: Value) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let mut header: serde_json::Map<_, _> = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    header.insert("__metadata__".into(), metadata);
    let text = serde_json::to_vec(&header).expect("a header");
    [&(text.len() as u64).to_le_bytes()[..], &text, &bytes[8 + length..]].concat()
}

fn report(bytes: Vec<u8>) -> Report {
    block_on(inspect("made.safetensors", &bytes, None, None))
}

/// Returns the report from the header alone.
fn header_report(bytes: Vec<u8>) -> Report {
    block_on(inspect_header("made.safetensors", &bytes, None))
}

/// Returns the layers of the denoiser (or language model) that a LoRA pair can change.
fn large(architecture: &Architecture, naming: ModuleSource) -> Vec<(Component, &Module)> {
    let is_denoiser = |component: Component| !component.name().starts_with("text");
    let modules = architecture.modules_of(naming).into_iter();
    modules.filter(|(component, module)| is_denoiser(*component) && module.weight_shape().len() > 1).collect()
}

/// (prefix, separator, source of the module paths, suffixes of the pair, name of the convention)
const SPELLINGS: [(&str, &str, ModuleSource, &str, &str, &str); 6] = [
    ("lora_unet_", "_", ModuleSource::Native, ".lora_down.weight", ".lora_up.weight", "kohya"),
    ("diffusion_model.", ".", ModuleSource::Native, ".lora_A.weight", ".lora_B.weight", "comfy"),
    ("transformer.", ".", ModuleSource::Diffusers, ".lora_A.weight", ".lora_B.weight", "peft_prefixed"),
    ("lora_transformer_", "_", ModuleSource::Diffusers, ".lora_down.weight", ".lora_up.weight", "kohya"),
    ("lycoris_", "_", ModuleSource::Diffusers, ".lora_down.weight", ".lora_up.weight", "lycoris"),
    ("base_model.model.", ".", ModuleSource::Diffusers, ".lora_A.weight", ".lora_B.weight", "peft_plain"),
];

#[test]
fn every_architecture_is_detected_in_every_convention() {
    // Cosmos-Predict2 has the layers of Anima, and part of Kolors those of SDXL: other keys distinguish them.
    let is_distinct = |family: &&str| !matches!(*family, "llm" | "cascade" | "cosmos_predict2");
    let families: Vec<&str> = Architecture::families().filter(is_distinct).collect();
    assert!(families.len() >= 29);
    for family in families {
        for architecture in Architecture::of(family) {
            for (index, (prefix, separator, naming, down, up, convention)) in SPELLINGS.into_iter().enumerate() {
                let modules = large(&architecture, naming);
                let name = |module: &Module| match naming {
                    ModuleSource::Native => module.ldm.clone(),
                    _ => module.path.clone(),
                };
                let key = |module: &Module| format!("{prefix}{}", name(module).replace('.', separator));
                let bytes = file(&modules, key, down, up);
                // The tensor data is the same under every name: read it once.
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
                // diffusers keeps the connectors of LTX-2 in separate files, so they have no name in its transformer.
                assert!(total == covered || architecture.label == "LTX-2" && total > covered, "{what}: {total}");
                assert!(!report.is_refused(), "{what}: {:?}", report.problems);
                let norm = (index == 0).then_some(0.0);
                assert!(report.modules.iter().all(|row| row.norm == norm), "{what}");
            }
        }
    }
}

#[test]
fn stable_cascade_is_detected_by_its_prefix() {
    let architecture = &Architecture::of("cascade")[0];
    let modules = large(architecture, ModuleSource::Native);
    let key = |module: &Module| format!("lora_prior_unet_{}", module.ldm.replace('.', "_"));
    let report = report(file(&modules, key, ".lora_down.weight", ".lora_up.weight"));
    assert_eq!((&*report.base.family, report.modules.len()), ("cascade", modules.len()));
    assert!(report.modules.iter().any(|row| row.path == "prior.down_blocks.0.11.attention.attn.to_q"));
}

#[test]
fn language_models_are_distinguished_by_size() {
    let sizes = Architecture::of("llm");
    for architecture in &sizes {
        let modules = large(architecture, ModuleSource::Native);
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

/// A single transformer block, as in adapters that train few layers.
#[test]
fn a_few_layers_identify_a_model() {
    let check = |family: &str, size: usize, prefix: &str, separator: &str, block: &str, expect: &str| {
        let architecture = &Architecture::of(family)[size];
        let modules: Vec<_> = large(architecture, ModuleSource::Native)
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

/// Text encoders next to the denoiser, numbered as in sd-scripts, OneTrainer and diffusers.
#[test]
fn text_encoders_are_matched_by_number() {
    let check = |family: &str, component: Component, prefix: &str, separator: &str| {
        let architecture = &Architecture::of(family)[0];
        let text: Vec<_> = architecture
            .modules()
            .into_iter()
            .filter(|(of, module)| {
                *of == component && module.weight_shape().len() > 1 && !module.path.contains("embed")
            })
            .collect();
        let denoiser = large(architecture, ModuleSource::Diffusers);
        let all = [&text[..], &denoiser[..]].concat();
        let is_text = |module: &Module| text.iter().any(|(_, text)| std::ptr::eq(*text, module));
        let key = |module: &Module| match is_text(module) {
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

/// Layers that several models share are of any of them, unless the blocks or the header decide.
#[test]
fn files_that_fit_several_models_are_for_any_of_them() {
    let some = |family: &str, size: usize, fits: &dyn Fn(&str) -> bool, metadata: Value| {
        let architecture = &Architecture::of(family)[size];
        let modules: Vec<_> =
            large(architecture, ModuleSource::Native).into_iter().filter(|(_, module)| fits(&module.ldm)).collect();
        let key = |module: &Module| format!("lora_unet_{}", module.ldm.replace('.', "_"));
        header_report(claiming(&file(&modules, key, ".lora_down.weight", ".lora_up.weight"), metadata))
    };
    let check = |report: Report, expect: &str| {
        let names: Vec<&str> =
            [&report.base].into_iter().chain(&report.base.others).map(|base| base.label.as_str()).collect();
        assert_eq!(names.join(" or "), expect, "{:?}", report.base.evidence);
        assert!(report.verdict.contains(&format!(" for {expect}")), "{}", report.verdict);
        report
    };
    let attention = |name: &str| name.contains("_attn.") || name.contains("linear");
    let report = check(some("chroma", 0, &attention, json!({})), "Flux.1 or Chroma");
    assert!(report.base.evidence.iter().any(|line| line.contains("as well, and nothing in the file decides")));
    check(some("chroma", 0, &attention, json!({"modelspec.architecture": "chroma"})), "Chroma");
    check(some("flux1", 0, &attention, json!({"ss_base_model_version": "flux1"})), "Flux.1");
    check(some("flux1", 0, &|name| name.contains("_mod.lin"), json!({})), "Flux.1");
    let few = some("hunyuan_video", 0, &|name| name.starts_with("double_blocks.3.img_attn_proj"), json!({}));
    let others: Vec<&str> = few.base.others.iter().map(|other| other.label.as_str()).collect();
    assert!(others.contains(&"HunyuanVideo") && others.contains(&"Flux.2 Klein 4B"), "{others:?}");
    check(some("cosmos_predict2", 0, &|name| name.contains("self_attn"), json!({})), "Anima or Cosmos-Predict2 2B");
}

/// A model that few LoRAs are made for is evidence only.
#[test]
fn kolors_is_an_unlikely_reading_of_files_for_sdxl() {
    let family = Family::published(FamilyId::Sdxl).expect("a published config");
    let modules = family.modules();
    let attention: Vec<_> = modules.into_iter().filter(|(_, module)| module.path.contains("attn2.to_")).collect();
    let key = |module: &Module| format!("unet.{}", module.path);
    let report = header_report(file(&attention, key, ".lora_A.weight", ".lora_B.weight"));
    assert_eq!((&*report.base.family, report.base.others.len()), ("sdxl", 0));
    assert!(report.base.evidence.iter().any(|line| line.contains("Kolors as well, of which few LoRAs exist")));
}

#[test]
fn metadata_that_contradicts_the_layers_is_reported() {
    let architecture = &Architecture::of("flux1")[0];
    let modules: Vec<_> = large(architecture, ModuleSource::Native);
    let key = |module: &Module| format!("lora_unet_{}", module.ldm.replace('.', "_"));
    let bytes = file(&modules, key, ".lora_down.weight", ".lora_up.weight");
    let is_wrong = |base_model: &str| {
        let report = report(claiming(&bytes, json!({"ss_base_model_version": base_model})));
        report.problems.iter().any(|problem| problem.class == ProblemClass::WrongHeader)
    };
    assert!(is_wrong("sdxl_base_v1-0"));
    assert!(!is_wrong("flux1"));
    assert!(!is_wrong("my own words"));
}
