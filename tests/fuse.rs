//! Fused plans give what the plans they come from give, by definition and by kernel, in fewer steps.

use lora_loupe::gpu::{Gpu, Runner, Style};
use lora_loupe::model::{Family, FamilyId};
use lora_loupe::ops::{Add, Broadcast, Conv2d, Function, Geglu, Matmul, Unary, Upsample};
use lora_loupe::plan::{Builder, Layout, Plan, Source, interpret, unet, unet_layer};
use lora_loupe_tests::compare::{close, rel_rms};
use lora_loupe_tests::numbers::numbers;

/// Both sides round each step's result to f32, the fused one fewer times.
const DEFINITION: f64 = 1e-6;
/// As in tests/kernels.rs.
const KERNEL: f64 = 5e-6;

const LINEAR: Matmul = Matmul {
    transpose_b: true,
    bias: true,
    after: lora_loupe::ops::After { shift: None, function: None, gate: false, residual: false },
};
const SUM: Add = Add { broadcast: Broadcast::None };

/// A tensor's numbers follow from its name and length.
fn give(plan: &Plan) -> impl FnMut(&str) -> Option<Vec<f32>> {
    let sizes: Vec<(String, Vec<usize>)> = plan
        .values
        .iter()
        .filter_map(|value| match &value.source {
            Source::Input(name) | Source::Weight { name, .. } => Some((name.clone(), value.shape.clone())),
            Source::Step(_) => None,
        })
        .collect();
    move |name| {
        let (_, shape) = sizes.iter().find(|(known, _)| known == name)?;
        let scale = if shape.len() == 2 { (3.0 / shape[1] as f32).sqrt() } else { 1.0 };
        let seed = name.bytes().fold(7, |seed: u32, byte| seed.wrapping_mul(31) + u32::from(byte));
        Some(numbers(seed % 10_000, shape.iter().product(), scale, 0.0))
    }
}

/// The rule's name, the words that its printed plan must have, and the plan before.
fn rules() -> Vec<(&'static str, &'static str, Plan)> {
    let linear = |b: &mut Builder, x, columns: usize, inner: usize| {
        let weight = b.weight("w", &[columns, inner], Layout::Plain);
        let bias = b.weight("b", &[columns], Layout::Plain);
        b.push(LINEAR, &[x, weight, bias], "linear").expect("linear")
    };
    let conv = |b: &mut Builder, x| {
        let weight = b.weight("w", &[20, 9 * 8], Layout::Ohwi);
        let bias = b.weight("b", &[20], Layout::Plain);
        let op = Conv2d { kernel: 3, stride: 1, padding: 1, bias: true, ..Default::default() };
        b.push(op, &[x, weight, bias], "conv").expect("conv")
    };
    let rule = |name, words, make: &dyn Fn(&mut Builder) -> _| {
        let mut builder = Builder::new(name);
        let y = make(&mut builder);
        builder.output("y", y);
        (name, words, builder.finish())
    };
    vec![
        rule("residual of a linear layer", "matmul linear (2,7,36) bias residual", &|b| {
            let x = b.input("x", &[2, 7, 20]);
            let other = b.input("other", &[2, 7, 36]);
            let y = linear(b, x, 36, 20);
            b.push(SUM, &[other, y], "sum").expect("sum")
        }),
        rule("residual on the left", "matmul linear (2,7,36) bias residual", &|b| {
            let x = b.input("x", &[2, 7, 20]);
            let other = b.input("other", &[2, 7, 36]);
            let y = linear(b, x, 36, 20);
            b.push(SUM, &[y, other], "sum").expect("sum")
        }),
        rule("function of a linear layer", "matmul linear (3,68) bias quick_gelu", &|b| {
            let x = b.input("x", &[3, 12]);
            let y = linear(b, x, 68, 12);
            b.push(Unary { function: Function::QuickGelu }, &[y], "act").expect("act")
        }),
        rule("gate and residual", "matmul linear (1,19,20) bias gate residual", &|b| {
            let x = b.input("x", &[1, 19, 20]);
            let y = linear(b, x, 40, 20);
            let y = b.push(Geglu {}, &[y], "gate").expect("gate");
            b.push(SUM, &[x, y], "sum").expect("sum")
        }),
        rule("time embedding and residual of a convolution", "3x3 bias shift 0 residual", &|b| {
            let x = b.input("x", &[2, 5, 6, 8]);
            let time = b.input("time", &[2, 20]);
            let other = b.input("other", &[2, 5, 6, 20]);
            let y = conv(b, x);
            let y = b.push(Add { broadcast: Broadcast::Pixels }, &[y, time], "time").expect("time");
            b.push(SUM, &[other, y], "sum").expect("sum")
        }),
        rule("enlargement before a convolution", "conv2d conv (2,9,12,20) 3x3 enlarged 9x12 bias", &|b| {
            let x = b.input("x", &[2, 5, 6, 8]);
            let x = b.push(Upsample { height: 9, width: 12 }, &[x], "up").expect("up");
            conv(b, x)
        }),
    ]
}

