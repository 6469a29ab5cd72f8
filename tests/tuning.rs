//! The kernel configuration of a device: its self-test and its tuning.

use lora_loupe::gpu::{F16_VARIANT, Gpu, KernelConfig, Style, TOLERANCE_F16, TileChoice, Tuning, Winograd};
use lora_loupe::ops::{Conv2d, Matmul, Storage};
use lora_loupe::plan::{Builder, Plan};
use lora_loupe_tests::compare::close;
use lora_loupe_tests::kernels::{KERNEL, compute, reference, run};
use lora_loupe_tests::ops::{Case, cases};
use std::ops::ControlFlow;

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
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn transposed_and_quantized_products_are_tuned_separately() {
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
        let quantized = [Storage::F32, Storage::Q8, Storage::F32];
        let pairs: [(&Plan, &[Storage]); 3] = [(&plans[0], &storages), (&plans[1], &storages), (&plans[1], &quantized)];
        let untuned = gpu.default_config();
        let config = tuned(&gpu, &untuned, &pairs, 3, &mut |_, _| ControlFlow::Continue(())).await;
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
