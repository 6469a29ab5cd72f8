//! The CPU backend: every operation against its definition and PyTorch, with fused operations and 16-bit weights; networks,
//! images and LoRAs of mini-sd15 against diffusers.

use lora_loupe::cpu::{Arena, Runner, Tensor};
use lora_loupe::device::{self, Device, Pause};
use lora_loupe::gpu::KernelConfig;
use lora_loupe::model::Component;
use lora_loupe::num::{host_len, numel};
use lora_loupe::ops::{
    Activation, Attention, Axis, Axpy, Conv2d, Epilogue, GroupNorm, Matmul, Narrow, Op, Prologue, Rotate, Storage,
    Widen,
};
use lora_loupe::pipeline::{AdapterChoice, GenerateInputs, Network, PipelineError, Recipe, Stage, token_table};
use lora_loupe::plan::{Builder, Layout, Plan, interpret};
use lora_loupe_tests::cases::{self, case, given, unet_case};
use lora_loupe_tests::compare::{LATENTS, TEXT, UNET, VAE, close, rel_rms};
use lora_loupe_tests::draw::{adapter, check as check_image, draw, latents, with};
use lora_loupe_tests::golden;
use lora_loupe_tests::kernels::{KERNEL, reference};
use lora_loupe_tests::mini::{halves, on_cpu, storing};
use lora_loupe_tests::numbers::numbers;
use lora_loupe_tests::ops;
use safetensors::Dtype;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Runs a plan with inputs `x0`, `x1`, … and returns its output `y`.
fn run(plan: &Plan, inputs: &[Vec<f32>], scalars: &[f32]) -> Vec<f32> {
    let runner = Runner::new(plan, &|_| None, &Arena::new(&[plan])).expect("a runner");
    for (index, data) in inputs.iter().enumerate() {
        runner.set(&format!("x{index}"), data).expect("an input");
    }
    runner.set_scalars(scalars);
    runner.run().expect("a run");
    runner.output("y").expect("an output").read()
}

#[test]
fn every_operation_agrees_with_its_definition_and_pytorch() {
    for case in ops::cases() {
        let got = run(&case.plan, &case.inputs, &case.scalars);
        close(&case.name, &got, &reference(&case), KERNEL);
        close(&case.name, &case.sample(&got), &case.golden, KERNEL);
    }
}

/// Compares an operation on inputs of these shapes with its definition.
fn check(op: impl Into<Op>, shapes: &[&[usize]]) {
    let op = op.into();
    let name = format!("{op} {} {shapes:?}", op.get().details());
    let mut builder = Builder::new(&name);
    let ids: Vec<_> = (0..).zip(shapes).map(|(index, shape)| builder.input(&format!("x{index}"), shape)).collect();
    let y = builder.push(op, &ids, "y").unwrap_or_else(|error| panic!("{name}: {error}"));
    builder.output("y", y);
    let plan = builder.finish();
    let inputs = (0..).zip(shapes).map(|(seed, shape)| numbers(seed + 1, host_len(numel(shape)), 1.0, 0.2));
    let inputs: Vec<Vec<f32>> = inputs.collect();
    let mut give = |name: &str| inputs.get(name[1..].parse::<usize>().expect("an index")).cloned();
    let wanted = interpret(&plan, &mut give, &[]).expect("the reference runs");
    close(&name, &run(&plan, &inputs, &[]), &wanted["y"], KERNEL);
}