#[test]
fn each_rule_leaves_one_step_that_computes_the_same() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        for (name, words, plan) in rules() {
            let fused = plan.clone().fused();
            let printed = fused.to_string();
            assert_eq!(fused.steps.len(), 1, "{name}: {printed}");
            assert!(printed.contains(words), "{name}: `{words}` is not in {printed}");
            let wanted = &interpret(&plan, &mut give(&plan), &[]).expect("the plan runs")["y"];
            let got = &interpret(&fused, &mut give(&fused), &[]).expect("the fused plan runs")["y"];
            close(name, got, wanted, DEFINITION);
            for style in [Style::Tiled, Style::Direct] {
                gpu.set_style(style);
                let kernel = run(&gpu, &fused).await;
                close(&format!("{name}, {style:?}"), &kernel, wanted, KERNEL);
            }
        }
    });
}

async fn run(gpu: &Gpu, plan: &Plan) -> Vec<f32> {
    let mut numbers = give(plan);
    let mut resident = std::collections::HashMap::new();
    for (name, _, _) in plan.weights() {
        let data = numbers(name).expect("numbers");
        resident.insert(name.to_owned(), gpu.upload(name, &data, lora_loupe::ops::Storage::F32).expect("a tensor"));
    }
    let runner = Runner::new(gpu, plan, &|name| resident.get(name).cloned()).await.expect("a runner");
    for value in &plan.values {
        if let Source::Input(name) = &value.source {
            runner.set(gpu, name, &numbers(name).expect("numbers")).expect("an input");
        }
    }
    runner.compute(gpu, "y").await.expect("y")
}

#[test]
fn what_is_read_twice_or_tapped_stays() {
    let mut b = Builder::new("twice");
    let x = b.input("x", &[1, 4]);
    let weight = b.weight("w", &[4, 4], Layout::Plain);
    let y = b.push(Matmul { transpose_b: true, ..Default::default() }, &[x, weight], "linear").expect("linear");
    let act = b.push(Unary { function: Function::Silu }, &[y], "act").expect("act");
    let sum = b.push(SUM, &[act, y], "sum").expect("sum");
    b.output("y", sum);
    assert_eq!(b.finish().fused().steps.len(), 3, "the product is read by two steps");

    let (_, _, plan) = rules().swap_remove(0);
    let tapped = plan.tapped(&["linear".into()]).fused();
    assert_eq!(tapped.steps.len(), 2, "a tapped result is not folded away");
}

#[test]
fn odd_widths_are_left_alone() {
    let mut b = Builder::new("odd");
    let x = b.input("x", &[3, 5]);
    let weight = b.weight("w", &[7, 5], Layout::Plain);
    let y = b.push(Matmul { transpose_b: true, ..Default::default() }, &[x, weight], "linear").expect("linear");
    let y = b.push(Unary { function: Function::Silu }, &[y], "act").expect("act");
    b.output("y", y);
    let plan = b.finish();
    assert_eq!(plan.clone().fused(), plan);
}

#[test]
fn what_depends_on_texts_alone_runs_once() {
    let net = Family::published(FamilyId::Sd15).expect("a config").unet;
    let plan = unet_layer(&net, 0, 1, 2, 2, 3).expect("a plan").fused();
    let (once, each) = plan.clone().hoisted(&["x", "time"]);
    let labels: Vec<&str> = once.steps.iter().map(|step| step.label.rsplit('.').next().unwrap_or_default()).collect();
    assert_eq!(labels, ["to_k", "to_v"], "keys and values of cross-attention");
    assert_eq!(once.steps.len() + each.steps.len(), plan.steps.len());
    let first = interpret(&once, &mut give(&plan), &[]).expect("the first runs");
    let mut numbers = give(&plan);
    let mut both = |name: &str| first.get(name).cloned().or_else(|| numbers(name));
    let got = &interpret(&each, &mut both, &[]).expect("the second runs")["y"];
    let wanted = &interpret(&plan, &mut give(&plan), &[]).expect("the whole runs")["y"];
    assert_eq!(got, wanted);
    // Another text gives another result: what crosses is read.
    let mut other = |name: &str| first.get(name).map(|data| vec![0.5; data.len()]).or_else(|| numbers(name));
    let changed = &interpret(&each, &mut other, &[]).expect("the second runs")["y"];
    assert!(rel_rms(changed, wanted) > 1e-3);
}

#[test]
fn a_call_of_stable_diffusions_unet_is_short() {
    for (family, limit) in [(FamilyId::Sd15, DISPATCHES), (FamilyId::Sdxl, 1400)] {
        let net = Family::published(family).expect("a config").unet;
        let plan = unet(&net, 2, 64, 64, 77).expect("a plan");
        let (once, each) = plan.clone().fused().hoisted(&["sample", "time"]);
        println!(
            "{family}: {} steps, then {} once and {} each call",
            plan.steps.len(),
            once.steps.len(),
            each.steps.len()
        );
        assert!(each.steps.len() <= limit, "{family}: {} dispatches", each.steps.len());
    }
}

/// Dispatches of one UNet call of SD 1.5.
const DISPATCHES: usize = 410;
