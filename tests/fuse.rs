//! Fused plans: the same results as the unfused ones, on the CPU and with kernels, in fewer steps.

use lora_loupe::gpu::{F16_VARIANT, Gpu, KernelConfig, Runner, Style, TOLERANCE_F16, TileChoice, Winograd};
use lora_loupe::model::{Family, FamilyId};
use lora_loupe::num::{host_len, numel};
use lora_loupe::ops::{
    Activation, Add, Attention, Broadcast, Concat, Conv2d, Geglu, GroupNorm, LayerNorm, Matmul, Prologue, Storage,
    Unary, Upsample,
};
use lora_loupe::plan::{Builder, Layout, Plan, Source, ValueId, interpret, unet, unet_layer};
use lora_loupe_tests::compare::{close, rel_rms};
use lora_loupe_tests::numbers::numbers;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Tolerance on the CPU: both plans round the result of each step to f32, and the fused one has fewer steps.
const REFERENCE: f64 = 1e-6;
/// Tolerance of kernels, as in tests/kernels.rs.
const KERNEL: f64 = 5e-6;

const LINEAR: Matmul = Matmul {
    transpose_b: true,
    bias: true,
    prologue: Prologue::None,
    epilogue: lora_loupe::ops::Epilogue { channel_bias: None, activation: None, geglu: false, residual: false },
};
const SUM: Add = Add { broadcast: Broadcast::None };

/// Returns a source of tensors whose values are determined by name and length.
fn give(plan: &Plan) -> impl FnMut(&str) -> Option<Vec<f32>> {
    let sizes: Vec<(String, Vec<usize>)> = plan
        .values
        .iter()
        .filter_map(|value| match &value.source {
            Source::Input(name) | Source::Weight { name, .. } => Some((name.clone(), value.shape.clone())),
            Source::Concatenated(_) | Source::Step(_) => None,
        })
        .collect();
    move |name| {
        let (_, shape) = sizes.iter().find(|(known, _)| known == name)?;
        let scale = if shape.len() == 2 { (3.0 / shape[1] as f32).sqrt() } else { 1.0 };
        let seed = name.bytes().fold(7, |seed: u32, byte| seed.wrapping_mul(31) + u32::from(byte));
        Some(numbers(seed % 10_000, host_len(numel(shape)), scale, 0.0))
    }
}

/// Adds a linear layer whose weights are named `{name}.w` and `{name}.b`.
fn layer(b: &mut Builder, name: &str, x: ValueId, columns: usize, bias: bool) -> ValueId {
    let inner = b.shape(x).last().copied().expect("an axis");
    let mut inputs = vec![x, b.weight(&format!("{name}.w"), &[columns, inner], Layout::Plain)];
    if bias {
        inputs.push(b.weight(&format!("{name}.b"), &[columns], Layout::Plain));
    }
    b.push(Matmul { bias, ..LINEAR }, &inputs, name).expect("a linear layer")
}

/// Adds a linear layer with a bias.
fn linear(b: &mut Builder, x: ValueId, columns: usize, inner: usize) -> ValueId {
    let weight = b.weight("w", &[columns, inner], Layout::Plain);
    let bias = b.weight("b", &[columns], Layout::Plain);
    b.push(LINEAR, &[x, weight, bias], "linear").expect("linear")
}

/// Adds a 3x3 convolution from 8 to 20 channels.
fn conv(b: &mut Builder, x: ValueId) -> ValueId {
    let weight = b.weight("w", &[20, 9 * 8], Layout::Ohwi);
    let bias = b.weight("b", &[20], Layout::Plain);
    let op = Conv2d { kernel: 3, stride: 1, padding: 1, bias: true, ..Default::default() };
    b.push(op, &[x, weight, bias], "conv").expect("conv")
}

/// Example of a fusion rule: name, number of fused steps, text that the printed plan must contain, and the unfused
/// plan.
type Rule = (&'static str, usize, &'static str, Plan);

fn rule(name: &'static str, steps: usize, words: &'static str, make: &dyn Fn(&mut Builder) -> ValueId) -> Rule {
    let mut builder = Builder::new(name);
    let y = make(&mut builder);
    builder.output("y", y);
    (name, steps, words, builder.finish())
}

fn rules() -> Vec<Rule> {
    [input_rules(), epilogue_rules()].concat()
}

