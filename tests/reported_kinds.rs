//! The rest of the kinds of files that people reported, beside reported_files.rs: headers that agree with the layers, scales
//! outside of tensors, converters of diffusers, models that only other programs run, versions of InvokeAI, ComfyUI and Forge,
//! renamed copies, alphas of 0, the names of torch.compile, and models with equal layers.
//!
//! What a program does with a file was seen by running it (diffusers 0.42.1 with peft 0.21.2) or is recorded for files of the
//! kind (golden/loaders).

use lora_loupe::analysis::{
    FileKind, LoaderStatus, LoaderVerdict, ProblemClass, Relation, Report, compare, explain_log, inspect,
    inspect_header,
};
use lora_loupe::edit::{AlphaPlace, ConvertOptions, Edit, EditInput, Fix, FixId, Target, apply, fixes};
use lora_loupe::model::{Architecture, ModuleSource};
use lora_loupe_tests::containers::{Entry, entry, safetensors};
use lora_loupe_tests::edits::{changes, converted, open, same};
use lora_loupe_tests::loader_cases::CaseFile;
use pollster::block_on;
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;

fn report(file: &CaseFile) -> Report {
    block_on(inspect_header("made.safetensors", file, file.config.as_deref()))
}

fn verdict<'a>(report: &'a Report, loader: &str) -> &'a LoaderVerdict {
    report.loaders.iter().find(|verdict| verdict.loader == loader).expect("a verdict")
}

fn status(report: &Report, loader: &str) -> (String, usize) {
    let verdict = verdict(report, loader);
    let status = serde_json::to_value(verdict.status).expect("a word");
    (status.as_str().expect("a word").into(), verdict.applied)
}

/// Suffixes of the tensors of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stored {
    /// As PEFT stores a LoRA.
    Peft,
    /// With PEFT's name of the adapter.
    Named,
    /// As sd-scripts stores a LoRA.
    Kohya,
    /// LoKr with a factored second matrix.
    Lokr,
    /// LoKr of two full matrices.
    FullLokr,
    Ia3,
    Full,
}

impl Stored {
    fn tensors(self, outputs: usize, inputs: usize) -> Vec<(&'static str, Vec<usize>)> {
        match self {
            Stored::Peft => vec![(".lora_A.weight", vec![2, inputs]), (".lora_B.weight", vec![outputs, 2])],
            Stored::Named => {
                vec![(".lora_A.default.weight", vec![2, inputs]), (".lora_B.default.weight", vec![outputs, 2])]
            }
            Stored::Kohya => {
                vec![(".lora_down.weight", vec![2, inputs]), (".lora_up.weight", vec![outputs, 2]), (".alpha", vec![])]
            }
            Stored::Lokr => vec![
                (".lokr_w1", vec![4, 4]),
                (".lokr_w2_a", vec![outputs / 4, 2]),
                (".lokr_w2_b", vec![2, inputs / 4]),
                (".alpha", vec![]),
            ],
            Stored::FullLokr => {
                vec![(".lokr_w1", vec![4, 4]), (".lokr_w2", vec![outputs / 4, inputs / 4]), (".alpha", vec![])]
            }
            Stored::Ia3 => vec![(".weight", vec![outputs]), (".on_input", vec![])],
            Stored::Full => vec![(".diff", vec![outputs, inputs])],
        }
    }
}

/// Returns a file of layers: pattern of the stems, and (outputs, inputs).
fn file(metadata: Value, stored: Stored, layers: &[(&str, usize, usize)]) -> CaseFile {
    let mut tensors = Map::new();
    for (stem, outputs, inputs) in layers {
        let of_layer = stored.tensors(*outputs, *inputs).into_iter();
        tensors.extend(of_layer.map(|(suffix, shape)| (format!("{stem}{suffix}"), json!(["BF16", shape]))));
    }
    CaseFile::of(&json!({"metadata": metadata, "tensors": tensors}))
}

fn fixes_of(file: &CaseFile, report: &Report) -> Vec<Fix> {
    block_on(fixes(&EditInput::file("made.safetensors", file, None), report)).expect("an adapter")
}

