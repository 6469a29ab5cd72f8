//! Kinds of files that people reported because programs judged them wrongly, each made here: what is right for them.

use lora_loupe::analysis::{FileKind, LoaderStatus, LoaderVerdict, ProblemClass, Report, inspect, inspect_header};
use lora_loupe::model::{Architecture, Component, Module, ModuleSource};
use lora_loupe_tests::loader_cases::CaseFile;
use pollster::block_on;
use serde_json::{Map, Value, json};

fn report(file: &CaseFile) -> Report {
    block_on(inspect_header("made.safetensors", file, file.config.as_deref()))
}

fn verdict<'a>(report: &'a Report, loader: &str) -> &'a LoaderVerdict {
    report.loaders.iter().find(|verdict| verdict.loader == loader).expect("a verdict")
}

/// Returns a file of these tensors: pattern and shape.
fn file(metadata: Value, tensors: &[(&str, &[usize])]) -> CaseFile {
    let tensors: Map<String, Value> =
        tensors.iter().map(|(name, shape)| ((*name).to_owned(), json!(["BF16", shape]))).collect();
    CaseFile::of(&json!({"metadata": metadata, "tensors": tensors}))
}

/// The tensors of one layer's change, by suffix, from its outputs and inputs; `None` if they do not fit.
type Factors = fn(usize, usize) -> Option<Vec<(&'static str, Vec<usize>)>>;

fn lokr(outputs: usize, inputs: usize) -> Option<Vec<(&'static str, Vec<usize>)>> {
    let fits = outputs.is_multiple_of(4) && inputs.is_multiple_of(4);
    fits.then(|| vec![(".lokr_w1", vec![4, 4]), (".lokr_w2", vec![outputs / 4, inputs / 4]), (".alpha", vec![])])
}

fn factored_lokr(outputs: usize, inputs: usize) -> Option<Vec<(&'static str, Vec<usize>)>> {
    let fits = outputs.is_multiple_of(8) && inputs.is_multiple_of(4);
    let tensors = || {
        vec![
            (".lokr_w1", vec![8, 4]),
            (".lokr_w2_a", vec![outputs / 8, 2]),
            (".lokr_w2_b", vec![2, inputs / 4]),
            (".alpha", vec![]),
        ]
    };
    fits.then(tensors)
}

fn loha(outputs: usize, inputs: usize) -> Option<Vec<(&'static str, Vec<usize>)>> {
    Some(vec![
        (".hada_w1_a", vec![outputs, 2]),
        (".hada_w1_b", vec![2, inputs]),
        (".hada_w2_a", vec![outputs, 2]),
        (".hada_w2_b", vec![2, inputs]),
    ])
}

fn oft(_: usize, inputs: usize) -> Option<Vec<(&'static str, Vec<usize>)>> {
    inputs.is_multiple_of(32).then(|| vec![(".oft_R.weight", vec![inputs / 32, 496])])
}

/// Returns a file that changes all linear layers of the blocks of a network.
fn blocks(
    architecture: &Architecture,
    prefix: &str,
    separator: &str,
    naming: ModuleSource,
    factors: Factors,
) -> CaseFile {
    let is_block = |(component, module): &(Component, &Module)| {
        component.is_denoiser() && ["blocks.", "layers.", "refiner."].iter().any(|part| module.path.contains(part))
    };
    let mut tensors = Map::new();
    for (_, module) in architecture.modules_of(naming).into_iter().filter(is_block) {
        let &[outputs, inputs] = &module.weight_shape()[..] else { continue };
        let name = if naming == ModuleSource::Native { &module.ldm } else { &module.path };
        for (suffix, shape) in factors(outputs, inputs).into_iter().flatten() {
            tensors.insert(format!("{prefix}{}{suffix}", name.replace('.', separator)), json!(["BF16", shape]));
        }
    }
    CaseFile::of(&json!({"metadata": {}, "tensors": tensors}))
}

/// LoKr, LoHa and OFT of every network: their factors show no width, and yet the network is found.
#[test]
fn factors_without_widths_identify_the_network() {
    // Networks whose blocks are another one's, and text models.
    let is_distinct =
        |family: &&str| !matches!(*family, "llm" | "cascade" | "cosmos_predict2" | "kolors" | "sdxl_refiner");
    let mut wrong = Vec::new();
    for family in Architecture::families().filter(is_distinct) {
        for architecture in Architecture::of(family) {
            for (what, factors) in
                [("LoKr", lokr as Factors), ("factored LoKr", factored_lokr), ("LoHa", loha), ("OFT v2", oft)]
            {
                for (prefix, separator, naming) in
                    [("diffusion_model.", ".", ModuleSource::Native), ("lycoris_", "_", ModuleSource::Diffusers)]
                {
                    let report = report(&blocks(&architecture, prefix, separator, naming, factors));
                    let mut bases = std::iter::once(&report.base).chain(&report.base.others);
                    // OFT shows only the inputs, which several sizes of a family may share.
                    let is_right = bases
                        .any(|base| base.family == family && (what == "OFT v2" || base.label == architecture.label));
                    if !is_right || report.modules.is_empty() {
                        wrong.push(format!("{what} of {} as {prefix}: {}", architecture.label, report.verdict));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

const Z_IMAGE: &[(&str, &[usize])] = &[
    ("transformer.layers.{0-29}.attention.to_q.lora_A.weight", &[8, 3840]),
    ("transformer.layers.{0-29}.attention.to_q.lora_B.weight", &[3840, 8]),
];

/// Alphas in the header's metadata count for the transformer, and other programs run such files at another strength.
#[test]
fn the_transformers_alpha_in_the_header_is_read() {
    let metadata = |alpha: u32| json!({"lora_adapter_metadata": json!({"transformer.r": 8, "transformer.lora_alpha": alpha}).to_string()});
    let whole = |alpha: u32| block_on(inspect("made.safetensors", &file(metadata(alpha), Z_IMAGE), None, None));
    let half = whole(16);
    assert!(half.modules.len() == 30 && half.modules.iter().all(|row| row.scale == 2.0 && row.alpha == Some(16.0)));
    let note = |report: &Report, loader: &str| verdict(report, loader).strength_note.clone().unwrap_or_default().text;
    assert!(
        note(&half, "comfyui").contains("0.5 times the intended one; use strength 2"),
        "{}",
        note(&half, "comfyui")
    );
    assert_eq!(note(&half, "diffusers"), "");
    let same = whole(8);
    assert!(same.modules.iter().all(|row| row.scale == 1.0));
    assert_eq!(note(&same, "comfyui"), "");
}

/// diffusers has converters for some names of some networks, and refuses or ignores the others.
#[test]
fn diffusers_converts_the_names_that_it_knows() {
    for (what, stem, outputs, inputs, down, up, expect) in [
        ("split Z-Image", "diffusion_model.layers.{0-29}.attention.to_q", 3840, 3840, "A", "B", "applied"),
        ("fused Z-Image", "diffusion_model.layers.{0-29}.attention.qkv", 11520, 3840, "A", "B", "ignored"),
        ("Z-Image with .default", "layers.{0-29}.attention.to_q", 3840, 3840, "A.default", "B.default", "applied"),
        ("Qwen with .default", "transformer_blocks.{0-59}.attn.to_q", 3072, 3072, "A.default", "B.default", "applied"),
        ("Wan", "diffusion_model.blocks.{0-29}.self_attn.q", 1536, 1536, "A", "B", "applied"),
        ("bare Flux.1", "transformer_blocks.{0-18}.ff.net.0.proj", 12288, 3072, "A", "B", "ignored"),
        (
            "sd-scripts' Z-Image in PEFT's format",
            "lora_unet_layers_{0-29}_attention_to_q",
            3840,
            3840,
            "A",
            "B",
            "refused",
        ),
    ] {
        let (down, up) = (format!("{stem}.lora_{down}.weight"), format!("{stem}.lora_{up}.weight"));
        let report = report(&file(json!({}), &[(&down, &[2, inputs]), (&up, &[outputs, 2])]));
        let verdict = verdict(&report, "diffusers");
        let status = serde_json::to_value(verdict.status).expect("a word");
        // Without any known layer it stops with an error or goes on in silence.
        let is_right = status == expect || expect == "ignored" && verdict.applied == 0;
        assert!(is_right, "{what}: {verdict:?}");
    }
    let with_bias = file(
        json!({}),
        &[
            ("diffusion_model.blocks.{0-29}.self_attn.q.lora_down.weight", &[2, 1536]),
            ("diffusion_model.blocks.{0-29}.self_attn.q.lora_up.weight", &[1536, 2]),
            ("diffusion_model.blocks.{0-29}.self_attn.k.diff_b", &[1536]),
        ],
    );
    let verdict_on = |loader: &str| verdict(&report(&with_bias), loader).applied;
    assert_eq!((verdict_on("diffusers"), verdict_on("comfyui")), (60, 60));
}

/// Converters that stop at a missing or an additional tensor (diffusers 0.42.1, each run).
#[test]
fn diffusers_stops_at_what_its_converters_do_not_expect() {
    let layers =
        ["self_attn_q", "self_attn_k", "self_attn_v", "self_attn_o", "cross_attn_q", "cross_attn_k", "cross_attn_v"];
    let wan = |without: &str, alpha: bool| {
        let mut tensors = Map::new();
        let mut add = |layer: &str, outputs: usize, inputs: usize| {
            let stem = format!("lora_unet_blocks_{{0-29}}_{layer}");
            tensors.insert(format!("{stem}.lora_down.weight"), json!(["BF16", [2, inputs]]));
            tensors.insert(format!("{stem}.lora_up.weight"), json!(["BF16", [outputs, 2]]));
            if alpha {
                tensors.insert(format!("{stem}.alpha"), json!(["BF16", []]));
            }
        };
        layers
            .into_iter()
            .chain(["cross_attn_o"])
            .filter(|layer| *layer != without)
            .for_each(|layer| add(layer, 1536, 1536));
        add("ffn_0", 8960, 1536);
        add("ffn_2", 1536, 8960);
        CaseFile::of(&json!({"metadata": {}, "tensors": tensors}))
    };
    let pair = |stem: &str, down: &str, up: &str, width: usize, alpha: bool| {
        let (down, up) = (format!("{stem}.{down}"), format!("{stem}.{up}"));
        let mut tensors = Map::from_iter([(down, json!(["BF16", [2, width]])), (up, json!(["BF16", [width, 2]]))]);
        tensors.extend(alpha.then(|| (format!("{stem}.alpha"), json!(["BF16", []]))));
        CaseFile::of(&json!({"metadata": {}, "tensors": tensors}))
    };
    let (klein, krea) = ("diffusion_model.double_blocks.{0-4}.txt_attn.proj", "diffusion_model.blocks.{0-27}.attn.wq");
    let anima = "diffusion_model.blocks.{0-27}.self_attn.q_proj";
    let output = "diffusion_model.layers.{0-29}.attention.out";
    let one_trainer = "lora_transformer_transformer_blocks_{0-18}_attn_to_q";
    let guidance = [
        "lora_transformer_distilled_guidance_layer_layers_{0-4}_linear_1",
        "diffusion_model.distilled_guidance_layer.layers.{0-4}.in_layer",
    ];
    for (what, file, reads) in [
        ("all of Wan", wan("", true), true),
        ("Wan without a layer", wan("cross_attn_k", true), false),
        ("Wan without alphas", wan("", false), false),
        ("Klein", pair(klein, "lora_A.weight", "lora_B.weight", 4096, false), true),
        ("Klein with alphas", pair(klein, "lora_A.weight", "lora_B.weight", 4096, true), false),
        ("Klein with lora_down", pair(klein, "lora_down.weight", "lora_up.weight", 4096, false), false),
        ("Krea 2", pair(krea, "lora_A.weight", "lora_B.weight", 6144, false), true),
        ("Krea 2 with alphas", pair(krea, "lora_A.weight", "lora_B.weight", 6144, true), false),
        ("Anima with lora_down", pair(anima, "lora_down.weight", "lora_up.weight", 2048, false), false),
        ("the output of Z-Image", pair(output, "lora_down.weight", "lora_up.weight", 3840, true), true),
        ("the output of Z-Image in PEFT's format", pair(output, "lora_A.weight", "lora_B.weight", 3840, true), false),
        ("OneTrainer", pair(one_trainer, "lora_down.weight", "lora_up.weight", 3072, true), true),
        ("OneTrainer's guidance layers", pair(guidance[0], "lora_down.weight", "lora_up.weight", 5120, true), false),
        ("ComfyUI's guidance layers", pair(guidance[1], "lora_down.weight", "lora_up.weight", 5120, true), false),
        ("OneTrainer without alphas", pair(one_trainer, "lora_down.weight", "lora_up.weight", 3072, false), false),
    ] {
        let report = report(&file);
        let verdict = verdict(&report, "diffusers");
        let expect = if reads { LoaderStatus::Applied } else { LoaderStatus::Refused };
        assert_eq!(verdict.status, expect, "{what}: {verdict:?} {}", report.verdict);
    }
}

/// AuraFlow shares names with Flux.1, and its layers are all used.
#[test]
fn auraflow_is_not_part_of_another_network() {
    let architecture = &Architecture::of("auraflow")[0];
    let report = report(&blocks(architecture, "lycoris_", "_", ModuleSource::Diffusers, lokr));
    assert_eq!(report.base.family, "auraflow");
    assert!(report.leftovers.is_empty(), "{:?}", &report.leftovers[..1]);
    assert!(report.loaders.iter().all(|verdict| verdict.status != LoaderStatus::Partly), "{:?}", report.loaders);
}

/// Many names that end in `.weight` are not those of a model.
#[test]
fn adapters_with_many_weights_are_adapters() {
    let oft = file(json!({}), &[("transformer.layers.{0-29}.attention.to_{1-9}.oft_R.weight", &[120, 496])]);
    assert_eq!(report(&oft).kind, FileKind::Adapter, "{:?}", report(&oft).problems);
    let stem = "lora_unet_input_blocks_{4-5}_1_transformer_blocks_{0-1}_attn{1-2}_to";
    let parts: Vec<(String, Vec<usize>)> = ["q", "k", "v"]
        .iter()
        .flat_map(|to| {
            let name = |end: &str| format!("{stem}_{to}.{end}");
            [
                (name("q_layer.weight"), vec![4, 640]),
                (name("p_layer.weight"), vec![640, 4]),
                (name("lambda_layer"), vec![1, 4]),
            ]
        })
        .collect();
    let parts: Vec<(&str, &[usize])> = parts.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    let report = report(&file(json!({}), &parts));
    assert_eq!(report.kind, FileKind::Adapter, "{:?}", report.problems);
    assert!(report.algorithms.iter().any(|name| name.contains("lora")), "{:?}", report.algorithms);
}

/// Anima of 40 and 52 blocks: every layer is one of the model's.
#[test]
fn every_size_of_anima_has_all_its_blocks() {
    for (last, label) in [(27, "Anima"), (39, "Anima with 40 blocks"), (51, "Anima with 52 blocks")] {
        let stem = format!("lora_unet_blocks_{{0-{last}}}_self_attn_q_proj");
        let mlp = format!("lora_unet_blocks_{{0-{last}}}_llm_adapter");
        let (down, up) = (format!("{stem}.lora_down.weight"), format!("{stem}.lora_up.weight"));
        let report =
            report(&file(json!({"ss_base_model_version": "anima"}), &[(&down, &[2, 2048]), (&up, &[2048, 2])]));
        assert_eq!((&*report.base.label, report.modules.len()), (label, last + 1), "{mlp}");
        assert!(report.leftovers.is_empty());
    }
}

/// VACE's layers are layers of Wan: ComfyUI applies them with or without the other blocks; diffusers wants the others.
#[test]
fn vace_layers_belong_to_wan() {
    let pair =
        |stem: &str| [(format!("{stem}.lora_A.weight"), [2, 5120]), (format!("{stem}.lora_B.weight"), [5120, 2])];
    let layers = |stems: &[&str]| -> Report {
        let tensors: Vec<(String, [usize; 2])> = stems.iter().flat_map(|stem| pair(stem)).collect();
        let tensors: Vec<(&str, &[usize])> = tensors.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
        report(&file(json!({}), &tensors))
    };
    let vace = "diffusion_model.vace_blocks.{0-7}.self_attn.q";
    let alone = layers(&[vace, "diffusion_model.vace_blocks.0.before_proj"]);
    assert_eq!((&*alone.base.family, &*alone.base.label, alone.modules.len()), ("wan", "Wan 2.1 14B with VACE", 9));
    assert_eq!(verdict(&alone, "comfyui").status, LoaderStatus::Applied);
    assert_eq!(verdict(&alone, "diffusers").status, LoaderStatus::Refused);
    let whole = layers(&[vace, "diffusion_model.blocks.{0-39}.self_attn.q"]);
    assert_eq!((&*whole.base.label, whole.modules.len()), ("Wan 2.1 14B with VACE", 48));
    assert_eq!((verdict(&whole, "comfyui").applied, whole.leftovers.len()), (48, 0));
}

/// ComfyUI looks up Anima's text encoder under `lora_te_`, its blocks under `lora_unet_` and `diffusion_model.` alone.
#[test]
fn comfyui_reads_anima_under_its_prefixes_only() {
    let applied = |prefix: &str, separator: &str| {
        let stem = format!("{prefix}blocks{separator}{{0-27}}{separator}self_attn{separator}q_proj");
        let (down, up) = (format!("{stem}.lora_down.weight"), format!("{stem}.lora_up.weight"));
        let text = "lora_te_layers_{0-27}_self_attn_q_proj";
        let (text_down, text_up) = (format!("{text}.lora_down.weight"), format!("{text}.lora_up.weight"));
        let report = report(&file(
            json!({"ss_base_model_version": "anima"}),
            &[(&down, &[2, 2048]), (&up, &[2048, 2]), (&text_down, &[2, 1024]), (&text_up, &[2048, 2])],
        ));
        assert_eq!((&*report.base.family, report.modules.len()), ("anima", 56), "{prefix}: {:?}", report.leftovers);
        verdict(&report, "comfyui").applied
    };
    assert_eq!(["lora_unet_", "lora_transformer_"].map(|prefix| applied(prefix, "_")), [56, 28]);
    assert_eq!(
        ["diffusion_model.", "transformer.", "base_model.model."].map(|prefix| applied(prefix, ".")),
        [56, 28, 28]
    );
}

/// Nunchaku's packed pairs are named, and no program is said to apply them.
#[test]
fn nunchakus_own_format_is_named() {
    let stem = "transformer_blocks.{0-18}.mlp_fc1";
    let (down, up) = (format!("{stem}.lora_down"), format!("{stem}.lora_up"));
    let report = report(&file(json!({}), &[(&down, &[3072, 32]), (&up, &[12288, 32])]));
    assert_eq!(report.algorithms, ["nunchaku_s_packed_lora"], "{:?}", report.problems);
    assert!(
        report.leftovers.iter().all(|left| left.reason.contains("packed for 4-bit kernels")),
        "{:?}",
        report.leftovers
    );
    assert!(report.loaders.iter().all(|verdict| verdict.applied == 0), "{:?}", report.loaders);
}

/// ComfyUI's training node stores 3x3 kernels as matrices: they fit.
#[test]
fn kernels_that_are_stored_as_matrices_fit() {
    let report = report(&file(
        json!({}),
        &[
            ("diffusion_model.input_blocks.{1-2}.0.in_layers.2.lora_down.weight", &[4, 2880]),
            ("diffusion_model.input_blocks.{1-2}.0.in_layers.2.lora_up.weight", &[320, 4]),
            ("diffusion_model.input_blocks.{4-5}.1.transformer_blocks.{0-1}.attn2.to_k.lora_down.weight", &[4, 2048]),
            ("diffusion_model.input_blocks.{4-5}.1.transformer_blocks.{0-1}.attn2.to_k.lora_up.weight", &[640, 4]),
        ],
    ));
    assert_eq!((&*report.base.family, report.modules.len()), ("sdxl", 6));
    assert!(
        !report.problems.iter().any(|problem| problem.class == ProblemClass::ShapeMismatch),
        "{:?}",
        report.problems
    );
    assert_eq!(verdict(&report, "comfyui").status, LoaderStatus::Applied);
}

/// InvokeAI 6.14 reads Wan, musubi-tuner's names of Qwen-Image and `.default`, but no Anima LoHa.
#[test]
fn invokeai_reads_what_its_current_version_reads() {
    let status = |stem: &str, width: usize, factors: Factors| {
        let tensors = factors(width, width).expect("tensors");
        let tensors: Vec<(String, Vec<usize>)> =
            tensors.into_iter().map(|(suffix, shape)| (format!("{stem}{suffix}"), shape)).collect();
        let tensors: Vec<(&str, &[usize])> =
            tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
        verdict(&report(&file(json!({}), &tensors)), "invokeai").status
    };
    let lora: Factors =
        |outputs, inputs| Some(vec![(".lora_down.weight", vec![2, inputs]), (".lora_up.weight", vec![outputs, 2])]);
    assert_eq!(status("lora_unet_blocks_{0-29}_self_attn_q", 1536, lora), LoaderStatus::Applied);
    assert_eq!(status("lora_unet_transformer_blocks_{0-59}_attn_to_q", 3072, lora), LoaderStatus::Applied);
    assert_eq!(status("lora_unet_blocks_{0-27}_self_attn_q_proj", 2048, loha), LoaderStatus::Refused);
}
