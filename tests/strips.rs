//! Strip-mined plans: the same results as whole plans, in buffers of limited size.

use lora_loupe::gpu::{Gpu, Runner};
use lora_loupe::model::{Family, FamilyId, Vae, VaeConfig};
use lora_loupe::num::{host_len, numel};
use lora_loupe::ops::{Op, Storage};
use lora_loupe::plan::{Plan, Source, Value, interpret, vae_decoder, vae_encoder, vae_strip};
use lora_loupe_tests::compare::{close, rel_rms};
use lora_loupe_tests::golden;
use lora_loupe_tests::numbers::numbers;
use std::collections::BTreeMap;

/// Tolerance of kernels, which sum in another order; on the CPU the results differ by one rounding.
const KERNEL: f64 = 5e-6;

fn mini() -> Vae {
    Vae::new(&VaeConfig::parse(&golden::text("golden/pipelines/mini-sd15/vae/config.json")).expect("a config"))
}

/// Returns the VAE of SD 1.x.
fn published() -> Vae {
    Family::published_vae(FamilyId::Sd15).expect("a config")
}

/// Returns synthetic inputs and weights of a plan.
fn given(plan: &Plan) -> BTreeMap<String, Vec<f32>> {
    let mut list = BTreeMap::new();
    for (index, value) in plan.values.iter().enumerate() {
        let (name, scale, shift) = match &value.source {
            Source::Input(name) => (name, 1.0, 0.2),
            Source::Weight { name, .. } if value.shape.len() == 2 => (name, (3.0 / value.shape[1] as f32).sqrt(), 0.0),
            Source::Weight { name, .. } => (name, 0.5, 0.7),
            Source::Concatenated(_) | Source::Step(_) => continue,
        };
        list.insert(name.clone(), numbers(index as u32, host_len(value.numel()), scale, shift));
    }
    list
}

fn largest(plan: &Plan) -> u64 {
    let temporary = |value: &&Value| matches!(value.source, Source::Step(_));
    plan.values.iter().filter(temporary).map(Value::numel).max().unwrap_or(0)
}

/// Runs the plan on the GPU, or on the CPU without one.
async fn compute(gpu: Option<&Gpu>, plan: &Plan, given: &BTreeMap<String, Vec<f32>>, output: &str) -> Vec<f32> {
    let Some(gpu) = gpu else {
        let mut give = |name: &str| given.get(name).cloned();
        return interpret(plan, &mut give, &[]).expect("a run").remove(output).expect("an output");
    };
    let mut tensors = BTreeMap::new();
    for (name, _, _) in plan.weights() {
        tensors.insert(name, gpu.upload(name, &given[name], Storage::F32).expect("a weight"));
    }
    let runner =
        Runner::new(gpu, &gpu.default_config(), plan, &|name| tensors.get(name).cloned()).await.expect("a runner");
    for value in &plan.values {
        if let Source::Input(name) = &value.source {
            runner.set(gpu, name, &given[name]).expect("an input");
        }
    }
    runner.compute(gpu, output).await.expect("numbers")
}

#[test]
fn strips_give_the_results_of_the_whole_plan() {
    let net = mini();
    let scale = net.config.scale();
    pollster::block_on(async {
        let gpu = match cfg!(target_os = "wasi") {
            true => None,
            false => Some(Gpu::open().await.expect("a Vulkan device; software Vulkan counts")),
        };
        let gpu = gpu.as_ref();
        // Odd sizes, one row, and a batch of two; strips from one row to nearly the whole height.
        for (batch, height, width) in [(1, 8, 8), (1, 13, 5), (2, 7, 3), (1, 1, 9)] {
            let decoder = vae_decoder(&net, batch, height, width).expect("a plan");
            let encoder = vae_encoder(&net, batch, height * scale, width * scale).expect("a plan");
            for (plan, output) in [(decoder, "image"), (encoder, "moments")] {
                let given = given(&plan);
                let whole = compute(gpu, &plan, &given, output).await;
                let largest_value = largest(&plan);
                let mut counts = Vec::new();
                for share in [2, 3, 5, 9] {
                    // The mid block has attention and is not split, and neither is the image.
                    let unsplit = numel(&[batch, height, width, 32.max(3 * scale * scale)]);
                    let limit = (largest_value / share).max(unsplit);
                    let cut = plan.clone().strip_mined(limit).expect("strips");
                    let what = format!("{} of {batch}x{height}x{width} by {limit}", plan.name);
                    close(&what, &compute(gpu, &cut, &given, output).await, &whole, KERNEL);
                    counts.push(cut.steps.len());
                }
                assert!(counts.is_sorted() && counts[3] > plan.steps.len(), "{} {counts:?}", plan.name);
            }
        }
    });
}

#[test]
fn a_wrong_halo_is_detected() {
    let net = mini();
    let plan = vae_decoder(&net, 1, 6, 4).expect("a plan");
    let given = given(&plan);
    let reference = |plan: &Plan| {
        let mut give = |name: &str| given.get(name).cloned();
        interpret(plan, &mut give, &[]).expect("a run").remove("image").expect("an image")
    };
    let whole = reference(&plan);
    let cut = plan.clone().strip_mined(largest(&plan) / 4).expect("strips");
    close("strips on the CPU", &reference(&cut), &whole, 1e-6);

    let mut wrong = cut.clone();
    let rows = wrong.steps.iter_mut().rev().find_map(|step| match &mut step.op {
        Op::Rows(rows) if rows.parts.len() == 3 => Some(rows),
        _ => None,
    });
    let parts = &mut rows.expect("a strip with rows from both sides").parts;
    let shifted = parts[0].0.checked_sub(1).expect("another row above");
    parts[0].0 = shifted;
    assert!(rel_rms(&reference(&wrong), &whole) > 1e-4);
}

#[test]
fn a_1024_pixel_image_decodes_within_128_mib_bindings() {
    let net = published();
    const BINDING: u64 = 128 << 20;
    for (height, width, max_bytes) in [(64, 64, 490 << 20), (128, 128, 1900 << 20), (96, 160, 1800 << 20)] {
        let whole = vae_decoder(&net, 1, height, width).expect("a plan");
        let cut = whole.clone().strip_mined(vae_strip(&net, height, width, BINDING)).expect("strips");
        assert!(largest(&whole) * 4 > BINDING, "the plan has to be split");
        assert!(largest(&cut) * 4 <= BINDING, "{} elements", largest(&cut));
        let memory = cut.memory(4);
        assert!(memory.slots.iter().all(|&bytes| bytes <= BINDING));
        println!("{height}x{width}: {} MiB, whole {} MiB", memory.bytes() >> 20, whole.memory(4).bytes() >> 20);
        assert!(memory.bytes() <= max_bytes, "{height}x{width}: {} bytes", memory.bytes());
        let more = cut.flops() as f64 / whole.flops() as f64;
        assert!(more < 1.15, "{more} times the work");

        let encoder = vae_encoder(&net, 1, height * 8, width * 8).expect("a plan");
        let cut = encoder.strip_mined(vae_strip(&net, height, width, BINDING)).expect("strips");
        assert!(largest(&cut) * 4 <= BINDING);
    }
}