/// A header that names the model of the layers, or a model that is not known here, is right: no fix changes it, and no
/// guess from marks overrules it.
#[test]
fn a_header_that_nothing_disproves_is_kept() {
    let metadata = |words: &str| json!({"ss_base_model_version": words, "modelspec.architecture": words});
    for (words, stored, stem, outputs, inputs, family) in [
        ("z_image", Stored::FullLokr, "diffusion_model.layers.{0-29}.attention.to_q", 3840, 3840, "z_image"),
        ("flux1", Stored::FullLokr, "diffusion_model.double_blocks.{0-18}.img_attn.proj", 3072, 3072, "flux1"),
        (
            "hunyuan_video",
            Stored::Lokr,
            "diffusion_model.double_blocks.{0-19}.img_attn.proj",
            3072,
            3072,
            "hunyuan_video",
        ),
        // Marks of Flux.2 and of language models, at widths that none of them has.
        ("novelty-dit", Stored::Peft, "diffusion_model.double_blocks.{0-5}.img_attn.mystery", 1000, 1000, "unknown"),
        ("novelty-dit", Stored::Peft, "diffusion_model.layers.{0-5}.mystery_proj", 1000, 1000, "unknown"),
        ("novelty-dit", Stored::FullLokr, "lycoris_transformer_blocks_{0-5}_attn_mystery", 1000, 1000, "unknown"),
    ] {
        let file = file(metadata(words), stored, &[(stem, outputs, inputs)]);
        let report = report(&file);
        assert_eq!(report.base.family, family, "{words}, {stem}: {}", report.verdict);
        assert!(!report.problems.iter().any(|problem| problem.class == ProblemClass::WrongHeader), "{words}, {stem}");
        let edits_header = |fix: &Fix| matches!(fix.edit, Edit::Metadata(_));
        assert!(!fixes_of(&file, &report).iter().any(edits_header), "{words}, {stem}");
        let quoted = |line: &str| line.contains(words);
        assert!(family != "unknown" || report.base.evidence.iter().any(|line| quoted(line)), "{words}, {stem}");
    }
}

/// An alpha in the header counts for every network of the file. Programs that do not read it are named with the strength
/// that helps there, and conversions keep the true strength.
#[test]
fn alphas_in_the_header_count_everywhere() {
    let stem = "transformer.layers.0.feed_forward.w1";
    let tensors: Vec<Entry> =
        vec![entry(&format!("{stem}.lora_A.weight"), &[2, 3840]), entry(&format!("{stem}.lora_B.weight"), &[10240, 2])];
    let metadata = json!({"transformer.r": 2, "transformer.lora_alpha": 8}).to_string();
    let bytes = safetensors(&[("lora_adapter_metadata", &metadata)], &tensors);
    let report = block_on(inspect("made.safetensors", &bytes, None, None));
    assert!(report.modules.iter().all(|row| row.scale == 4.0 && row.alpha == Some(8.0)), "{:?}", report.modules);
    for loader in ["comfyui", "invokeai", "diffusers"] {
        let verdict = verdict(&report, loader);
        let note = verdict.strength_note.clone().unwrap_or_default().text;
        let says = note.contains("0.25 times the intended one; use strength 4");
        assert_eq!((verdict.status, says), (LoaderStatus::Applied, loader != "diffusers"), "{loader}: {note}");
    }
    let flux = json!({"transformer.r": 2, "transformer.lora_alpha": 1}).to_string();
    let of_flux = file(
        json!({"lora_adapter_metadata": flux}),
        Stored::Peft,
        &[("transformer.single_transformer_blocks.{0-37}.proj_mlp", 12288, 3072)],
    );
    let of_flux = block_on(inspect("made.safetensors", &of_flux, None, None));
    let note = verdict(&of_flux, "forge").strength_note.clone().unwrap_or_default().text;
    assert!(note.contains("2 times the intended one; use strength 0.5"), "{note}");
    let opened = open("made", &bytes, None);
    let want = changes(&opened);
    for (to, alpha) in [
        (Target::Kohya, AlphaPlace::Usual),
        (Target::Peft, AlphaPlace::Usual),
        (Target::Peft, AlphaPlace::Baked),
        (Target::Aitoolkit, AlphaPlace::Usual),
        (Target::Onetrainer, AlphaPlace::Kept),
    ] {
        let options = ConvertOptions { to: Some(to), alpha, ..ConvertOptions::default() };
        let (written, _) = converted(&opened, &options).expect("a file");
        same(&format!("{to:?} {alpha:?}"), &changes(&open("written", &written, None)), &want, 1e-6);
    }
    // A plain key of the header, which no known program reads, is told with the strength that it would mean.
    let plain = safetensors(&[("lora_alpha", "8")], &tensors);
    let plain = block_on(inspect("made.safetensors", &plain, None, None));
    let told = plain.problems.iter().find(|problem| problem.class == ProblemClass::AmbiguousAlpha).expect("a problem");
    assert!(told.message.contains("lora_alpha is 8") && told.message.contains("use strength 4"), "{}", told.message);
}