#[test]
fn fused_products_agree_with_their_definition() {
    // 600 rows of 3 items and 1 row: split by rows and by columns.
    for (batch, tokens) in [(3, 200), (1, 1)] {
        for (k, n) in [(40, 88), (13, 34), (400, 18)] {
            let all = Epilogue { channel_bias: Some(5), residual: true, ..Default::default() };
            let linear = Matmul { transpose_b: true, bias: true, epilogue: all, ..Default::default() };
            let (x, y, wide): (&[usize], &[usize], &[usize]) =
                (&[batch, tokens, k], &[batch, tokens, n], &[batch, n + 7]);
            check(linear, &[x, &[n, k], &[n], wide, y]);
            for function in [Activation::Silu, Activation::Gelu, Activation::QuickGelu, Activation::LeakyRelu] {
                let epilogue = Epilogue { activation: Some(function), ..all };
                check(Matmul { epilogue, transpose_b: false, ..linear }, &[x, &[k, n], &[n], wide, y]);
            }
            let geglu = Epilogue { geglu: true, ..all };
            check(Matmul { epilogue: geglu, ..linear }, &[x, &[n, k], &[n], wide, &[batch, tokens, n / 2]]);
            let none = Matmul { epilogue: Epilogue::default(), ..linear };
            check(Matmul { prologue: Prologue::Concat, ..none }, &[x, &[n, k + 9], &[n], &[batch, tokens, 9]]);
            let prologue = Prologue::LayerNorm { eps: 1e-5 };
            check(Matmul { prologue, ..none }, &[x, &[n, k], &[n], &[k], &[n]]);
        }
    }
}

#[test]
fn fused_convolutions_and_norms_agree_with_their_definition() {
    let epilogue = Epilogue { channel_bias: Some(0), activation: Some(Activation::Silu), residual: true, geglu: false };
    let conv = Conv2d { kernel: 3, stride: 1, padding: 1, bias: true, epilogue, ..Default::default() };
    for (height, width, channels, outputs) in [(9, 7, 5, 6), (1, 1, 3, 4), (33, 21, 48, 20), (11, 6, 32, 40)] {
        let (x, weight): (&[usize], &[usize]) = (&[2, height, width, channels], &[outputs, 9 * channels]);
        check(conv, &[x, weight, &[outputs], &[2, outputs], &[2, height, width, outputs]]);
        let upsampled =
            Conv2d { upsample_to: Some((2 * height - 1, 2 * width)), epilogue: Epilogue::default(), ..conv };
        check(upsampled, &[x, weight, &[outputs]]);
        let strided = Conv2d { stride: 2, padding: 0, pad_end: 2, epilogue: Epilogue::default(), ..conv };
        check(strided, &[x, weight, &[outputs]]);
        let groups = GroupNorm { groups: 2, eps: 1e-6, silu: true, concat: true };
        let all = channels + outputs + channels % 2 + outputs % 2;
        check(groups, &[x, &[all], &[all], &[2, height, width, all - channels]]);
    }
}

#[test]
fn attention_over_any_number_of_queries_and_keys_agrees_with_its_definition() {
    for (queries, keys, heads, dim) in [(1, 1, 1, 1), (50, 77, 8, 40), (131, 131, 2, 24), (7, 300, 1, 400)] {
        let width = heads * dim;
        let attention = Attention { heads, causal: false };
        check(attention, &[&[2, queries, width], &[2, keys, width], &[2, keys, width]]);
        check(attention, &[&[2, queries, width], &[2, keys, 2 * width]]);
        check(attention, &[&[2, queries, 3 * width]]);
        check(Attention { causal: true, ..attention }, &[&[1, queries, 3 * width]]);
    }
    for (axis, stride, area) in [(Axis::Rows, 0, 1), (Axis::Columns, 2, 1), (Axis::Columns, 0, 3)] {
        check(Rotate { axis, stride, area }, &[&[3, 4, 4], &[12, 12]]);
    }
}