/// Rules that merge matmuls of the same input and read concatenated inputs in place.
fn input_rules() -> Vec<Rule> {
    vec![
        rule("queries, keys and values", 2, "matmul q+k+v (2,9,192) bias", &|b| {
            let x = b.input("x", &[2, 9, 20]);
            let [q, k, v] = ["q", "k", "v"].map(|name| layer(b, name, x, 64, true));
            b.push(Attention { heads: 2, causal: true }, &[q, k, v], "attention").expect("attention")
        }),
        rule("keys and values of a text", 3, "matmul k+v (2,7,64) $text", &|b| {
            let (x, text) = (b.input("x", &[2, 5, 3, 32]), b.input("text", &[2, 7, 12]));
            let q = layer(b, "q", x, 32, false);
            let [k, v] = ["k", "v"].map(|name| layer(b, name, text, 32, false));
            b.push(Attention { heads: 2, causal: false }, &[q, k, v], "attention").expect("attention")
        }),
        rule("time embeddings", 3, "matmul t1+t2 (2,192) bias", &|b| {
            let (time, mut x) = (b.input("time", &[2, 16]), b.input("x", &[2, 3, 5, 8]));
            for (name, inputs, outputs) in [("1", 8, 128), ("2", 128, 64)] {
                let shift = layer(b, &format!("t{name}"), time, outputs, true);
                let weight = b.weight(name, &[outputs, 9 * inputs], Layout::Ohwi);
                let op = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
                x = b.push(op, &[x, weight], "conv").expect("conv");
                x = b.push(Add { broadcast: Broadcast::Pixels }, &[x, shift], "add").expect("add");
            }
            x
        }),
        rule("a skip connection", 3, "group_norm norm (2,5,3,20) G=4 eps=1e-5 silu concat", &|b| {
            let (x, skip) = (b.input("x", &[2, 5, 3, 12]), b.input("skip", &[2, 5, 3, 8]));
            let both = b.push(Concat {}, &[x, skip], "concat").expect("concat");
            let (weight, bias) = (b.weight("w", &[20], Layout::Plain), b.weight("b", &[20], Layout::Plain));
            let norm = GroupNorm { groups: 4, eps: 1e-5, silu: true, concat: false };
            let normed = b.push(norm, &[both, weight, bias], "norm").expect("norm");
            let inner = layer(b, "inner", normed, 36, true);
            let shortcut = layer(b, "shortcut", both, 36, true);
            b.push(SUM, &[shortcut, inner], "sum").expect("sum")
        }),
    ]
}

/// Rules that compute the steps after, or the upsampling before, a matmul or convolution in its kernel.
fn epilogue_rules() -> Vec<Rule> {
    vec![
        rule("residual of a linear layer", 1, "matmul linear (2,7,36) bias residual", &|b| {
            let x = b.input("x", &[2, 7, 20]);
            let other = b.input("other", &[2, 7, 36]);
            let y = linear(b, x, 36, 20);
            b.push(SUM, &[other, y], "sum").expect("sum")
        }),
        rule("residual on the left", 1, "matmul linear (2,7,36) bias residual", &|b| {
            let x = b.input("x", &[2, 7, 20]);
            let other = b.input("other", &[2, 7, 36]);
            let y = linear(b, x, 36, 20);
            b.push(SUM, &[y, other], "sum").expect("sum")
        }),
        rule("function of a linear layer", 1, "matmul linear (3,68) bias quick_gelu", &|b| {
            let x = b.input("x", &[3, 12]);
            let y = linear(b, x, 68, 12);
            b.push(Unary { function: Activation::QuickGelu }, &[y], "act").expect("act")
        }),
        rule("gate and residual", 1, "matmul linear (1,19,20) bias geglu residual", &|b| {
            let x = b.input("x", &[1, 19, 20]);
            let y = linear(b, x, 40, 20);
            let y = b.push(Geglu {}, &[y], "gate").expect("gate");
            b.push(SUM, &[x, y], "sum").expect("sum")
        }),
        rule("time embedding and residual of a convolution", 1, "3x3 bias channel_bias 0 residual", &|b| {
            let x = b.input("x", &[2, 5, 6, 8]);
            let time = b.input("time", &[2, 20]);
            let other = b.input("other", &[2, 5, 6, 20]);
            let y = conv(b, x);
            let y = b.push(Add { broadcast: Broadcast::Pixels }, &[y, time], "time").expect("time");
            b.push(SUM, &[other, y], "sum").expect("sum")
        }),
        rule("enlargement before a convolution", 1, "conv2d conv (2,9,12,20) 3x3 upsample 9x12 bias", &|b| {
            let x = b.input("x", &[2, 5, 6, 8]);
            let x = b.push(Upsample { height: 9, width: 12 }, &[x], "up").expect("up");
            conv(b, x)
        }),
    ]
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn each_fusion_rule_keeps_the_result_in_fewer_steps() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        for (name, steps, words, plan) in rules() {
            let fused = plan.clone().fuse_epilogues();
            let printed = fused.to_string();
            assert_eq!(fused.steps.len(), steps, "{name}: {printed}");
            assert!(printed.contains(words), "{name}: `{words}` is not in {printed}");
            let wanted = &interpret(&plan, &mut give(&plan), &[]).expect("the plan runs")["y"];
            let got = &interpret(&fused, &mut give(&fused), &[]).expect("the fused plan runs")["y"];
            close(name, got, wanted, REFERENCE);
            for style in [Style::Tiled, Style::Untiled] {
                let config = KernelConfig { style, ..gpu.default_config() };
                let kernel = run_with(&gpu, &config, &fused, &mut give(&fused)).await;
                close(&format!("{name}, {style:?}"), &kernel, wanted, KERNEL);
            }
            let kernel = run_f16(&gpu, &fused, &mut give(&fused)).await;
            close(&format!("{name}, f16"), &kernel, wanted, TOLERANCE_F16);
        }
    });
}

