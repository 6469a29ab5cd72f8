//! PyTorch = definition = kernel, for every operation at production shapes and odd ones.

use lora_loupe::gpu::{Choice, Gpu, HALVES, Runner, Scalar, Style, TOLERANCE_OF_HALVES, Tuning, kernel, kernels};
use lora_loupe::ops::{Axpy, Conv2d, Function, Matmul, Narrow, Op, Storage, Unary, Widen};
use lora_loupe::plan::{Builder, Layout, Plan, interpret};
use lora_loupe_tests::compare::{close, rel_rms};
use lora_loupe_tests::numbers::numbers;
use lora_loupe_tests::ops::{Case, cases};
use std::ops::ControlFlow;

/// The definitions sum in f64 and round once, as the golden does.
const DEFINITION: f64 = 3e-7;
/// Kernels sum in f32, in another order, with a 1.5e-7 erf. The worst is a dot product of 1000
/// numbers under a softmax, 3.4e-6 on software Vulkan; the others stay under 2e-6.
const KERNEL: f64 = 5e-6;

fn define(case: &Case) -> Vec<f32> {
    let mut give = |name: &str| name[1..].parse::<usize>().ok().map(|i| case.inputs[i].clone());
    interpret(&case.plan, &mut give, &case.scalars).expect("the definition runs").remove("y").expect("an output")
}

#[test]
fn definitions_agree_with_pytorch() {
    for case in cases() {
        close(&case.name, &case.sample(&define(&case)), &case.golden, DEFINITION);
    }
}

fn agree(style: Style) {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        gpu.set_style(style);
        println!("on {:?}", gpu.info());
        for case in cases() {
            close(&case.name, &compute(&gpu, &case).await, &define(&case), KERNEL);
        }
    });
}

async fn compute(gpu: &Gpu, case: &Case) -> Vec<f32> {
    run(gpu, &case.plan, case).await.0
}