#[test]
fn f16_and_bf16_weights_are_widened_and_rounded_like_the_definition() {
    for storage in [Storage::F16, Storage::Bf16] {
        // An odd number of elements in two contiguous parts.
        let parts = [numbers(2, 5 * 7, 3.0, 0.0), numbers(3, 4 * 7, 3.0, 0.0)];
        let tensors = Tensor::contiguous_parts(&[5 * 7, 4 * 7], storage);
        tensors.iter().zip(&parts).for_each(|(tensor, part)| tensor.write_at(0, part).expect("a write"));
        let mut builder = Builder::new("16-bit weights");
        let x = builder.input("x", &[3, 7]);
        let a = builder.weight("a", &[5, 7], Layout::Plain);
        let y = builder.push(Matmul { transpose_b: true, ..Default::default() }, &[x, a], "y").expect("y");
        builder.output("y", y);
        let wide = builder.push(Widen {}, &[a], "wide").expect("wide");
        let scalar = builder.scalar("s").0;
        let sum = builder.push(Axpy { scalar, factor: 1.0, gate: false }, &[wide, wide], "sum").expect("sum");
        let narrow = builder.push(Narrow { storage }, &[sum], "narrow").expect("narrow");
        builder.output("narrow", narrow);
        let plan = builder.finish();
        let folded = Tensor::new(5 * 7, storage);
        let resident = |name: &str| match name {
            "a" => Some(tensors[0].clone()),
            "narrow" => Some(folded.clone()),
            _ => None,
        };
        let runner = Runner::new(&plan, &resident, &Arena::new(&[&plan])).expect("a runner");
        let input = numbers(1, 3 * 7, 1.0, 0.0);
        let rounded: Vec<f32> = storage.rounded(&parts[0]);
        let mut give = |name: &str| Some(if name == "x" { input.clone() } else { rounded.clone() });
        runner.set("x", &input).expect("x");
        for strength in [0.3, 0.0] {
            runner.set_scalars(&[strength]);
            runner.run().expect("a run");
            let wanted = interpret(&plan, &mut give, &[strength]).expect("the reference runs");
            close("y", &runner.output("y").expect("y").read(), &wanted["y"], KERNEL);
            assert_eq!(folded.read(), wanted["narrow"], "{storage:?} at strength {strength}");
        }
        assert_eq!(folded.read(), rounded, "strength 0 is exact");
        let whole = Tensor::contiguous(&tensors).expect("contiguous parts").read();
        assert_eq!(whole[5 * 7..], storage.rounded(&parts[1]));
        assert!(Tensor::contiguous(&[tensors[1].clone(), tensors[0].clone()]).is_none(), "in another order");
        assert!(tensors[0].write_at(30, &[0.0; 6]).is_err(), "a write past the end");
    }
}

#[test]
fn the_first_non_finite_step_is_named() {
    let mut builder = Builder::new("overflow");
    let x = builder.input("x0", &[2, 3]);
    let weight = builder.input("x1", &[3, 3]);
    let linear = Matmul { transpose_b: true, ..Default::default() };
    let first = builder.push(linear, &[x, weight], "first").expect("first");
    let second = builder.push(linear, &[first, weight], "second").expect("second");
    builder.output("y", second);
    let plan = builder.finish();
    let runner = Runner::new(&plan, &|_| None, &Arena::new(&[&plan])).expect("a runner");
    for (value, wanted) in [(1.0, None), (1e25, Some("`second` (matmul)")), (f32::NAN, Some("the input `x0`"))] {
        runner.set("x0", &[value; 6]).expect("x");
        runner.set("x1", &[1e12; 9]).expect("a weight");
        assert_eq!(runner.find_non_finite().expect("a run").as_deref(), wanted);
    }
    assert!(runner.set("x0", &[0.0; 5]).is_err() && runner.set("x2", &[]).is_err());
}

#[test]
fn networks_match_diffusers() {
    pollster::block_on(async {
        let mut session = on_cpu(|_, bytes| bytes).await;
        let text = golden::tensors("golden/components/mini-sd15/text.safetensors");
        let ids: Vec<u32> = text["text_encoder.p1.input_ids"].data.iter().map(|&id| id as u32).collect();
        let tokens = session.model.checkpoint.rows(&token_table(Component::TextEncoder), &ids).await.expect("rows");
        let network = Network::TextEncoder { batch: 1, tokens: 77 };
        let got = session.probe(network, &given([("tokens", tokens)]), &[]).await.expect("a run");
        close("text", &got["states"], &text["text_encoder.p1.last_hidden_state"].data, TEXT);
        let unet = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        for case in ["b1_t981", "b1_t1", "b2_t421", "odd_t946p4737"] {
            let (network, inputs) = unet_case(&unet, case);
            let got = session.probe(network, &inputs, &[]).await.expect("a run");
            close(case, &got["noise"], &unet[&format!("{case}.out")].channels_last(), UNET);
        }
        let vae = golden::tensors("golden/components/mini-sd15/vae.safetensors");
        for case in ["dec_b1", "dec_b2"] {
            let latents = &vae[&format!("{case}.latents")];
            let &[batch, _, height, width] = latents.shape.as_slice() else { panic!("{case}") };
            let inputs = given([("latents", latents.channels_last())]);
            let got = session.probe(Network::VaeDecoder { batch, height, width }, &inputs, &[]).await.expect("a run");
            close(case, &got["image"], &vae[&format!("{case}.image")].channels_last(), VAE);
        }
    });
}

