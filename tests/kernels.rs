//! Every operation at production and unaligned shapes: CPU reference against PyTorch, kernels against the reference.

use lora_loupe::gpu::{F16_VARIANT, Gpu, KernelConfig, Runner, Style, TOLERANCE_F16, TileChoice, Winograd};
use lora_loupe::ops::{Activation, Attention, Axpy, Matmul, Narrow, Op, Storage, Unary, Widen};
use lora_loupe::plan::{Builder, Layout, Plan, interpret};
use lora_loupe_tests::compare::{close, rel_rms};
use lora_loupe_tests::kernels::{KERNEL, compute, reference, run};
use lora_loupe_tests::numbers::numbers;
use lora_loupe_tests::ops::{Case, cases};

/// Tolerance of the CPU reference, which sums in f64 and rounds once, as the golden does.
const REFERENCE: f64 = 3e-7;
#[test]
fn the_reference_agrees_with_pytorch() {
    for case in cases() {
        close(&case.name, &case.sample(&reference(&case)), &case.golden, REFERENCE);
    }
}

fn agree(style: Style) {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let config = KernelConfig { style, ..gpu.default_config() };
        println!("on {:?}", gpu.info());
        for case in cases() {
            close(&case.name, &compute(&gpu, &config, &case).await, &reference(&case), KERNEL);
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn tiled_kernels_agree_with_the_reference() {
    agree(Style::Tiled);
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn untiled_kernels_agree_with_the_reference() {
    agree(Style::Untiled);
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn every_tile_shape_agrees_with_the_reference() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let listed: Vec<Case> = cases().into_iter().filter(|case| case.plan.flops() < 30_000_000).collect();
        for index in 0..4 {
            let tiles = TileChoice::Forced(index);
            let config = KernelConfig { style: Style::Tiled, tiles, ..gpu.default_config() };
            let before = gpu.pipeline_count();
            for case in &listed {
                if !["matmul", "conv2d", "attention"].contains(&case.plan.steps[0].op.get().name()) {
                    continue;
                }
                let got = compute(&gpu, &config, case).await;
                close(&format!("shape {index}, {}", case.name), &got, &reference(case), KERNEL);
            }
            assert!(index == 0 || gpu.pipeline_count() > before, "shape {index} has its own kernels");
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn every_attention_block_agrees_with_the_reference() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        // Queries, keys, heads and their dimension: those of the networks, with partial last blocks of queries, keys
        // and channels; tokens of a text; dimensions that are no multiples of 4.
        let shapes: [(usize, usize, usize, usize); 9] = [
            (230, 230, 2, 40),
            (130, 77, 2, 40),
            (270, 270, 1, 64),
            (100, 170, 2, 80),
            (70, 190, 1, 160),
            (9, 530, 1, 512),
            (61, 77, 3, 13),
            (300, 300, 1, 6),
            (40, 90, 2, 36),
        ];
        for (queries, keys, heads, head_dim) in shapes {
            for causal in [false, true].into_iter().filter(|causal| !causal || queries == keys) {
                let width = heads * head_dim;
                let mut builder = Builder::new("attention");
                let ids = [("x0", queries), ("x1", keys), ("x2", keys)]
                    .map(|(name, tokens)| builder.input(name, &[2, tokens, width]));
                let y = builder.push(Attention { heads, causal }, &ids, "y").expect("an attention");
                builder.output("y", y);
                let case = Case {
                    name: format!("{queries} to {keys} tokens, {heads} heads of {head_dim}, causal {causal}"),
                    plan: builder.finish(),
                    inputs: [queries, keys, keys]
                        .map(|tokens| numbers(tokens as u32, 2 * tokens * width, 1.5, 0.1))
                        .into(),
                    scalars: Vec::new(),
                    golden: Vec::new(),
                };
                let wanted = reference(&case);
                for index in 0..4 {
                    let tiles = TileChoice::Forced(index);
                    let config = KernelConfig { style: Style::Tiled, tiles, ..gpu.default_config() };
                    let got = compute(&gpu, &config, &case).await;
                    close(&format!("block {index}, {}", case.name), &got, &wanted, KERNEL);
                }
            }
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn winograd_agrees_with_the_reference() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let mut used = Vec::new();
        for case in cases() {
            let Op::Conv2d(conv) = case.plan.steps[0].op else { continue };
            let plan = Plan { allows_winograd: true, ..case.plan.clone() };
            let wanted = reference(&case);
            for style in [Style::Tiled, Style::Untiled] {
                let mut dispatches = Vec::new();
                let always = Winograd::MinChannels(0);
                for (plan, winograd) in [(&plan, always), (&plan, Winograd::ByStyle), (&case.plan, always)] {
                    let config = KernelConfig { style, winograd, ..gpu.default_config() };
                    let before = gpu.resource_stats().bind_groups;
                    let got = run(&gpu, &config, plan, &case).await.0;
                    close(&format!("{style:?} {}", case.name), &got, &wanted, KERNEL);
                    dispatches.push(gpu.resource_stats().bind_groups - before);
                }
                // One for the weight transform and three per chunk of tiles. By the rule no case has enough channels in
                // the tiled style, and one does in the untiled style of software rasterizers.
                let widths =
                    plan.input_shapes(&plan.steps[0]).iter().map(|shape| shape[shape.len() - 1]).collect::<Vec<_>>();
                let by_rule = dispatches[0] > 1 && widths[0] >= 64 && style == Style::Untiled;
                assert_eq!(dispatches[1], if by_rule { dispatches[0] } else { 1 }, "{style:?} {}", case.name);
                assert_eq!(dispatches[2], 1, "a plan that does not allow it: {}", case.name);
                assert!(dispatches[0] == 1 || (conv.kernel, conv.stride) == (3, 1), "{}", case.name);
                used.push(dispatches[0]);
            }
        }
        used.retain(|&dispatches| dispatches > 1);
        // Two styles each: 4 to 320 channels, 128 to 128, a batch of two with odd sizes, three chunks of tiles.
        assert_eq!(used, [4, 4, 4, 4, 4, 4, 10, 10]);
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn f16_products_agree_with_the_reference() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let config = KernelConfig { style: Style::Tiled, ..gpu.default_config() };
        assert_eq!(config.f16_math, gpu.info().shader_f16);
        let is_product = |case: &Case| ["matmul", "conv2d"].contains(&case.plan.steps[0].op.get().name());
        let listed = cases().into_iter().filter(is_product).map(|case| (reference(&case), case));
        for (wanted, case) in listed.collect::<Vec<_>>() {
            let plan = Plan { allows_f16_math: true, ..case.plan.clone() };
            // Kernels for unaligned widths are not tiled.
            let ends = [plan.steps[0].inputs[0], plan.steps[0].output];
            let is_tiled = ends.iter().all(|id| plan.value(*id).shape.last().is_some_and(|width| width % 4 == 0));
            for index in F16_VARIANT..F16_VARIANT + 3 {
                let config = KernelConfig { tiles: TileChoice::Forced(index), ..config.clone() };
                let what = format!("shape {index}, {}", case.name);
                let (got, used_f16) = run(&gpu, &config, &plan, &case).await;
                assert_eq!(used_f16, is_tiled && config.f16_math, "{what}");
                close(&what, &got, &wanted, if used_f16 { TOLERANCE_F16 } else { KERNEL });
            }
            // f16 math is not used if the plan does not allow it or it is disabled.
            let config = KernelConfig { tiles: TileChoice::Forced(F16_VARIANT), ..config.clone() };
            let without = KernelConfig { f16_math: false, ..config.clone() };
            for (config, plan) in [(&config, &case.plan), (&without, &plan)] {
                let (got, used_f16) = run(&gpu, config, plan, &case).await;
                assert!(!used_f16, "{}", case.name);
                close(&case.name, &got, &wanted, KERNEL);
            }
        }
    });
}

#[test]
fn a_wrong_output_is_detected() {
    let case = cases().into_iter().find(|case| case.name.contains("conv2d")).expect("a convolution");
    let mut output = reference(&case);
    let last = output.len() - 1;
    output[last] += 0.5;
    assert!(rel_rms(&case.sample(&output), &case.golden) > REFERENCE);
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn f16_and_bf16_tensors_are_read_widened_and_rounded_like_the_reference() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        for style in [Style::Tiled, Style::Untiled] {
            let config = KernelConfig { style, ..gpu.default_config() };
            for storage in [Storage::F16, Storage::Bf16] {
                // 5 x 7 elements: an odd count, so the last packed pair is half empty.
                let (x, weight) = (numbers(1, 3 * 7, 1.0, 0.0), numbers(2, 5 * 7, 3.0, 0.0));
                let rounded: Vec<f32> = storage.rounded(&weight);
                let resident = gpu.upload("weight", &weight, storage).expect("a tensor");
                assert_eq!(gpu.read(&resident).await.expect("numbers"), rounded, "{storage:?} upload");

                let mut builder = Builder::new("f16");
                let a = builder.input("x", &[3, 7]);
                let w = builder.weight("weight", &[5, 7], Layout::Plain);
                let y = builder.push(Matmul { transpose_b: true, ..Default::default() }, &[a, w], "y").expect("y");
                builder.output("y", y);
                let wide = builder.push(Widen {}, &[w], "wide").expect("wide");
                let scalar = builder.scalar("s").0;
                let sum = builder.push(Axpy { scalar, factor: 1.0, gate: false }, &[wide, wide], "sum").expect("sum");
                let narrow = builder.push(Narrow { storage }, &[sum], "narrow").expect("narrow");
                builder.output("narrow", narrow);
                let plan = builder.finish();

                let resident = |name: &str| (name == "weight").then(|| resident.clone());
                let runner = Runner::new(&gpu, &config, &plan, &resident).await.expect("a runner");
                runner.set(&gpu, "x", &x).expect("x");
                runner.set_scalars(&gpu, &[0.3]);
                let got = runner.compute(&gpu, "y").await.expect("y");
                let mut give = |name: &str| Some(if name == "x" { x.clone() } else { rounded.clone() });
                let wanted = interpret(&plan, &mut give, &[0.3]).expect("the reference runs");
                close(&format!("{style:?} {storage:?} matmul"), &got, &wanted["y"], KERNEL);
                let narrow = gpu.read(runner.output("narrow").expect("narrow")).await.expect("numbers");
                assert_eq!(narrow, wanted["narrow"], "{storage:?} narrow");
            }
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn a_kernel_without_f16_support_is_refused() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let weight = gpu.upload("weight", &[1.0, 2.0], Storage::F16).expect("a tensor");
        let mut builder = Builder::new("misread");
        let w = builder.weight("weight", &[2], Layout::Plain);
        let y = builder.push(Unary { function: Activation::Silu }, &[w], "y").expect("y");
        builder.output("y", y);
        let resident = |name: &str| (name == "weight").then(|| weight.clone());
        let refused =
            Runner::new(&gpu, &gpu.default_config(), &builder.finish(), &resident).await.err().expect("a refusal");
        assert!(refused.to_string().contains("stored as F16"), "{refused}");
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn plan_outputs_need_a_tensor_with_the_same_storage() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        for storage in [Storage::F16, Storage::Bf16] {
            let mut builder = Builder::new("rounded");
            let x = builder.input("x", &[5]);
            let narrow = builder.push(Narrow { storage }, &[x], "narrow").expect("narrow");
            let wide = builder.push(Widen {}, &[narrow], "wide").expect("wide");
            builder.output("wide", wide);
            let plan = builder.finish();
            // A 16-bit tensor between two steps is read as such.
            let data = numbers(3, 5, 2.0, 0.1);
            let runner = Runner::new(&gpu, &gpu.default_config(), &plan, &|_| None).await.expect("a runner");
            runner.set(&gpu, "x", &data).expect("x");
            let rounded: Vec<f32> = storage.rounded(&data);
            assert_eq!(runner.compute(&gpu, "wide").await.expect("numbers"), rounded, "{storage:?}");

            let bind_output = async |name: &str, plan: &Plan, stored| {
                let tensor = gpu.tensor_with_storage("output", 5, stored).expect("a tensor");
                let resident = |other: &str| (other == name).then(|| tensor.clone());
                Runner::new(&gpu, &gpu.default_config(), plan, &resident).await.map(|_| ())
            };
            // An f32 result into a 16-bit tensor, which is half as large.
            let refused = bind_output("wide", &plan, storage).await.expect_err("a refusal").to_string();
            assert!(refused.contains("`wide`") && refused.contains("F32"), "{refused}");
            bind_output("wide", &plan, Storage::F32).await.expect("a matching tensor");
            // A 16-bit result into an f32 tensor and into each 16-bit type.
            let mut builder = Builder::new("f16");
            let x = builder.input("x", &[5]);
            let narrow = builder.push(Narrow { storage }, &[x], "narrow").expect("narrow");
            builder.output("narrow", narrow);
            let plan = builder.finish();
            for stored in [Storage::F32, Storage::F16, Storage::Bf16] {
                assert_eq!(
                    bind_output("narrow", &plan, stored).await.is_ok(),
                    stored == storage,
                    "{storage:?} {stored:?}"
                );
            }
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn writes_are_exact_or_rejected() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let len = 7usize;
        let wide = len as u64;
        for storage in [Storage::F32, Storage::F16, Storage::Bf16] {
            // The adjacent tensor must not change.
            let parts = gpu.allocate_contiguous(&[("a", wide), ("b", wide)], storage).expect("memory");
            gpu.write(&parts[1], &[9.0; 7]).expect("a full write");
            for first in 0..=len + 1 {
                for count in 0..=len + 1 {
                    let zeros = vec![0.0; len];
                    gpu.write(&parts[0], &zeros).expect("a full write");
                    let data: Vec<f32> = (0..count).map(|i| (i + 1) as f32).collect();
                    let written = gpu.write_at(&parts[0], first as u64, &data);
                    let got = gpu.read(&parts[0]).await.expect("numbers");
                    let what = format!("{count} elements from {first} on in {storage:?}");
                    let is_whole =
                        storage == Storage::F32 || first % 2 == 0 && (count % 2 == 0 || first + count == len);
                    assert_eq!(written.is_ok(), first + count <= len && is_whole, "{what}");
                    let mut wanted = zeros;
                    if written.is_ok() {
                        wanted[first..first + count].copy_from_slice(&data);
                    }
                    assert_eq!(got, wanted, "{what}");
                    let bits = vec![0; count];
                    let written_bits = gpu.write_u16_at(&parts[0], first as u64, &bits);
                    assert_eq!(written_bits.is_ok(), written.is_ok() && storage != Storage::F32, "{what}, as bits");
                }
            }
            assert_eq!(gpu.read(&parts[1]).await.expect("numbers"), [9.0; 7], "{storage:?}");
            let other = if storage == Storage::F32 { Storage::F16 } else { Storage::F32 };
            let copy = gpu.tensor_with_storage("copy", wide, storage).expect("memory");
            gpu.copy(&parts[1], &copy).expect("same length and storage");
            assert_eq!(gpu.read(&copy).await.expect("numbers"), [9.0; 7], "{storage:?}");
            gpu.copy(&parts[0], &gpu.tensor_with_storage("other", wide, other).expect("memory"))
                .expect_err("another storage");
            gpu.copy(&parts[0], &gpu.tensor_with_storage("other", wide - 1, storage).expect("memory"))
                .expect_err("another length");
        }
        gpu.check().expect("no driver error");
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn subgroup_norms_agree_with_the_reference() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let has_subgroups = gpu.default_config().subgroups;
        println!("subgroups: {has_subgroups}");
        let names = ["group_norm", "layer_norm", "moments"];
        let mut count = 0;
        for case in cases().into_iter().filter(|case| names.contains(&case.plan.steps[0].op.get().name())) {
            let wanted = reference(&case);
            for style in [Style::Tiled, Style::Untiled] {
                let config = KernelConfig { style, ..gpu.default_config() };
                compute(&gpu, &config, &case).await;
                let before = gpu.pipeline_count();
                let config = KernelConfig { tiles: TileChoice::Forced(1), ..config };
                close(&format!("{style:?} {}", case.name), &compute(&gpu, &config, &case).await, &wanted, KERNEL);
                count += gpu.pipeline_count() - before;
            }
        }
        // With and without SiLU, and moments with and without previous ones, in two styles.
        assert_eq!(count, if has_subgroups { 10 } else { 0 });

        let config = KernelConfig { style: Style::Tiled, ..gpu.default_config() };
        assert_eq!(gpu.test_subgroups_within(1e-3, &config).await, config, "they pass the test");
        let failed = gpu.test_subgroups_within(0.0, &config).await;
        assert!(!failed.subgroups, "with a tolerance of 0 they fail: f32 sums round");
    });
}