/// Each of these files was loaded with diffusers 0.42.1.
#[test]
fn diffusers_has_a_converter_for_each_spelling_or_not() {
    use Stored::{FullLokr, Kohya, Named, Peft};
    for (stem, stored, outputs, inputs, family, expect) in [
        ("diffusion_model.double_blocks.0.img_attn.proj", FullLokr, 3072, 3072, "flux2", "applied"),
        ("diffusion_model.layers.0.attention.to_q", FullLokr, 3840, 3840, "z_image", "applied"),
        ("lora_unet_double_blocks_0_img_attn_proj", Kohya, 3072, 3072, "chroma", "applied"),
        ("diffusion_model.blocks.0.self_attn.q_proj", Peft, 2048, 2048, "anima", "applied"),
        ("lora_unet_blocks_0_self_attn_q_proj", Kohya, 2048, 2048, "anima", "ignored"),
        ("transformer.transformer_blocks.0.attn.to_q", Kohya, 3072, 3072, "flux1", "applied"),
        ("transformer.transformer_blocks.0.attn.to_q", Kohya, 3072, 3072, "chroma", "applied"),
        ("transformer.transformer_blocks.0.attn.to_q", Kohya, 3072, 3072, "qwen_image", "refused"),
        ("transformer.layers.0.attention.to_q", Kohya, 3840, 3840, "z_image", "refused"),
        ("transformer.transformer_blocks.0.attn.to_q", Kohya, 3072, 3072, "flux2", "ignored"),
        ("diffusion_model.double_blocks.0.img_attn.proj", Peft, 3072, 3072, "flux1", "ignored"),
        ("base_model.model.double_blocks.0.img_attn.proj", Peft, 3072, 3072, "flux1", "refused"),
        ("diffusion_model.double_blocks.0.img_attn.proj", Peft, 3072, 3072, "chroma", "ignored"),
        ("base_model.model.double_blocks.0.img_attn.proj", Peft, 3072, 3072, "chroma", "refused"),
        ("lora_unet_double_blocks_0_img_attn_proj", Kohya, 3072, 3072, "hunyuan_video", "ignored"),
        ("transformer_blocks.0.attn.to_q", Named, 3072, 3072, "qwen_image", "applied"),
        ("diffusion_model.layers.0.attention.qkv", Peft, 11520, 3840, "z_image", "refused"),
    ] {
        let said = json!({"ss_base_model_version": family});
        let report = report(&file(said, stored, &[(stem, outputs, inputs)]));
        assert_eq!(report.base.family, family, "{stem}: {}", report.verdict);
        let found = status(&report, "diffusers");
        assert_eq!(found.0, expect, "{stem} of {family}: {:?}", verdict(&report, "diffusers"));
        let log = verdict(&report, "diffusers").log.clone().unwrap_or_default();
        assert!(!log.contains("UNet2DConditionModel"), "{stem} of {family}: {log}");
    }
}

/// diffusers' converter for Wan reads alphas of the blocks only, and wants a block (diffusers 0.42.1, each run).
#[test]
fn alphas_beside_the_blocks_of_wan_are_refused() {
    let block = ("diffusion_model.blocks.{0-29}.self_attn.q", 1536, 1536);
    for (what, stored, layers, expect) in [
        ("a block", Stored::Kohya, &[block][..], "applied"),
        ("the head with an alpha", Stored::Kohya, &[block, ("diffusion_model.head.head", 64, 1536)], "refused"),
        ("a time layer", Stored::Kohya, &[block, ("diffusion_model.time_embedding.0", 1536, 256)], "refused"),
        ("the head without", Stored::Peft, &[block, ("diffusion_model.head.head", 64, 1536)], "applied"),
        ("the head alone", Stored::Peft, &[("diffusion_model.head.head", 64, 1536)], "refused"),
    ] {
        let report = report(&file(json!({"ss_base_model_version": "wan2.1"}), stored, layers));
        assert_eq!(report.base.family, "wan", "{what}: {}", report.verdict);
        assert_eq!(status(&report, "diffusers").0, expect, "{what}: {:?}", verdict(&report, "diffusers"));
    }
}