/// What a case's plan gives, and whether halves were multiplied.
async fn run(gpu: &Gpu, plan: &Plan, case: &Case) -> (Vec<f32>, bool) {
    let runner = Runner::new(gpu, plan, &|_| None).await.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    for (i, data) in case.inputs.iter().enumerate() {
        runner.set(gpu, &format!("x{i}"), data).expect("an input");
    }
    runner.set_scalars(gpu, &case.scalars);
    let got = runner.compute(gpu, "y").await.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    (got, runner.multiplies_halves)
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn tiled_kernels_agree_with_definitions() {
    agree(Style::Tiled);
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn direct_kernels_agree_with_definitions() {
    agree(Style::Direct);
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn every_tile_shape_agrees_with_definitions() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        gpu.set_style(Style::Tiled);
        let listed: Vec<Case> = cases().into_iter().filter(|case| case.plan.flops() < 30_000_000).collect();
        for index in 0..4 {
            gpu.choose(Choice::Forced(index));
            let made = gpu.pipelines_made();
            for case in &listed {
                if !["matmul", "conv2d", "attention"].contains(&case.plan.steps[0].op.get().name()) {
                    continue;
                }
                let got = compute(&gpu, case).await;
                close(&format!("shape {index}, {}", case.name), &got, &define(case), KERNEL);
            }
            assert!(index == 0 || gpu.pipelines_made() > made, "shape {index} has kernels of its own");
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn winograds_algorithm_agrees_with_definitions() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let mut used = Vec::new();
        for case in cases() {
            let Op::Conv2d(conv) = case.plan.steps[0].op else { continue };
            let plan = Plan { allows_winograd: true, ..case.plan.clone() };
            let wanted = define(&case);
            for style in [Style::Tiled, Style::Direct] {
                gpu.set_style(style);
                let mut dispatches = Vec::new();
                for (plan, choice) in
                    [(&plan, Choice::Forced(0)), (&plan, Choice::Rule), (&case.plan, Choice::Forced(0))]
                {
                    gpu.choose(choice);
                    let made = gpu.made().bind_groups;
                    close(&format!("{style:?} {}", case.name), &run(&gpu, plan, &case).await.0, &wanted, KERNEL);
                    dispatches.push(gpu.made().bind_groups - made);
                }
                // Kernels, and three for each portion; by rule none has the channels of a card's, one those of
                // a software device's.
                let widths =
                    plan.input_shapes(&plan.steps[0]).iter().map(|shape| shape[shape.len() - 1]).collect::<Vec<_>>();
                let by_rule = dispatches[0] > 1 && widths[0] >= 64 && style == Style::Direct;
                assert_eq!(dispatches[1], if by_rule { dispatches[0] } else { 1 }, "{style:?} {}", case.name);
                assert_eq!(dispatches[2], 1, "a plan that does not allow it: {}", case.name);
                assert!(dispatches[0] == 1 || (conv.kernel, conv.stride) == (3, 1), "{}", case.name);
                used.push(dispatches[0]);
            }
        }
        used.retain(|&dispatches| dispatches > 1);
        // Two styles each: 4 to 320 channels, 128 to 128, odd edges of two pictures, three portions.
        assert_eq!(used, [4, 4, 4, 4, 4, 4, 10, 10]);
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn products_of_halves_agree_with_definitions_where_they_are_offered() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        gpu.set_style(Style::Tiled);
        assert_eq!(gpu.multiplies_halves(), gpu.info().shader_f16);
        let is_product = |case: &Case| ["matmul", "conv2d"].contains(&case.plan.steps[0].op.get().name());
        let listed = cases().into_iter().filter(is_product).map(|case| (define(&case), case));
        for (wanted, case) in listed.collect::<Vec<_>>() {
            let plan = Plan { allows_halves: true, ..case.plan.clone() };
            // Kernels for odd widths have no tiles.
            let ends = [plan.steps[0].inputs[0], plan.steps[0].output];
            let is_tiled = ends.iter().all(|id| plan.value(*id).shape.last().is_some_and(|width| width % 4 == 0));
            for index in HALVES..HALVES + 3 {
                gpu.choose(Choice::Forced(index));
                let what = format!("shape {index}, {}", case.name);
                let (got, halves) = run(&gpu, &plan, &case).await;
                assert_eq!(halves, is_tiled && gpu.multiplies_halves(), "{what}");
                close(&what, &got, &wanted, if halves { TOLERANCE_OF_HALVES } else { KERNEL });
            }
            // Neither where a plan forbids them nor where the device gave them up.
            close(&case.name, &compute(&gpu, &case).await, &wanted, KERNEL);
            gpu.set_multiplies_halves(false);
            let (got, halves) = run(&gpu, &plan, &case).await;
            assert!(!halves, "{}", case.name);
            close(&case.name, &got, &wanted, KERNEL);
            gpu.set_multiplies_halves(true);
            assert_eq!(gpu.multiplies_halves(), gpu.info().shader_f16);
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn a_device_is_tuned_once_and_within_its_time() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        gpu.set_style(Style::Tiled);
        let listed: Vec<Case> = cases();
        let is_small = |case: &&Case| case.plan.flops() < 5_000_000;
        let of = |name: &str| {
            let named = |case: &&Case| case.plan.steps[0].op.get().name() == name && case.plan.flops() > 200_000;
            listed.iter().filter(is_small).find(named).expect("a case")
        };
        let chosen = [of("matmul"), of("attention")];
        let storages: Vec<Vec<Storage>> =
            chosen.iter().map(|case| vec![Storage::F32; case.plan.values.len()]).collect();
        let plans: Vec<_> = chosen.iter().zip(&storages).map(|(case, all)| (&case.plan, all.as_slice())).collect();

        gpu.set_wants_tuning(true);
        gpu.tune(&plans, &mut |_, _| panic!("a software renderer has no time for it")).await.expect("nothing");
        gpu.tune_all(&plans, &mut |_, _| ControlFlow::Break(())).await.expect("nothing");
        let Choice::Tuned(none) = gpu.choice() else { panic!("{:?}", gpu.choice()) };
        assert!(none.best.is_empty(), "skipped at once: {none:?}");

        let mut heard = Vec::new();
        let mut hear = |done, all| {
            heard.push((done, all));
            ControlFlow::Continue(())
        };
        gpu.tune_all(&plans, &mut hear).await.expect("times");
        assert_eq!(heard, [(0, 2), (1, 2)]);
        let Choice::Tuned(tuning) = gpu.choice() else { panic!("{:?}", gpu.choice()) };
        assert_eq!(tuning.best.len(), 2, "{tuning:?}");
        gpu.tune_all(&plans, &mut |_, _| panic!("all is known")).await.expect("nothing");
        for case in chosen {
            close(&case.name, &compute(&gpu, case).await, &define(case), KERNEL);
        }

        // Where halves are offered, a class that may be of halves is another than one that may not.
        let product = Plan { allows_halves: true, ..chosen[0].plan.clone() };
        gpu.tune_all(&[(&product, plans[0].1)], &mut |_, _| ControlFlow::Continue(())).await.expect("times");
        let Choice::Tuned(mut with) = gpu.choice() else { panic!("{:?}", gpu.choice()) };
        let new: Vec<String> = with.best.keys().filter(|class| !tuning.best.contains_key(*class)).cloned().collect();
        assert_eq!(new.len(), usize::from(gpu.multiplies_halves()), "{with:?}");
        for class in new {
            with.best.insert(class, HALVES);
            gpu.choose(Choice::Tuned(with.clone()));
            let (got, halves) = run(&gpu, &product, chosen[0]).await;
            assert!(halves, "{} as tuned", chosen[0].name);
            close(&chosen[0].name, &got, &define(chosen[0]), TOLERANCE_OF_HALVES);
        }
        gpu.choose(Choice::Tuned(tuning.clone()));

        // A plan that allows Winograd's algorithm asks from how many channels on it is faster; of products,
        // those between its steps are a class of their own.
        let mut b = Builder::new("wide");
        let (x, weight) = (b.input("x", &[1, 32, 32, 128]), b.input("weight", &[128, 9 * 128]));
        let op = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
        let y = b.push(op, &[x, weight], "wide").expect("a convolution");
        b.output("y", y);
        let wide = Plan { allows_winograd: true, ..b.finish() };
        let count = wide.values.len();
        gpu.tune_all(&[(&wide, &vec![Storage::F32; count])], &mut |_, _| ControlFlow::Continue(()))
            .await
            .expect("times");
        let Choice::Tuned(with) = gpu.choice() else { panic!("{:?}", gpu.choice()) };
        let least = with.best.get("winograd").copied();
        println!("Winograd from {least:?} channels on");
        assert!(
            with.best.len() == tuning.best.len() + 2
                && least.is_some_and(|least| [128, 256, 512, 1 << 20].contains(&least)),
            "{with:?}"
        );
        assert_eq!(gpu.means().winograd, least.expect("a number"));
        gpu.choose(Choice::Tuned(tuning.clone()));

        // Another device's tuning is left out; this one's is taken, whatever it says.
        let text = serde_json::to_string(&tuning).expect("text");
        let mut kept: Tuning = serde_json::from_str(&text).expect("a tuning");
        kept.best.values_mut().for_each(|index| *index = 99);
        gpu.choose(Choice::Tuned(Tuning { device: "another".into(), ..kept.clone() }));
        assert_eq!(gpu.choice(), Choice::Tuned(tuning));
        gpu.choose(Choice::Tuned(kept));
        close(&chosen[0].name, &compute(&gpu, chosen[0]).await, &define(chosen[0]), KERNEL);
    });
}

#[test]
fn a_broken_definition_would_be_seen() {
    let case = cases().into_iter().find(|case| case.name.contains("conv2d")).expect("a convolution");
    let mut output = define(&case);
    let last = output.len() - 1;
    output[last] += 0.5;
    assert!(rel_rms(&case.sample(&output), &case.golden) > DEFINITION);
}

#[test]
fn every_kernel_is_valid_wgsl_in_all_types() {
    // unpack2x16float is in every WebGPU; naga counts it apart.
    let capabilities = naga::valid::Capabilities::SHADER_FLOAT16
        | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | naga::valid::Capabilities::SUBGROUP;
    let types = [Scalar::F32, Scalar::F16];
    for (name, _) in kernels::ALL {
        // What naga takes without being asked, browsers want asked for: see `text`.
        for (scalar, factors) in types.into_iter().flat_map(|scalar| types.map(|factors| (scalar, factors))) {
            let text = kernel::text(name, scalar, factors).expect("a text");
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name} {scalar:?} {factors:?}: {}", error.emit_to_string(&text)));
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
                .subgroup_operations(naga::valid::SubgroupOperationSet::all())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name} {scalar:?} {factors:?}: {}", error.emit_to_string(&text)));
        }
    }
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn halves_are_read_widened_and_rounded_as_defined() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        for style in [Style::Tiled, Style::Direct] {
            gpu.set_style(style);
            for storage in [Storage::F16, Storage::Bf16] {
                // 5 x 7 numbers: an odd count, so that the last pair is half empty.
                let (x, weight) = (numbers(1, 3 * 7, 1.0, 0.0), numbers(2, 5 * 7, 3.0, 0.0));
                let rounded: Vec<f32> = weight.iter().map(|&value| storage.round(value)).collect();
                let resident = gpu.upload("weight", &weight, storage).expect("a tensor");
                assert_eq!(gpu.read(&resident).await.expect("numbers"), rounded, "{storage:?} upload");

                let mut builder = Builder::new("halves");
                let a = builder.input("x", &[3, 7]);
                let w = builder.weight("weight", &[5, 7], Layout::Plain);
                let y = builder.push(Matmul { transpose_b: true, ..Default::default() }, &[a, w], "y").expect("y");
                builder.output("y", y);
                let wide = builder.push(Widen {}, &[w], "wide").expect("wide");
                let scalar = builder.scalar("s").0;
                let sum = builder.push(Axpy { scalar, factor: 1.0 }, &[wide, wide], "sum").expect("sum");
                let narrow = builder.push(Narrow { storage }, &[sum], "narrow").expect("narrow");
                builder.output("narrow", narrow);
                let plan = builder.finish();

                let resident = |name: &str| (name == "weight").then(|| resident.clone());
                let runner = Runner::new(&gpu, &plan, &resident).await.expect("a runner");
                runner.set(&gpu, "x", &x).expect("x");
                runner.set_scalars(&gpu, &[0.3]);
                let got = runner.compute(&gpu, "y").await.expect("y");
                let mut give = |name: &str| Some(if name == "x" { x.clone() } else { rounded.clone() });
                let wanted = interpret(&plan, &mut give, &[0.3]).expect("the definition runs");
                close(&format!("{style:?} {storage:?} matmul"), &got, &wanted["y"], KERNEL);
                let narrow = gpu.read(runner.output("narrow").expect("narrow")).await.expect("numbers");
                assert_eq!(narrow, wanted["narrow"], "{storage:?} narrow");
            }
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn a_kernel_that_cannot_read_halves_is_refused() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let halves = gpu.upload("weight", &[1.0, 2.0], Storage::F16).expect("a tensor");
        let mut builder = Builder::new("misread");
        let w = builder.weight("weight", &[2], Layout::Plain);
        let y = builder.push(Unary { function: Function::Silu }, &[w], "y").expect("y");
        builder.output("y", y);
        let refused = Runner::new(&gpu, &builder.finish(), &|_| Some(halves.clone())).await.err().expect("a refusal");
        assert!(refused.to_string().contains("halves"), "{refused}");
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn the_self_test_passes_in_both_styles_and_names_what_fails() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        for style in [Style::Tiled, Style::Direct] {
            gpu.set_style(style);
            gpu.self_test().await.expect("this device computes what it should");
            assert_eq!(gpu.style(), style, "and needs no other style");
        }
        // f32 sums are never exact: asked for equality, it fails, names the operations and keeps the style.
        let error = gpu.self_test_within(0.0).await.expect_err("rounding is seen").to_string();
        assert!(error.contains("matmul") && error.contains("attention"), "{error}");
        assert_eq!(gpu.style(), Style::Direct);
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn norms_by_subgroups_agree_with_definitions_where_they_are_offered() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        println!("subgroups: {}", gpu.has_subgroups());
        let names = ["group_norm", "layer_norm", "moments"];
        let mut count = 0;
        for case in cases().into_iter().filter(|case| names.contains(&case.plan.steps[0].op.get().name())) {
            let wanted = define(&case);
            for style in [Style::Tiled, Style::Direct] {
                gpu.set_style(style);
                gpu.choose(Choice::Rule);
                compute(&gpu, &case).await;
                let made = gpu.pipelines_made();
                gpu.choose(Choice::Forced(1));
                close(&format!("{style:?} {}", case.name), &compute(&gpu, &case).await, &wanted, KERNEL);
                count += gpu.pipelines_made() - made;
            }
        }
        // With and without SiLU, and of moments with those before and without, in two styles.
        assert_eq!(count, if gpu.has_subgroups() { 10 } else { 0 });

        gpu.set_style(Style::Tiled);
        let has = gpu.has_subgroups();
        gpu.test_subgroups_within(1e-3).await;
        assert_eq!(gpu.has_subgroups(), has, "they are right here");
        gpu.test_subgroups_within(0.0).await;
        assert!(!gpu.has_subgroups(), "asked for equality they fail: sums of f32 round");
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn winograds_algorithm_that_fails_the_self_test_is_given_up() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let made = gpu.made().bind_groups;
        gpu.test_winograd_within(1e-3).await;
        assert!(gpu.uses_winograd(), "it is right here");
        assert_eq!(gpu.made().bind_groups - made, 4, "and what is tested");
        gpu.test_winograd_within(0.0).await;
        assert!(!gpu.uses_winograd(), "asked for equality it fails: sums of f32 round");
        gpu.choose(Choice::Forced(0));
        assert!(gpu.means().winograd > 4096, "no layer is as wide");
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a graphics processor")]
fn halves_that_fail_the_self_test_are_given_up() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        gpu.set_style(Style::Tiled);
        gpu.self_test().await.expect("this device computes what it should");
        assert_eq!(
            gpu.multiplies_halves(),
            gpu.info().shader_f16,
            "products of halves are right where they are offered"
        );
        assert_eq!(gpu.choice(), Choice::Rule, "the test chooses nothing");
        // Nearer than halves come, they fail, and f32 stays.
        gpu.test_halves_within(1e-4).await;
        assert!(!gpu.multiplies_halves());
        gpu.self_test().await.expect("f32 kernels are right");
        assert_eq!((gpu.style(), gpu.multiplies_halves()), (Style::Tiled, false));
    });
}
