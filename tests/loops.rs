//! Kernels with the longest loops of production shapes and few outputs, against the CPU reference. llvmpipe ends an
//! invocation's loops after 65,535 iterations in total and reports nothing.
#![cfg(not(target_os = "wasi"))]

use lora_loupe::gpu::{Gpu, KernelConfig, Runner, Style};
use lora_loupe::num::{host_len, numel};
use lora_loupe::ops::{Attention, Conv2d, GroupNorm, LayerNorm, Matmul, Moments, Op};
use lora_loupe::plan::{Builder, interpret};
use lora_loupe_tests::compare::close;
use lora_loupe_tests::numbers::numbers;

/// Tolerance of sums of up to 16,384 terms in f32.
const TOLERANCE: f64 = 1e-5;
const BOTH: [Style; 2] = [Style::Tiled, Style::Untiled];
/// Keys that one launch of the tiled attention covers with heads of 8 channels.
const TILED_KEYS: usize = 12_480;

fn check(gpu: &Gpu, styles: &[Style], name: &str, op: Op, shapes: &[Vec<usize>]) {
    let mut builder = Builder::new("loops");
    let inputs: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| builder.input(&format!("x{i}"), shape)).collect();
    let y = builder.push(op, &inputs, "y").expect("shapes that fit");
    builder.output("y", y);
    let plan = builder.finish();
    let data: Vec<Vec<f32>> =
        shapes.iter().zip(1..).map(|(shape, seed)| numbers(seed, host_len(numel(shape)), 1.0, 0.1)).collect();
    let mut give = |name: &str| name[1..].parse::<usize>().ok().map(|i| data[i].clone());
    let wanted = interpret(&plan, &mut give, &[]).expect("the reference runs").remove("y").expect("an output");
    for &style in styles {
        let config = KernelConfig { style, ..gpu.default_config() };
        let got = pollster::block_on(async {
            let runner = Runner::new(gpu, &config, &plan, &|_| None).await.expect("a launch");
            for (i, data) in data.iter().enumerate() {
                runner.set(gpu, &format!("x{i}"), data).expect("an input");
            }
            runner.compute(gpu, "y").await.expect("an output")
        });
        close(&format!("{style:?} {name}"), &got, &wanted, TOLERANCE);
    }
}

#[test]
fn attention_over_all_tokens_of_a_vae() {
    let gpu = pollster::block_on(Gpu::open()).expect("a Vulkan device; software Vulkan counts");
    // One head of 512 channels: 512x512, 768x768 and 1024x1024 pixels; a last chunk of one key.
    for keys in [4096, 9216, 16384, 4033] {
        let op = Attention { heads: 1, causal: false };
        check(
            &gpu,
            &BOTH,
            &format!("{keys} keys"),
            op.into(),
            &[vec![1, 6, 512], vec![1, keys, 512], vec![1, keys, 512]],
        );
    }
    // Several heads and items, one tensor of keys and values.
    let op = Attention { heads: 2, causal: false };
    check(&gpu, &BOTH, "two heads", op.into(), &[vec![2, 5, 1024], vec![2, 4100, 2048]]);
    // Small blocks of keys: several launches of the tiled kernel, the last one of a single key.
    let op = Attention { heads: 2, causal: false };
    check(&gpu, &[Style::Tiled], "small heads", op.into(), &[vec![2, 5, 16], vec![2, TILED_KEYS + 1, 32]]);
}

#[test]
fn reductions_over_the_channels_of_the_widest_layers() {
    let gpu = pollster::block_on(Gpu::open()).expect("a Vulkan device; software Vulkan counts");
    let conv = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
    check(&gpu, &BOTH, "conv2d of 2560 channels", conv.into(), &[vec![1, 2, 2, 2560], vec![4, 9 * 2560]]);
    check(&gpu, &BOTH, "conv2d of 2561 channels", conv.into(), &[vec![1, 2, 2, 2561], vec![3, 9 * 2561]]);
    let matmul = Matmul { transpose_b: true, ..Default::default() };
    check(&gpu, &BOTH, "matmul of 10240 columns", matmul.into(), &[vec![3, 10240], vec![8, 10240]]);
    check(
        &gpu,
        &BOTH,
        "layer_norm of 2048 channels",
        LayerNorm { eps: 1e-5 }.into(),
        &[vec![2, 2048], vec![2048], vec![2048]],
    );
}

#[test]
fn norms_over_the_largest_maps() {
    let gpu = pollster::block_on(Gpu::open()).expect("a Vulkan device; software Vulkan counts");
    // Groups of 16 channels as in a VAE's middle at 1024x1024 pixels, and four times as many elements.
    for side in [128, 256] {
        let op = GroupNorm { groups: 2, eps: 1e-6, silu: false, concat: false };
        check(&gpu, &BOTH, &format!("group_norm at {side}"), op.into(), &[vec![1, side, side, 32], vec![32], vec![32]]);
        let op = Moments { groups: 2, start: 0, count: side };
        check(&gpu, &BOTH, &format!("moments at {side}"), op.into(), &[vec![1, side, side, 32]]);
    }
}