/// Models that this program does not run: ComfyUI applies the whole file, and what it contains is told.
#[test]
fn models_that_only_other_programs_run_are_described() {
    let families = [
        "ltxv",
        "ltx2",
        "hidream",
        "krea2",
        "auraflow",
        "pixart",
        "hunyuan_dit",
        "mochi",
        "omnigen2",
        "hunyuan_video15",
        "hunyuan_image",
    ];
    for family in families {
        let architecture = &Architecture::of(family)[0];
        let modules = architecture.modules_of(ModuleSource::Native);
        let linear = modules.iter().filter(|(component, module)| {
            component.is_denoiser() && module.weight_shape().len() == 2 && module.ldm.contains(".0.")
        });
        let layers: Vec<(String, usize, usize)> = linear
            .map(|(_, module)| {
                let shape = module.weight_shape();
                (format!("diffusion_model.{}", module.ldm), shape[0], shape[1])
            })
            .collect();
        let layers: Vec<(&str, usize, usize)> =
            layers.iter().map(|(stem, outputs, inputs)| (stem.as_str(), *outputs, *inputs)).collect();
        let report = report(&file(json!({}), Stored::Kohya, &layers));
        assert_eq!((&*report.base.family, report.kind), (family, FileKind::Adapter), "{}", report.verdict);
        assert!(!report.is_refused(), "{family}: {:?}", report.problems);
        assert_eq!((&*report.algorithms, report.modules.len()), (&["lora".to_owned()][..], layers.len()), "{family}");
        assert!(report.modules.iter().all(|row| row.rank == Some(2)), "{family}");
        assert_eq!(status(&report, "comfyui"), ("applied".into(), layers.len()), "{family}");
    }
}

/// A log line about a key that the file has is not about another file, though the key looks like a model's.
#[test]
fn lines_about_keys_that_end_like_weights_are_explained() {
    let tensors: Map<String, Value> = Map::from_iter([(
        "transformer.layers.{0-29}.attention.to_{1-9}.oft_R.weight".into(),
        json!(["BF16", [120, 496]]),
    )]);
    let report = report(&CaseFile::of(&json!({"metadata": {}, "tensors": tensors})));
    let line = "lora key not loaded: transformer.layers.3.attention.to_2.oft_R.weight";
    let found = explain_log(&report, line).expect("a known line");
    assert!(!found.reason.contains("another file"), "{}", found.reason);
}

/// InvokeAI 6.14: what it identifies, and what it takes for another model.
#[test]
fn invokeai_identifies_what_it_runs() {
    use Stored::{Full, FullLokr, Ia3, Kohya, Lokr, Named, Peft};
    let attention = ["q", "k", "v", "o"].map(|part| format!("diffusion_model.blocks.{{0-39}}.cross_attn.{part}"));
    let image = ["k_img", "v_img"].map(|part| format!("diffusion_model.blocks.{{0-39}}.cross_attn.{part}"));
    let layers: Vec<(&str, usize, usize)> =
        attention.iter().chain(&image).map(|stem| (stem.as_str(), 5120, 5120)).collect();
    let image_to_video = report(&file(json!({}), Peft, &layers));
    assert_eq!(image_to_video.base.label, "Wan 2.1 14B image-to-video");
    assert_eq!(status(&image_to_video, "invokeai"), ("partly".into(), 160));
    const K: &str = "lora_unet_down_blocks_0_attentions_{0-1}_transformer_blocks_0_attn2_to_k";
    for (what, stem, stored, outputs, inputs, family, expect) in [
        ("musubi's Klein", "lora_unet_double_blocks_{0-7}_img_attn_proj", Kohya, 4096, 4096, "flux2", "applied"),
        ("DiffSynth's Qwen-Image", "transformer_blocks.{0-59}.attn.to_q", Named, 3072, 3072, "qwen_image", "applied"),
        ("OneTrainer's Z-Image", "transformer.layers.{0-29}.attention.to_q", Kohya, 3840, 3840, "z_image", "applied"),
        (
            "full LoKr of SDXL",
            "lora_unet_input_blocks_4_1_transformer_blocks_{0-1}_attn2_to_k",
            FullLokr,
            640,
            2048,
            "sdxl",
            "applied",
        ),
        ("factored LoKr of SD 1.x", K, Lokr, 320, 768, "sd15", "refused"),
        ("(IA)³ of SD 1.x", K, Ia3, 320, 768, "sd15", "refused"),
        ("full changes of outputs of SD 1.x", &K.replace("to_k", "to_out_0"), Full, 320, 320, "sd15", "refused"),
        ("Chroma", "diffusion_model.double_blocks.{0-18}.img_attn.proj", Peft, 3072, 3072, "chroma", "refused"),
        (
            "HunyuanVideo",
            "diffusion_model.double_blocks.{0-19}.img_attn.proj",
            Peft,
            3072,
            3072,
            "hunyuan_video",
            "refused",
        ),
        ("Lumina 2", "transformer.layers.{0-25}.feed_forward.linear_1", Peft, 9216, 2304, "lumina2", "refused"),
    ] {
        let said = json!({"ss_base_model_version": family});
        let report = report(&file(said, stored, &[(stem, outputs, inputs)]));
        assert_eq!(report.base.family, family, "{what}: {}", report.verdict);
        assert_eq!(status(&report, "invokeai").0, expect, "{what}: {:?}", verdict(&report, "invokeai"));
    }
}

