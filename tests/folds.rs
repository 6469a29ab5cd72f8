//! Folds of every algorithm on the GPU, compared with the CPU.

use lora_loupe::adapters::{BASE, FOLDED, PeftConfigs, fold_on_cpu, fold_plan, read};
use lora_loupe::formats::read_header;
use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::{Gpu, Runner};
use lora_loupe::model::{Component, Family, FamilyId};
use lora_loupe::num::{host_len, numel};
use lora_loupe::ops::Storage;
use lora_loupe::plan::{Builder, Layout, unet};
use lora_loupe_tests::base;
use lora_loupe_tests::compare::close;
use lora_loupe_tests::golden::{self, Tensor};
use lora_loupe_tests::synthetic::{Network, write_hollow};
use pollster::block_on;
use std::collections::{BTreeSet, HashMap};

/// Covers another order of f32 sums and the repeated products of rotations.
const LIMIT: f64 = 2e-6;

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn folds_on_the_gpu_agree_with_the_cpu() {
    block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let (shapes, weights) = (base::shapes(), golden::tensors("corpus/base/sample.safetensors"));
        let mut algorithms = BTreeSet::new();
        for case in golden::json("corpus/manifest.json")["files"].as_array().expect("cases") {
            let file = case["file"].as_str().expect("a name");
            if case["kind"] != "valid" {
                continue;
            }
            let bytes = std::fs::read(golden::path("corpus").join(file)).expect("a file of the corpus");
            let header = read_header(&bytes).await.expect("a valid file");
            let adapter =
                read(&bytes, &header, &PeftConfigs::default(), &shapes.modules()).await.expect("a valid file");
            for delta in &adapter.deltas {
                let name = delta.tensor();
                let Some(Tensor { shape, data }) = weights.get(&name) else { continue };
                let numbers = delta.read(&bytes, &header).await.expect("factors");
                let folding = [(delta, &numbers, 0.6), (delta, &numbers, -0.25)];
                let (plan, tensors, strengths) = fold_plan(shape, &folding).expect("a plan");
                let upload = |name: &str, data: &[f32]| gpu.upload(name, data, Storage::F32).expect("GPU memory");
                let uploaded: HashMap<&str, _> =
                    tensors.iter().map(|(name, data)| (name.as_str(), upload(name, data))).collect();
                let before = upload(BASE, &Layout::Ohwi.arrange(data.clone(), shape));
                let resident =
                    |name: &str| if name == BASE { Some(before.clone()) } else { uploaded.get(name).cloned() };
                let runner = Runner::new(&gpu, &gpu.default_config(), &plan, &resident).await.expect("a runner");
                runner.set_scalars(&gpu, &strengths);
                let got = runner.compute(&gpu, FOLDED).await.expect("a result");
                let want = fold_on_cpu(data.clone(), shape, &folding).expect("a fold");
                close(&format!("{file} {name}"), &Layout::Ohwi.restore(got, shape), &want, LIMIT);
                algorithms.insert(delta.algorithm);
            }
        }
        assert!(algorithms.len() >= 10, "only {algorithms:?} change the sampled tensors");
    });
}

#[test]
fn changing_the_strength_costs_at_most_5_percent_of_a_step() {
    // Rank 32 on all projections, attentions and feed-forward layers of SD 1.5, and a step at 512x512 with guidance.
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("folds.safetensors");
    write_hollow(&path, Network::Sd15, 32).expect("a written LoRA");
    let source = FileSource::open(&path).expect("the file");
    let header = block_on(read_header(&source)).expect("a header");
    let family = Family::published(FamilyId::Sd15).expect("a config");
    let adapter = block_on(read(&source, &header, &PeftConfigs::default(), &family.modules())).expect("an adapter");
    let _ = std::fs::remove_file(&path);
    let (mut layers, mut flops) = (0, 0);
    for delta in adapter.deltas.iter().filter(|delta| delta.component == Component::Unet) {
        let shape = delta.target_shape();
        let matrix = [shape[0], host_len(numel(&shape[1..]))];
        let mut builder = Builder::new("fold");
        let (base, strength) = (builder.weight(BASE, &matrix, Layout::Ohwi), builder.scalar("strength"));
        let folded = delta.fold(&mut builder, base, strength, "").expect("a fold");
        builder.output(FOLDED, folded);
        (layers, flops) = (layers + 1, flops + builder.finish().flops());
    }
    let step = unet(&family.unet, 2, 64, 64, 77).expect("a plan").fuse_epilogues().flops();
    println!("{layers} layers, {flops} operations of {step}: {:.2} %", 100.0 * flops as f64 / step as f64);
    assert!(layers >= 192 && flops > 0 && flops * 20 <= step, "{layers} layers, {flops} operations of {step}");
}