/// Runs the plan with f16 math if the device supports it; tests/kernels.rs checks that it is used.
async fn run_f16(gpu: &Gpu, plan: &Plan, numbers: &mut dyn FnMut(&str) -> Option<Vec<f32>>) -> Vec<f32> {
    let tiles = TileChoice::Forced(F16_VARIANT);
    let config = KernelConfig { style: Style::Tiled, tiles, ..gpu.default_config() };
    run_with(gpu, &config, &Plan { allows_f16_math: true, ..plan.clone() }, numbers).await
}

async fn run_with(
    gpu: &Gpu,
    config: &KernelConfig,
    plan: &Plan,
    numbers: &mut dyn FnMut(&str) -> Option<Vec<f32>>,
) -> Vec<f32> {
    run_stored(gpu, config, plan, numbers, &|_, _| Storage::F32).await
}

async fn run_stored(
    gpu: &Gpu,
    config: &KernelConfig,
    plan: &Plan,
    numbers: &mut dyn FnMut(&str) -> Option<Vec<f32>>,
    storage: &dyn Fn(&str, &[usize]) -> Storage,
) -> Vec<f32> {
    let resident = gpu.allocate_weights(plan, storage).expect("memory");
    for (name, tensor) in &resident {
        gpu.write(tensor, &numbers(name).expect("numbers")).expect("an upload");
    }
    let runner = Runner::new(gpu, config, plan, &|name| resident.get(name).cloned()).await.expect("a runner");
    for value in &plan.values {
        if let Source::Input(name) = &value.source {
            runner.set(gpu, name, &numbers(name).expect("numbers")).expect("an input");
        }
    }
    runner.compute(gpu, "y").await.expect("y")
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn layer_norm_is_fused_into_the_matmul_that_follows() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        // Widths that are not a multiple of a tile, less than a tile, and rows far from 0 with one outlier.
        for (rows, inner, columns, bias, gate) in [
            (9, 36, 68, true, false),
            (70, 320, 132, false, false),
            (3, 8, 20, true, false),
            (130, 64, 136, true, true),
        ] {
            let mut b = Builder::new("norm");
            let x = b.input("x", &[1, rows, inner]);
            let (scale, shift) =
                (b.weight("scale", &[inner], Layout::Plain), b.weight("shift", &[inner], Layout::Plain));
            let normed = b.push(LayerNorm { eps: 1e-5 }, &[x, scale, shift], "norm").expect("norm");
            let mut y = layer(&mut b, "to_y", normed, columns, bias);
            if gate {
                y = b.push(Geglu {}, &[y], "gate").expect("gate");
            }
            b.output("y", y);
            let plan = b.finish().fuse_epilogues();
            let fused = plan.clone().fuse_layer_norms();
            let (once, each) = fused.clone().hoist_invariant(&["x"]);
            let what = format!("{rows} x {inner} x {columns}");
            assert_eq!((once.steps.len(), each.steps.len()), (2, 1), "{what}: {fused}");
            assert!(each.to_string().contains("bias layer_norm eps=1e-5"), "{each}");
            let mut values = give(&plan);
            let mut shifted = |name: &str| {
                let mut data = values(name)?;
                if name == "x" {
                    data.iter_mut()
                        .enumerate()
                        .for_each(|(i, value)| *value += if i % inner == 1 { 60.0 } else { 7.0 });
                }
                Some(data)
            };
            let wanted = &interpret(&plan, &mut shifted, &[]).expect("the plan runs")["y"];
            let got = &interpret(&fused, &mut shifted, &[]).expect("the fused plan runs")["y"];
            close(&what, got, wanted, 1e-5);
            for style in [Style::Tiled, Style::Untiled] {
                let config = KernelConfig { style, ..gpu.default_config() };
                let kernel = run_with(&gpu, &config, &fused, &mut shifted).await;
                close(&format!("{what}, {style:?}"), &kernel, got, 1e-5);
            }
            let kernel = run_f16(&gpu, &fused, &mut shifted).await;
            close(&format!("{what}, f16"), &kernel, got, TOLERANCE_F16);
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn winograd_convolutions_support_prologue_and_epilogue() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        // A batch of two with odd sizes, upsampled to other odd sizes; weights in each storage type.
        let mut b = Builder::new("around");
        let (x, time) = (b.input("x", &[2, 12, 9, 8]), b.input("time", &[2, 20]));
        let other = b.input("other", &[2, 25, 23, 20]);
        let x = b.push(Upsample { height: 25, width: 23 }, &[x], "up").expect("up");
        let (weight, bias) = (b.weight("w", &[20, 9 * 8], Layout::Ohwi), b.weight("b", &[20], Layout::Plain));
        let op = Conv2d { kernel: 3, stride: 1, padding: 1, bias: true, ..Default::default() };
        let y = b.push(op, &[x, weight, bias], "conv").expect("conv");
        let y = b.push(Add { broadcast: Broadcast::Pixels }, &[y, time], "time").expect("time");
        let y = b.push(Unary { function: Activation::Silu }, &[y], "act").expect("act");
        let y = b.push(SUM, &[other, y], "sum").expect("sum");
        b.output("y", y);
        let plan = Plan { allows_winograd: true, ..b.finish().fuse_epilogues() };
        assert_eq!(plan.steps.len(), 1, "{plan}");
        for storage in [Storage::F32, Storage::F16, Storage::Bf16] {
            let mut values = give(&plan);
            let mut rounded = |name: &str| {
                let data = values(name)?;
                Some(if name == "w" { storage.rounded(&data) } else { data })
            };
            let wanted = &interpret(&plan, &mut rounded, &[]).expect("the plan runs")["y"];
            for style in [Style::Tiled, Style::Untiled] {
                let config = KernelConfig { style, winograd: Winograd::MinChannels(0), ..gpu.default_config() };
                let made = gpu.resource_stats().bind_groups;
                let stored = |name: &str, _: &[usize]| if name == "w" { storage } else { Storage::F32 };
                let kernel = run_stored(&gpu, &config, &plan, &mut rounded, &stored).await;
                assert_eq!(
                    gpu.resource_stats().bind_groups - made,
                    4,
                    "transforms of weight, input and output, and the product"
                );
                close(&format!("{storage:?}, {style:?}"), &kernel, wanted, KERNEL);
            }
        }
    });
}