/// Details of ComfyUI 0.33 and of Forge.
#[test]
fn comfyui_and_forge_differ_in_details() {
    let chroma = report(&file(
        json!({"ss_base_model_version": "chroma"}),
        Stored::Peft,
        &[
            ("transformer.transformer_blocks.{0-18}.attn.to_q", 3072, 3072),
            ("transformer.distilled_guidance_layer.layers.{0-4}.linear_1", 5120, 5120),
        ],
    ));
    assert_eq!((&*chroma.base.family, chroma.modules.len()), ("chroma", 24), "{}", chroma.verdict);
    assert_eq!(status(&chroma, "comfyui"), ("partly".into(), 19));
    for (what, stem, outputs, inputs, family) in [
        ("Chroma", "diffusion_model.double_blocks.{0-18}.img_attn.proj", 3072, 3072, "chroma"),
        ("SD 3.5 large", "lora_unet_joint_blocks_{0-37}_x_block_attn_proj", 2432, 2432, "sd3"),
        ("the T5 of Flux.1", "lora_te3_encoder_block_{0-23}_layer_0_SelfAttention_q", 4096, 4096, "flux1"),
    ] {
        let report = report(&file(json!({"ss_base_model_version": family}), Stored::Kohya, &[(stem, outputs, inputs)]));
        assert_eq!(report.base.family, family, "{what}: {}", report.verdict);
        for loader in ["comfyui", "forge"] {
            assert_eq!(status(&report, loader).0, "applied", "{what}: {:?}", verdict(&report, loader));
        }
    }
    // A LoKr whose kernel has a Tucker core.
    let stem = "lora_unet_input_blocks_{1-2}_0_in_layers_2";
    let tensors = [
        (".lokr_w1", vec![4, 4]),
        (".lokr_t2", vec![2, 2, 3, 3]),
        (".lokr_w2_a", vec![2, 80]),
        (".lokr_w2_b", vec![2, 80]),
    ];
    let tensors: Map<String, Value> =
        tensors.into_iter().map(|(suffix, shape)| (format!("{stem}{suffix}"), json!(["BF16", shape]))).collect();
    let tucker =
        report(&CaseFile::of(&json!({"metadata": {"ss_base_model_version": "sdxl_base_v1-0"}, "tensors": tensors})));
    assert_eq!((status(&tucker, "comfyui").1, status(&tucker, "forge").1), (0, 2), "{:?}", tucker.loaders);
}

const PATH: &str = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q";

/// Returns the LoRA of one layer of Stable Diffusion 1.x under a stem, with this alpha.
fn of_one_layer(stem: &str, alpha: Option<f32>) -> Vec<u8> {
    let pair = |name: &str, shape: &[usize]| (format!("{stem}{name}"), shape.to_vec(), entry(name, shape).2);
    let alpha = alpha.map(|alpha| (format!("{stem}.alpha"), vec![], vec![alpha]));
    let tensors = [pair(".lora_up.weight", &[1280, 2]), pair(".lora_down.weight", &[2, 1280])];
    safetensors(&[], &tensors.into_iter().chain(alpha).collect::<Vec<_>>())
}

