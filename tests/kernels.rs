//! Every operation at production and unaligned shapes: CPU reference against PyTorch, kernels against the reference.

use lora_loupe::gpu::kernel::{KernelSequence, LaunchError, MAX_WORKGROUPS_PER_AXIS};
use lora_loupe::gpu::lower::{StepSignature, lower};
use lora_loupe::gpu::params::ParamsLayout;
use lora_loupe::gpu::{
    F16_VARIANT, Gpu, Kernel, KernelConfig, Runner, Scalar, Style, TOLERANCE_F16, TileChoice, Tuning, Winograd, wgsl,
};
use lora_loupe::ops::{
    Activation, Attention, Axpy, Conv2d, GroupNorm, LayerNorm, Matmul, Narrow, Op, Storage, Unary, Widen,
};
use lora_loupe::plan::{Builder, Layout, Plan, interpret};
use lora_loupe_tests::compare::{close, rel_rms};
use lora_loupe_tests::numbers::numbers;
use lora_loupe_tests::ops::{Case, cases};
use std::ops::ControlFlow;

/// Tolerance of the CPU reference, which sums in f64 and rounds once, as the golden does.
const REFERENCE: f64 = 3e-7;
/// Tolerance of kernels, which sum in f32 in another order and approximate erf to 1.5e-7. The worst case is a dot
/// product of 1000 elements under a softmax, 3.4e-6 on software Vulkan; the others stay below 2e-6.
const KERNEL: f64 = 5e-6;

fn reference(case: &Case) -> Vec<f32> {
    let mut give = |name: &str| name[1..].parse::<usize>().ok().map(|i| case.inputs[i].clone());
    interpret(&case.plan, &mut give, &case.scalars).expect("the reference runs").remove("y").expect("an output")
}

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

async fn compute(gpu: &Gpu, config: &KernelConfig, case: &Case) -> Vec<f32> {
    run(gpu, config, &case.plan, case).await.0
}