/// A channel bias has a row per batch item; a sum over the batch has one per token.
#[test]
fn a_sum_over_the_batch_is_not_fused() {
    let mut b = Builder::new("batch");
    let x = b.input("x", &[2, 4, 8]);
    let weight = b.weight("w", &[8, 8], Layout::Plain);
    let y = b.push(Matmul { transpose_b: true, ..Default::default() }, &[x, weight], "linear").expect("linear");
    let position = b.input("position", &[4, 8]);
    let y = b.push(Add { broadcast: Broadcast::Batch }, &[y, position], "sum").expect("sum");
    b.output("y", y);
    let plan = b.finish();
    let fused = plan.clone().fuse_epilogues();
    assert_eq!(fused.steps.len(), 2, "{fused}");
    let wanted = &interpret(&plan, &mut give(&plan), &[]).expect("the plan runs")["y"];
    let got = &interpret(&fused, &mut give(&fused), &[]).expect("the fused plan runs")["y"];
    close("a sum over the batch", got, wanted, REFERENCE);
}

/// Appends one of the operations that passes fuse to `values`, all of which are (2, 4, 8); `pick` chooses its operands.
fn push_random(b: &mut Builder, values: &mut Vec<ValueId>, kind: usize, pick: [prop::sample::Index; 2]) {
    let [x, other] = pick.map(|index| *index.get(values));
    let at = values.len();
    let mut linear = |x, inner: usize, columns: usize, bias: bool| {
        let mut inputs = vec![x, b.weight(&format!("w{at}"), &[columns, inner], Layout::Plain)];
        inputs.extend(bias.then(|| b.weight(&format!("b{at}"), &[columns], Layout::Plain)));
        b.push(Matmul { transpose_b: true, bias, ..Default::default() }, &inputs, &format!("linear{at}"))
            .expect("linear")
    };
    let y = match kind {
        0 => linear(x, 8, 8, true),
        1 => linear(x, 8, 8, false),
        2 => {
            let wide = linear(x, 8, 16, true);
            b.push(Geglu {}, &[wide], "geglu").expect("geglu")
        }
        3 => b.push(Unary { function: Activation::Silu }, &[x], "act").expect("act"),
        4 => b.push(SUM, &[x, other], "sum").expect("sum"),
        5 => {
            let position = b.weight(&format!("p{at}"), &[4, 8], Layout::Plain);
            b.push(Add { broadcast: Broadcast::Batch }, &[x, position], "batch").expect("batch")
        }
        6 => {
            let time = b.weight(&format!("t{at}"), &[2, 8], Layout::Plain);
            b.push(Add { broadcast: Broadcast::Pixels }, &[x, time], "pixels").expect("pixels")
        }
        7 => {
            let wide = b.push(Concat {}, &[x, other], "concat").expect("concat");
            let weight = b.weight(&format!("c{at}"), &[8, 16], Layout::Plain);
            b.push(Matmul { transpose_b: true, ..Default::default() }, &[wide, weight], "joined").expect("joined")
        }
        _ => {
            let scale = b.weight(&format!("s{at}"), &[8], Layout::Plain);
            let shift = b.weight(&format!("h{at}"), &[8], Layout::Plain);
            b.push(LayerNorm { eps: 1e-5 }, &[x, scale, shift], "norm").expect("norm")
        }
    };
    values.push(y);
}