/// A file beside its own copy with other names is the same adapter.
#[test]
fn a_renamed_copy_is_the_same_adapter() {
    let original = of_one_layer(&format!("lora_unet_{}", PATH.replace('.', "_")), None);
    let opened = open("original", &original, None);
    for to in [Target::Peft, Target::Diffusers, Target::Comfy, Target::Onetrainer] {
        let options = ConvertOptions { to: Some(to), ..ConvertOptions::default() };
        let (copy, _) = converted(&opened, &options).expect("a copy");
        let copy = open("copy", &copy, None);
        let compared = block_on(compare(opened.compared(), copy.compared())).expect("readable files");
        assert_eq!(compared.relation, Relation::Same, "{to:?}");
    }
}

/// The trainer of musubi-tuner's files, whose keys are those of sd-scripts.
#[test]
fn musubi_tuner_is_the_trainer_of_its_files() {
    let metadata = json!({"ss_network_module": "networks.lora_qwen_image", "ss_base_model_version": "qwen_image"});
    let report =
        report(&file(metadata, Stored::Kohya, &[("lora_unet_transformer_blocks_{0-59}_attn_to_q", 3072, 3072)]));
    let training = report.training.expect("training facts");
    assert_eq!(training.trainer.as_deref(), Some("musubi-tuner"));
}

/// Rules name the version that they describe, and its month.
#[test]
fn rules_have_versions_and_dates() {
    let report = report(&file(json!({}), Stored::Peft, &[("diffusion_model.blocks.{0-29}.self_attn.q", 1536, 1536)]));
    for verdict in report.loaders.iter().filter(|verdict| verdict.loader != "this_page") {
        let version = &verdict.version.text;
        assert!(version.contains("(rules of 2026-"), "{}: {version}", verdict.label);
    }
}

/// An alpha of 0 is why nothing changes: the file is not said to be untrained, no smaller file is offered, and every
/// program that finds the layers is said to change nothing.
#[test]
fn an_alpha_of_zero_is_the_reason_that_nothing_changes() {
    let bytes = of_one_layer(&format!("lora_unet_{}", PATH.replace('.', "_")), Some(0.0));
    let report = block_on(inspect("made.safetensors", &bytes, None, None));
    assert!(report.verdict.contains("alpha is 0 in 1 layer"), "{}", report.verdict);
    let sentences: Vec<&str> =
        report.health.iter().flat_map(|health| &health.sentences).map(|line| line.text.as_str()).collect();
    assert_eq!(sentences, ["Every change is zero because alpha is 0."]);
    for verdict in report.loaders.iter().filter(|verdict| verdict.applied > 0) {
        let note = verdict.strength_note.clone().unwrap_or_default().text;
        assert!(
            note.contains("alpha is 0 in 1 layer") && note.contains("changes nothing"),
            "{}: {note}",
            verdict.label
        );
    }
    assert_eq!(verdict(&report, "comfyui").applied, 1);
    let list = block_on(fixes(&EditInput::file("made.safetensors", &bytes, None), &report)).expect("an adapter");
    assert!(
        !list.iter().any(|fix| fix.id == FixId::Smaller),
        "{:?}",
        list.iter().map(|fix| fix.id).collect::<Vec<_>>()
    );
    // A header alone does not tell alpha.
    let header = block_on(inspect_header("made.safetensors", &bytes, None));
    assert!(
        verdict(&header, "comfyui").strength_note.is_none() && !header.verdict.contains("alpha"),
        "{}",
        header.verdict
    );
}