/// Returns the output of a case's plan, and whether f16 math was used.
async fn run(gpu: &Gpu, config: &KernelConfig, plan: &Plan, case: &Case) -> (Vec<f32>, bool) {
    let runner = Runner::new(gpu, config, plan, &|_| None).await.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    for (i, data) in case.inputs.iter().enumerate() {
        runner.set(gpu, &format!("x{i}"), data).expect("an input");
    }
    runner.set_scalars(gpu, &case.scalars);
    let got = runner.compute(gpu, "y").await.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    (got, runner.uses_f16_math)
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

/// Maximum number of tuning rounds: on a busy machine a round may run out of time.
const MAX_TUNING_ROUNDS: usize = 20;

/// Returns the tuning result of a configuration.
fn tuning_of(config: &KernelConfig) -> Tuning {
    let TileChoice::Tuned(tuning) = &config.tiles else { panic!("{:?}", config.tiles) };
    tuning.clone()
}

/// Tunes until the result has `count` entries: on a busy machine, classes that run out of time follow in a later round.
async fn tuned(
    gpu: &Gpu,
    config: &KernelConfig,
    plans: &[(&Plan, &[Storage])],
    count: usize,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> KernelConfig {
    let mut config = config.clone();
    for _ in 0..MAX_TUNING_ROUNDS {
        if matches!(&config.tiles, TileChoice::Tuned(tuning) if tuning.best.len() == count) {
            break;
        }
        config = gpu.tune_all(&config, plans, on_progress).await.expect("times");
    }
    assert_eq!(tuning_of(&config).best.len(), count, "{config:?}");
    config
}

/// Returns a small matmul and a small attention.
fn small_cases() -> [Case; 2] {
    ["matmul", "attention"].map(|name| {
        let is_small = |case: &Case| (200_001..5_000_000).contains(&case.plan.flops());
        let found = cases().into_iter().find(|case| is_small(case) && case.plan.steps[0].op.get().name() == name);
        found.expect("a case")
    })
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn a_device_is_tuned_once_within_its_time_budget() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let untuned = KernelConfig { style: Style::Tiled, ..gpu.default_config() };
        let chosen = small_cases();
        let storages: Vec<Vec<Storage>> =
            chosen.iter().map(|case| vec![Storage::F32; case.plan.values.len()]).collect();
        let plans: Vec<_> = chosen.iter().zip(&storages).map(|(case, all)| (&case.plan, all.as_slice())).collect();

        let same = gpu.tune(&untuned, &plans, &mut |_, _| panic!("software rasterizers are not tuned")).await;
        assert_eq!(same.expect("nothing"), untuned);
        let stopped = gpu.tune_all(&untuned, &plans, &mut |_, _| ControlFlow::Break(())).await.expect("nothing");
        assert!(tuning_of(&stopped).best.is_empty(), "cancelled before the first measurement: {stopped:?}");

        let mut reports = Vec::new();
        let mut on_progress = |done, total| {
            reports.push((done, total));
            ControlFlow::Continue(())
        };
        let config = tuned(&gpu, &stopped, &plans, 2, &mut on_progress).await;
        assert_eq!(reports[0], (0, 2));
        assert!(matches!(reports[reports.len() - 1], (1, 2) | (0, 1)), "{reports:?}");
        let again = gpu.tune_all(&config, &plans, &mut |_, _| panic!("everything is tuned")).await;
        assert_eq!(again.expect("nothing"), config);
        for case in &chosen {
            close(&case.name, &compute(&gpu, &config, case).await, &reference(case), KERNEL);
        }

        // Another device's tuning is ignored; this device's is applied even if it names unknown variants.
        let text = serde_json::to_string(&tuning_of(&config)).expect("text");
        let mut stored: Tuning = serde_json::from_str(&text).expect("a tuning");
        stored.best.values_mut().for_each(|index| *index = 99);
        let other = Tuning { device: "another".into(), ..stored.clone() };
        assert_eq!(gpu.with_stored_tuning(config.clone(), other), config);
        let unknown = gpu.with_stored_tuning(config, stored);
        close(&chosen[0].name, &compute(&gpu, &unknown, &chosen[0]).await, &reference(&chosen[0]), KERNEL);
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn products_that_allow_f16_math_are_tuned_separately() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let untuned = KernelConfig { style: Style::Tiled, ..gpu.default_config() };
        let [case, _] = small_cases();
        let storages = vec![Storage::F32; case.plan.values.len()];
        let config = tuned(&gpu, &untuned, &[(&case.plan, &storages)], 1, &mut |_, _| ControlFlow::Continue(())).await;
        let product = Plan { allows_f16_math: true, ..case.plan.clone() };
        let count = 1 + usize::from(config.f16_math);
        let both = tuned(&gpu, &config, &[(&product, &storages)], count, &mut |_, _| ControlFlow::Continue(())).await;
        let f32_classes = tuning_of(&config).best;
        let mut tuning = tuning_of(&both);
        for class in tuning.clone().best.into_keys().filter(|class| !f32_classes.contains_key(class)) {
            tuning.best.insert(class, F16_VARIANT);
            let config = config.clone().with_tuning(tuning.clone());
            let (got, used_f16) = run(&gpu, &config, &product, &case).await;
            assert!(used_f16, "{} as tuned", case.name);
            close(&case.name, &got, &reference(&case), TOLERANCE_F16);
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn the_number_of_channels_for_winograd_is_tuned() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let untuned = KernelConfig { style: Style::Tiled, ..gpu.default_config() };
        let mut b = Builder::new("wide");
        let (x, weight) = (b.input("x", &[1, 32, 32, 128]), b.input("weight", &[128, 9 * 128]));
        let op = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
        let y = b.push(op, &[x, weight], "wide").expect("a convolution");
        b.output("y", y);
        let wide = Plan { allows_winograd: true, ..b.finish() };
        let storages = vec![Storage::F32; wide.values.len()];
        // The convolution, or the products inside it, is the other class.
        let config = tuned(&gpu, &untuned, &[(&wide, &storages)], 2, &mut |_, _| ControlFlow::Continue(())).await;
        let channels = tuning_of(&config).best[Tuning::WINOGRAD];
        println!("Winograd from {channels} channels on");
        assert!([128, 256, 512, 1 << 20].contains(&channels), "{config:?}");
        assert_eq!(config.winograd, Winograd::MinChannels(channels));
        // A device whose self-test disabled it stays without.
        let disabled = KernelConfig { winograd: Winograd::Disabled, ..untuned };
        assert_eq!(disabled.with_tuning(tuning_of(&config)).winograd, Winograd::Disabled);
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

/// Checks that a kernel's struct of uniforms has the fields, offsets and size of `Params` in its WGSL.
fn check_uniforms(kernel: &str, module: &naga::Module, layout: ParamsLayout) {
    let uniform = module.global_variables.iter().find(|(_, variable)| variable.space == naga::AddressSpace::Uniform);
    let Some((_, uniform)) = uniform else { return assert_eq!(layout, ParamsLayout::of::<()>(), "{kernel}") };
    let naga::TypeInner::Struct { members, span } = &module.types[uniform.ty].inner else { panic!("{kernel}") };
    let fields: Vec<(&str, usize)> =
        members.iter().map(|member| (member.name.as_deref().unwrap_or_default(), member.offset as usize)).collect();
    assert_eq!((layout.fields, layout.size), (&fields[..], *span as usize), "{kernel}");
}

#[test]
fn every_kernel_is_valid_wgsl_for_all_types() {
    // unpack2x16float is core WebGPU, but naga has a capability for it.
    let capabilities = naga::valid::Capabilities::SHADER_FLOAT16
        | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | naga::valid::Capabilities::SUBGROUP;
    let types = [Scalar::F32, Scalar::F16];
    for &kernel in Kernel::ALL {
        let (name, layout) = (kernel.name(), kernel.params());
        // naga accepts extensions without the `enable` directives that browsers require: see `wgsl::source`.
        for (scalar, factors) in types.into_iter().flat_map(|scalar| types.map(|factors| (scalar, factors))) {
            let text = wgsl::source(kernel, scalar, factors);
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name} {scalar:?} {factors:?}: {}", error.emit_to_string(&text)));
            check_uniforms(name, &module, layout);
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
                .subgroup_operations(naga::valid::SubgroupOperationSet::all())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name} {scalar:?} {factors:?}: {}", error.emit_to_string(&text)));
        }
    }
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
                let rounded: Vec<f32> = weight.iter().map(|&value| storage.round(value)).collect();
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
        assert!(refused.to_string().contains("f16 or bf16"), "{refused}");
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
            let rounded: Vec<f32> = data.iter().map(|&value| storage.round(value)).collect();
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

/// Lowers an operation in f32, in a plan that allows Winograd's algorithm.
fn lowered(
    op: &Op,
    inputs: &[&[usize]],
    output: &[usize],
    winograd: Winograd,
    style: Style,
) -> Result<KernelSequence, LaunchError> {
    let stored = vec![Storage::F32; inputs.len()];
    let step = StepSignature { op, inputs, output, stored: &stored, allows_f16_math: false, allows_winograd: true };
    lower(&step, &KernelConfig { style, winograd, ..KernelConfig::BASELINE })
}

#[test]
fn no_launch_exceeds_the_workgroup_limit() {
    let max = MAX_WORKGROUPS_PER_AXIS as usize;
    let linear = Matmul { transpose_b: true, ..Default::default() };
    let conv = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
    let one = Conv2d { kernel: 1, stride: 1, ..Default::default() };
    let attention = |heads| Attention { heads, causal: false };
    let norm = |groups| GroupNorm { groups, eps: 1e-5, silu: false, concat: false };
    let (tiled, direct) = (Style::Tiled, Style::Untiled);
    // The largest supported shape, and one more along each axis.
    let cases: Vec<(Op, Style, Vec<Vec<usize>>, bool)> = vec![
        (linear.into(), tiled, vec![vec![128 * max, 8], vec![8, 8]], true),
        (linear.into(), tiled, vec![vec![128 * max + 1, 8], vec![8, 8]], false),
        (linear.into(), tiled, vec![vec![8, 8], vec![64 * max, 8]], true),
        (linear.into(), tiled, vec![vec![8, 8], vec![64 * max + 4, 8]], false),
        (linear.into(), direct, vec![vec![32 * max, 8], vec![8, 8]], true),
        (linear.into(), direct, vec![vec![32 * max + 1, 8], vec![8, 8]], false),
        (linear.into(), direct, vec![vec![8, 8], vec![32 * max + 4, 8]], false),
        (linear.into(), tiled, vec![vec![32 * max, 3], vec![5, 3]], true),
        (linear.into(), tiled, vec![vec![32 * max + 1, 3], vec![5, 3]], false),
        (linear.into(), direct, vec![vec![3, 3], vec![32 * max + 1, 3]], false),
        // 1024 x 1024 pixels are just above the limit of kernels for unaligned channels.
        (conv.into(), tiled, vec![vec![1, 1024, 1023, 3], vec![3, 27]], true),
        (conv.into(), tiled, vec![vec![1, 1024, 1024, 3], vec![3, 27]], false),
        (conv.into(), direct, vec![vec![1, 2048, 1024, 8], vec![8, 72]], false),
        (conv.into(), tiled, vec![vec![1, 4096, 2048, 8], vec![8, 72]], false),
        (conv.into(), tiled, vec![vec![1, 2048, 2048, 8], vec![8, 72]], true),
        (one.into(), tiled, vec![vec![8, 1024, 1024, 8], vec![8, 8]], false),
        (attention(1).into(), tiled, vec![vec![max + 1, 4, 8]; 3], false),
        (attention(1).into(), tiled, vec![vec![1, 16 * max, 8]; 3], true),
        (attention(1).into(), tiled, vec![vec![1, 16 * max + 1, 8]; 3], false),
        (attention(1).into(), direct, vec![vec![1, 64 * max + 1, 8]; 3], false),
        (attention(max + 1).into(), direct, vec![vec![1, 2, 4 * (max + 1)]; 3], false),
        (norm(1).into(), tiled, vec![vec![max + 1, 2, 4], vec![4], vec![4]], false),
        (norm(max + 1).into(), tiled, vec![vec![1, 2, max + 1], vec![max + 1], vec![max + 1]], false),
        // These use a two-dimensional grid.
        (Unary { function: Activation::Silu }.into(), tiled, vec![vec![256 * max + 1]], true),
        (LayerNorm { eps: 1e-5 }.into(), tiled, vec![vec![max + 1, 4], vec![4], vec![4]], true),
    ];
    for (op, style, shapes, is_supported) in cases {
        let inputs: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let output = op.get().shape(&inputs).expect("shapes that fit");
        let sequence = lowered(&op, &inputs, &output, Winograd::Disabled, style);
        let what = format!("{style:?} {op} {shapes:?}");
        match sequence {
            Ok(sequence) => {
                let mut groups = sequence.dispatches.iter().flat_map(|dispatch| dispatch.launch.workgroups);
                assert!(is_supported && groups.all(|n| n as usize <= max), "{what}: {sequence:?}")
            }
            Err(error) => assert!(!is_supported && error.to_string().contains("workgroups"), "{what}: {error}"),
        }
    }
    // The dispatches of a Winograd convolution fit as well; its products are small.
    let wide = [vec![1, 8192, 4096, 16], vec![16, 144]];
    let inputs: Vec<&[usize]> = wide.iter().map(Vec::as_slice).collect();
    let output = Op::from(conv).get().shape(&inputs).expect("shapes that fit");
    let work = lowered(&conv.into(), &inputs, &output, Winograd::MinChannels(0), tiled).expect("dispatches");
    assert!(
        work.dispatches.len() > 4 && work.dispatches.iter().all(|stage| stage.launch.fits()),
        "{}",
        work.dispatches.len()
    );
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn transposed_products_are_tuned_separately() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let plan = |transpose_b| {
            let mut builder = Builder::new("product");
            let (x, matrix) = (builder.input("x", &[64, 64]), builder.input("matrix", &[64, 64]));
            let product = Matmul { transpose_b, ..Default::default() };
            let y = builder.push(product, &[x, matrix], "y").expect("a product");
            builder.output("y", y);
            builder.finish()
        };
        let plans = [plan(false), plan(true)];
        let storages = [Storage::F32; 3];
        let pairs: Vec<(&Plan, &[Storage])> = plans.iter().map(|plan| (plan, &storages[..])).collect();
        let untuned = gpu.default_config();
        let config = tuned(&gpu, &untuned, &pairs, 2, &mut |_, _| ControlFlow::Continue(())).await;
        assert_eq!(config.style, untuned.style, "tuning does not change the style");
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn the_self_test_passes_in_both_styles_and_names_failing_operations() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        for style in [Style::Tiled, Style::Untiled] {
            let config = KernelConfig { style, ..gpu.default_config() };
            assert_eq!(gpu.self_test(&config).await.expect("a passing self-test"), config);
        }
        // f32 sums are not exact: with a tolerance of 0 it fails and names the operations.
        let error = gpu.test_f32_within(0.0, &gpu.default_config()).await.expect_err("rounding errors").to_string();
        assert!(error.contains("matmul") && error.contains("attention"), "{error}");
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

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn winograd_is_disabled_if_it_fails_the_self_test() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let before = gpu.resource_stats().bind_groups;
        let config = gpu.default_config();
        assert_eq!(gpu.test_winograd_within(1e-3, &config).await, config, "it passes the test");
        assert_eq!(gpu.resource_stats().bind_groups - before, 4, "the test runs Winograd kernels");
        let failed = gpu.test_winograd_within(0.0, &config).await;
        assert_eq!(failed.winograd, Winograd::Disabled, "with a tolerance of 0 it fails: f32 sums round");
        assert_eq!(failed.winograd_min_channels(), None);
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn f16_math_is_disabled_if_it_fails_the_self_test() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let config = KernelConfig { style: Style::Tiled, ..gpu.default_config() };
        let tested = gpu.self_test(&config).await.expect("a passing self-test");
        assert_eq!(tested.f16_math, gpu.info().shader_f16, "f16 math passes the test if the device supports it");
        assert_eq!(tested, config, "nothing else changes");
        // With a tolerance below the accuracy of f16 it fails, and f32 remains.
        let without = gpu.test_f16_math_within(1e-4, &config).await;
        assert_eq!(without, KernelConfig { f16_math: false, ..config });
        assert_eq!(gpu.self_test(&without).await.expect("f32 kernels are right"), without);
    });
}