/// Plans of the operations that passes fuse.
fn random_plan() -> impl Strategy<Value = Plan> {
    let steps = prop::collection::vec((0usize..9, any::<[prop::sample::Index; 2]>()), 1..9);
    steps.prop_map(|steps| {
        let mut b = Builder::new("random");
        let mut values = vec![b.input("x", &[2, 4, 8])];
        for (kind, pick) in steps {
            push_random(&mut b, &mut values, kind, pick);
        }
        b.output("y", values[values.len() - 1]);
        b.finish()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// No pass changes the result of any plan of the operations that they fuse.
    #[test]
    fn passes_keep_the_results_of_random_plans(plan in random_plan()) {
        let wanted = &interpret(&plan, &mut give(&plan), &[]).expect("the plan runs")["y"];
        let fused = plan.clone().fuse_epilogues();
        for fused in [fused.clone(), fused.fuse_layer_norms()] {
            let got = &interpret(&fused, &mut give(&fused), &[]).expect("the fused plan runs")["y"];
            close(&fused.to_string(), got, wanted, 1e-5);
        }
    }

    /// The parts of a plan compute its result one after the other, and the weights of each part are within the limit.
    #[test]
    fn parts_of_random_plans_compute_their_results(plan in random_plan(), most in 0u64..2000) {
        let plan = plan.fuse_epilogues();
        let wanted = &interpret(&plan, &mut give(&plan), &[]).expect("the plan runs")["y"];
        let bytes = plan.weights().map(|(name, _, shape)| (name, 4 * numel(shape))).collect();
        let parts = plan.divided(most, &bytes);
        let mut passed = BTreeMap::new();
        for part in parts.iter().map(|part| &part.plan) {
            let total: u64 = part.weights().map(|(name, ..)| bytes[name]).sum();
            prop_assert!(total <= most || part.steps.len() == 1, "{total} of {most} bytes: {part}");
            let mut given = give(&plan);
            let mut resident = |name: &str| passed.get(name).cloned().or_else(|| given(name));
            passed.append(&mut interpret(part, &mut resident, &[]).expect("the part runs"));
        }
        prop_assert_eq!(parts.iter().map(|part| part.plan.steps.len()).sum::<usize>(), plan.steps.len());
        prop_assert_eq!(&passed["y"], wanted);
    }
}

#[test]
fn results_with_two_uses_or_a_tap_are_not_fused() {
    let mut b = Builder::new("twice");
    let x = b.input("x", &[1, 4]);
    let weight = b.weight("w", &[4, 4], Layout::Plain);
    let y = b.push(Matmul { transpose_b: true, ..Default::default() }, &[x, weight], "linear").expect("linear");
    let act = b.push(Unary { function: Activation::Silu }, &[y], "act").expect("act");
    let sum = b.push(SUM, &[act, y], "sum").expect("sum");
    b.output("y", sum);
    assert_eq!(b.finish().fuse_epilogues().steps.len(), 3, "two steps read the product");

    let residual = rules().into_iter().find(|(name, ..)| *name == "residual of a linear layer");
    let (_, _, _, plan) = residual.expect("the rule");
    let tapped = plan.with_taps(&["linear".into()]).fuse_epilogues();
    assert_eq!(tapped.steps.len(), 2, "a tapped result is not fused away");
}

#[test]
fn unaligned_widths_are_not_fused() {
    let mut b = Builder::new("odd");
    let x = b.input("x", &[3, 5]);
    let weight = b.weight("w", &[7, 5], Layout::Plain);
    let y = b.push(Matmul { transpose_b: true, ..Default::default() }, &[x, weight], "linear").expect("linear");
    let y = b.push(Unary { function: Activation::Silu }, &[y], "act").expect("act");
    b.output("y", y);
    let plan = b.finish();
    assert_eq!(plan.clone().fuse_epilogues(), plan);
}

#[test]
fn text_only_steps_are_hoisted() {
    let net = Family::published(FamilyId::Sd15).expect("a config").unet;
    let plan = unet_layer(&net, 0, 1, 2, 2, 3).expect("a plan").fuse_epilogues();
    let (once, each) = plan.clone().hoist_invariant(&["x", "time"]);
    let labels: Vec<&str> = once.steps.iter().map(|step| step.label.rsplit('.').next().unwrap_or_default()).collect();
    assert_eq!(labels, ["to_k+to_v"], "keys and values of cross-attention");
    assert_eq!(once.steps.len() + each.steps.len(), plan.steps.len());
    let first = interpret(&once, &mut give(&plan), &[]).expect("the first part runs");
    let mut numbers = give(&plan);
    let mut both = |name: &str| first.get(name).cloned().or_else(|| numbers(name));
    let got = &interpret(&each, &mut both, &[]).expect("the second part runs")["y"];
    let wanted = &interpret(&plan, &mut give(&plan), &[]).expect("the plan runs")["y"];
    assert_eq!(got, wanted);
    // Other hoisted values give another result, so the second part reads them.
    let mut other = |name: &str| first.get(name).map(|data| vec![0.5; data.len()]).or_else(|| numbers(name));
    let changed = &interpret(&each, &mut other, &[]).expect("the second part runs")["y"];
    assert!(rel_rms(changed, wanted) > 1e-3);
}

#[test]
fn unet_calls_stay_within_the_dispatch_limit() {
    for (family, limit) in [(FamilyId::Sd15, MAX_DISPATCHES), (FamilyId::Sdxl, 700)] {
        let net = Family::published(family).expect("a config").unet;
        let plan = unet(&net, 2, 64, 64, 77).expect("a plan");
        let (once, each) = plan.clone().fuse_epilogues().fuse_layer_norms().hoist_invariant(&["sample", "time"]);
        println!(
            "{family}: {} steps, then {} once and {} each call",
            plan.steps.len(),
            once.steps.len(),
            each.steps.len()
        );
        assert!(each.steps.len() <= limit, "{family}: {} dispatches", each.steps.len());
    }
}

/// Maximum number of dispatches of one UNet call of SD 1.5.
const MAX_DISPATCHES: usize = 300;