#[test]
fn images_and_loras_match_diffusers_and_strength_zero_is_exact() {
    pollster::block_on(async {
        let mut session = on_cpu(|_, bytes| bytes).await;
        let loaded = [
            adapter(&session, "lora_a").await,
            adapter(&session, "lora_b").await,
            adapter(&session, "lora_c_kohya").await,
        ];
        let all = [&loaded[0], &loaded[1], &loaded[2]];
        let before = draw(&mut session, &case("ddim"), &all).await;
        check_image(&before, "ddim");
        let names = ["lora_a_1.0", "lora_a_-0.5", "lora_a_0.7_plus_b_0.4", "lora_c_kohya_0.8", "euler_othersize"];
        for name in names.into_iter().chain(["euler_nocfg"]) {
            check_image(&draw(&mut session, &case(name), &all).await, name);
        }
        let mut zero = case("lora_a_1.0");
        zero["lora"][0][1] = 0.0.into();
        assert_eq!(draw(&mut session, &zero, &all).await.latents, before.latents);
        let (blocks, recipe, wanted) = cases::cases("blocks").remove(0);
        let choice = AdapterChoice {
            name: "b".into(),
            sha256: "lora_b".into(),
            strength: blocks["strength"].as_f64().expect("a strength") as f32,
            text_encoder: None,
            blocks: blocks["blocks"].as_str().map(str::to_owned),
            hash: None,
        };
        let recipe = Recipe { adapters: vec![choice], ..recipe };
        close("blocks", &latents(&mut session, &recipe, &with(&all)).await, &wanted, LATENTS);
        let mut stop = |progress: lora_loupe::pipeline::Progress| match progress.stage {
            Stage::Denoise if progress.step == 1 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let stopped = session.generate(&recipe, &with(&all), &mut stop).await;
        assert!(matches!(stopped, Err(PipelineError::Cancelled)));
        assert_eq!(draw(&mut session, &case("ddim"), &all).await.latents, before.latents);
    });
}

#[test]
fn f16_weights_in_memory_give_the_same_image_as_f32_ones() {
    pollster::block_on(async {
        let recipe = cases::recipe(&case("ddim"));
        let mut images = Vec::new();
        for f16_weights in [true, false] {
            let mut session = on_cpu(storing(|_, values| (Dtype::F16, halves(&values)))).await;
            session.config.f16_weights = f16_weights;
            let lora = adapter(&session, "lora_a").await;
            images.push(latents(&mut session, &recipe, &GenerateInputs::default()).await);
            let with_lora = draw(&mut session, &case("lora_a_1.0"), &[&lora]).await.latents;
            assert!(rel_rms(&with_lora, &images[images.len() - 1]) > 1e-3, "the LoRA changes the image");
            let after = latents(&mut session, &recipe, &GenerateInputs::default()).await;
            assert_eq!(after, images[images.len() - 1], "without the LoRA the weights are restored");
        }
        assert_eq!(images[0], images[1]);
    });
}

#[test]
fn many_short_runs_pause_as_often_as_a_long_one() {
    let pauses = Rc::new(Cell::new(0));
    let counted = pauses.clone();
    let pause = Pause::new(move || {
        counted.set(counted.get() + 1);
        std::future::ready(())
    });
    let mut builder = Builder::new("short");
    let x = builder.input("x0", &[64, 64]);
    let weight = builder.input("x1", &[64, 64]);
    let y = builder.push(Matmul::default(), &[x, weight], "y").expect("a product");
    builder.output("y", y);
    let plan = builder.finish();
    pollster::block_on(async {
        let device = Device::Cpu(pause);
        let runner = device::Runner::new(&device, &KernelConfig::CPU, &plan, &|_| None).await.expect("a runner");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(400) {
            runner.compute_cancellable::<PipelineError>("y", &mut || Ok(())).await.expect("a run");
        }
    });
    assert!((2..=5).contains(&pauses.get()), "{} pauses in 0.4 s", pauses.get());
}