/// Keys with the wrapper of torch.compile: the layers are found, no program looks them up, and a fix renames them.
#[test]
fn keys_of_compiled_networks_are_renamed() {
    for stem in [
        format!("lora_unet__orig_mod_{}", PATH.replace('.', "_")),
        format!("unet._orig_mod.{PATH}"),
        "diffusion_model._orig_mod.middle_block.1.transformer_blocks.0.attn1.to_q".to_owned(),
        format!("unet.{}", PATH.replace(".attn1", "._orig_mod.attn1")),
    ] {
        let bytes = of_one_layer(&stem, None);
        let report = block_on(inspect("made.safetensors", &bytes, None, None));
        assert_eq!((&*report.base.family, report.modules.len()), ("sd15", 1), "{stem}: {}", report.verdict);
        assert_eq!(report.modules[0].path, format!("unet.{PATH}"));
        for verdict in report.loaders.iter().filter(|verdict| verdict.loader != "this_page") {
            assert_eq!(verdict.applied, 0, "{stem}: {verdict:?}");
        }
        let reason = verdict(&report, "comfyui").reason.clone().unwrap_or_default().text;
        assert!(reason.contains("`_orig_mod`, which torch.compile puts there"), "{stem}: {reason}");
        let list = block_on(fixes(&EditInput::file("made.safetensors", &bytes, None), &report)).expect("an adapter");
        let gains = |fix: &&Fix| fix.effect.iter().any(|effect| effect.loader == "comfyui" && effect.after == 1);
        let fix = list.iter().find(gains).unwrap_or_else(|| panic!("{stem}: no fix for ComfyUI"));
        let mut out = Vec::new();
        let inputs = [EditInput::file("made.safetensors", &bytes, None)];
        let edited = block_on(apply(&fix.edit, &inputs, &mut out, &mut |_| ControlFlow::Continue(()))).expect("a file");
        out[..edited.outcome.head.len()].copy_from_slice(&edited.outcome.head);
        assert!(!String::from_utf8_lossy(&edited.outcome.head).contains("_orig_mod"), "{stem}");
        same(&stem, &changes(&open("fixed", &out, None)), &changes(&open("made", &bytes, None)), 0.0);
    }
    let flux = report(&file(
        json!({}),
        Stored::Kohya,
        &[("lora_unet__orig_mod_double_blocks_{0-18}_img_attn_qkv", 9216, 3072)],
    ));
    assert_eq!((&*flux.base.label, flux.modules.len()), ("Flux.1", 19), "{}", flux.verdict);
}

/// A LoRA that changes only layers which two models of a family have is for either.
#[test]
fn models_with_equal_layers_are_both_named() {
    let shared = ("diffusion_model.joint_blocks.{0-23}.x_block.attn.qkv", 4608, 1536);
    let second = ("diffusion_model.joint_blocks.{0-12}.x_block.attn2.qkv", 4608, 1536);
    let sd3 = report(&file(json!({}), Stored::Peft, &[shared]));
    assert_eq!(
        (&*sd3.base.label, &sd3.base.variants[..]),
        ("Stable Diffusion 3 medium", &["Stable Diffusion 3.5 medium".to_owned()][..])
    );
    assert!(sd3.verdict.contains("Stable Diffusion 3 medium or Stable Diffusion 3.5 medium"), "{}", sd3.verdict);
    assert!(sd3.base.evidence.iter().any(|line| line.contains("fits Stable Diffusion 3.5 medium as well")));
    let sd35 = report(&file(json!({}), Stored::Peft, &[shared, second]));
    assert_eq!((&*sd35.base.label, sd35.base.variants.len()), ("Stable Diffusion 3.5 medium", 0), "{}", sd35.verdict);
    // A model that only adds layers to another one, and one with more blocks, are none of these.
    for (stem, outputs, inputs, label) in [
        ("diffusion_model.blocks.{0-39}.self_attn.q", 5120, 5120, "Wan 14B"),
        ("lora_unet_blocks_{0-27}_self_attn_q_proj", 2048, 2048, "Anima"),
        ("diffusion_model.double_blocks.{0-4}.img_attn.proj", 3072, 3072, "Flux.2 Klein 4B"),
    ] {
        let said = if label == "Anima" { json!({"ss_base_model_version": "anima"}) } else { json!({}) };
        let said =
            if label.starts_with("Flux.2") { json!({"modelspec.architecture": "flux-2-klein-4b"}) } else { said };
        let report = report(&file(said, Stored::Kohya, &[(stem, outputs, inputs)]));
        assert_eq!((&*report.base.label, report.base.variants.len()), (label, 0), "{stem}: {}", report.verdict);
    }
}

/// The parts of fused layers that sd-scripts and musubi-tuner train by themselves are fused for ComfyUI, which knows the whole
/// layers only.
#[test]
fn parts_of_layers_that_trainers_name_are_fused() {
    for (family, whole, parts) in [
        ("hunyuan_image", "double_blocks.0.img_attn.qkv", &["img_attn_q", "img_attn_k", "img_attn_v"][..]),
        ("hunyuan_image", "single_blocks.0.linear1", &["linear1_q", "linear1_k", "linear1_v", "linear1_mlp"]),
        ("hunyuan_video15", "double_blocks.0.txt_attn.qkv", &["txt_attn_q", "txt_attn_k", "txt_attn_v"]),
    ] {
        let architecture = &Architecture::of(family)[0];
        let modules = architecture.modules();
        let block = whole.rsplit_once(".0.").map_or("", |(block, _)| block);
        let shape = |part: &str| {
            let path = format!("{block}.0.{part}");
            modules.iter().find(|(_, module)| module.path == path).expect("a part").1.weight_shape()
        };
        let tensors = parts.iter().flat_map(|part| {
            let (stem, shape) = (format!("lora_unet_{block}_0_{part}"), shape(part));
            [
                entry(&format!("{stem}.lora_down.weight"), &[2, shape[1]]),
                entry(&format!("{stem}.lora_up.weight"), &[shape[0], 2]),
                (format!("{stem}.alpha"), vec![], vec![1.0]),
            ]
        });
        let said = [("ss_base_model_version", family)];
        let bytes = safetensors(&said, &tensors.collect::<Vec<_>>());
        let report = block_on(inspect("made.safetensors", &bytes, None, None));
        assert_eq!((&*report.base.family, report.modules.len()), (family, parts.len()), "{}", report.verdict);
        assert_eq!(verdict(&report, "comfyui").applied, 0, "{whole}");
        let list = block_on(fixes(&EditInput::file("made.safetensors", &bytes, None), &report)).expect("an adapter");
        let gains = |fix: &Fix| {
            fix.effect
                .iter()
                .any(|effect| effect.loader == "comfyui" && effect.after == parts.len() && effect.lost == 0)
        };
        assert!(list.iter().any(gains), "{whole}: {:?}", list.iter().map(|fix| fix.id).collect::<Vec<_>>());
        let opened = open("made", &bytes, None);
        let before = changes(&opened);
        let joined: Vec<f32> = parts
            .iter()
            .flat_map(|part| before[&format!("transformer.{block}.0.{part}.weight")].iter().copied())
            .collect();
        for target in [Target::Comfy, Target::Kohya] {
            let options = ConvertOptions { to: Some(target), ..ConvertOptions::default() };
            let (fused, _) = converted(&opened, &options).expect("a fused layer");
            let after = changes(&open("fused", &fused, None));
            let want = [(format!("transformer.{whole}.weight"), joined.clone())].into();
            same(&format!("{whole} {target:?}"), &after, &want, 1e-6);
        }
        // diffusers' names are those of the parts.
        let options = ConvertOptions { to: Some(Target::Peft), ..ConvertOptions::default() };
        let (split, _) = converted(&opened, &options).expect("diffusers' layers");
        let split = changes(&open("split", &split, None));
        let norm = |all: &std::collections::BTreeMap<String, Vec<f32>>| {
            all.values().flatten().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
        };
        assert_eq!(split.len(), parts.len(), "{:?}", split.keys());
        assert!((norm(&split) / norm(&before) - 1.0).abs() < 1e-6, "{whole}");
    }
}

/// A change that is recognized but not computed: every tensor of a layer is left for that reason, and no conversion is
/// advised, which could not be made.
#[test]
fn what_is_not_computed_has_one_reason_and_no_advice() {
    let stem = "lora_unet_input_blocks_{4-5}_1_transformer_blocks_{0-1}_attn1_to_q";
    let tensors = [
        (".q_layer.weight", vec![4, 640]),
        (".p_layer.weight", vec![640, 4]),
        (".lambda_layer", vec![1, 4]),
        (".alpha", vec![]),
    ];
    let tensors: Map<String, Value> =
        tensors.into_iter().map(|(suffix, shape)| (format!("{stem}{suffix}"), json!(["BF16", shape]))).collect();
    let said = json!({"ss_base_model_version": "sdxl_base_v1-0"});
    let report = report(&CaseFile::of(&json!({"metadata": said, "tensors": tensors})));
    assert_eq!(report.leftovers.len(), 16);
    assert!(report.leftovers.iter().all(|left| left.reason.contains("T-LoRA is recognized but not computed")));
    assert!(report.verdict.contains("T-LoRA is recognized but not computed"), "{}", report.verdict);
    for verdict in &report.loaders {
        let reason = verdict.reason.clone().unwrap_or_default().text;
        assert!(!reason.contains("Convert the file"), "{}: {reason}", verdict.label);
    }
}
