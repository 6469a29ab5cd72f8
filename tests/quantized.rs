//! Weights stored quantized: blocks as ggml's, kernels against the definition.

use lora_loupe::cpu;
use lora_loupe::device::Device;
use lora_loupe::gpu::{
    F16_VARIANT, Gpu, KernelConfig, Runner, Style, TOLERANCE_F16, TileChoice, WeightChoice, Winograd,
};
use lora_loupe::model::{Component, Module};
use lora_loupe::num::{host_len, numel};
use lora_loupe::ops::{BLOCK, Conv2d, Matmul, Narrow, Op, Prologue, SUPERBLOCK, Storage, Widen};
use lora_loupe::pipeline::{Model, Shape, WeightStorage};
use lora_loupe::plan::{Builder, Layout, Plan, Source, interpret};
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::compare::close;
use lora_loupe_tests::end_to_end::EndToEnd;
use lora_loupe_tests::kernels::KERNEL;
use lora_loupe_tests::numbers::numbers;
use lora_loupe_tests::{golden, imagined};
use std::collections::BTreeMap;
use std::rc::Rc;
#[cfg(not(target_os = "wasi"))]
use {
    lora_loupe::pipeline::{AdapterChoice, GenerateInputs, Recipe, Session},
    lora_loupe::program::Program,
    lora_loupe_tests::cases::{cases as cases_of, unet_case},
    lora_loupe_tests::compare::{UNET, rel_rms},
    lora_loupe_tests::draw::{adapter, latents, with},
    lora_loupe_tests::mini::{self, full},
    safetensors::Dtype,
};

const QUANTIZED: [Storage; 2] = [Storage::Q8, Storage::Q4];

#[test]
fn blocks_are_those_of_ggml() {
    let golden = golden::tensors("golden/ops/blocks.safetensors");
    let values = &golden["values"].data;
    for (storage, name) in [(Storage::Q8, "q8"), (Storage::Q4, "q4")] {
        let blocks = storage.blocks().expect("blocks");
        let packed = blocks.pack(values);
        let quants = blocks.superblock_bytes() / 8 - 2;
        // ggml's blocks begin with their scale.
        let as_ggml = packed.chunks_exact(blocks.superblock_bytes()).flat_map(|superblock| {
            (0..SUPERBLOCK / BLOCK).flat_map(move |block| {
                let scale = &superblock[8 * quants + 2 * block..][..2];
                [scale, &superblock[block * quants..][..quants]].concat()
            })
        });
        let as_ggml: Vec<f32> = as_ggml.map(f32::from).collect();
        assert_eq!(as_ggml, golden[&format!("{name}_blocks")].data, "{name}");
        let wanted = &golden[&format!("{name}_values")].data;
        assert_eq!(&blocks.unpack(&packed, values.len()), wanted, "{name}");
        assert_eq!(&storage.rounded(values), wanted, "{name}");
    }
}

/// A product of a quantized matrix.
struct Case {
    name: String,
    plan: Plan,
    storage: Storage,
    /// Inputs and weights, with the matrix rounded.
    numbers: BTreeMap<String, Vec<f32>>,
}

impl Case {
    /// Returns a case for a product whose second input is the matrix.
    fn new(op: impl Into<Op>, shapes: &[&[usize]], storage: Storage) -> Case {
        let op = op.into();
        let mut builder = Builder::new("product");
        let mut given = BTreeMap::new();
        let ids = shapes.iter().enumerate().map(|(index, shape)| {
            let len = host_len(numel(shape));
            let data = numbers(index as u32, len, 1.0, 0.01);
            let (name, data) =
                if index == 1 { ("w".into(), storage.rounded(&data)) } else { (format!("x{index}"), data) };
            let id = match index {
                1 => builder.weight(&name, shape, Layout::Plain),
                _ => builder.input(&name, shape),
            };
            given.insert(name, data);
            id
        });
        let ids: Vec<_> = ids.collect();
        if let Op::Matmul(Matmul { prologue: Prologue::LayerNorm { .. }, .. }) = op {
            // The last input is the product of the norm's scale and the matrix.
            let rows = given["w"].chunks_exact(given["x2"].len());
            let sums = rows.map(|row| row.iter().zip(&given["x2"]).map(|(a, b)| f64::from(a * b)).sum::<f64>() as f32);
            let sums: Vec<f32> = sums.collect();
            given.insert("x3".into(), sums);
        }
        let name = format!("{storage:?} {op} {shapes:?}");
        let y = builder.push(op, &ids, "y").expect("shapes that fit");
        builder.output("y", y);
        Case { name, plan: Plan { allows_f16_math: true, ..builder.finish() }, storage, numbers: given }
    }

    fn wanted(&self) -> Vec<f32> {
        let mut give = |name: &str| self.numbers.get(name).cloned();
        interpret(&self.plan, &mut give, &[]).expect("the reference runs").remove("y").expect("an output")
    }

    async fn run(&self, gpu: &Gpu, config: &KernelConfig) -> Vec<f32> {
        let matrix = gpu.upload("w", &self.numbers["w"], self.storage).expect("a tensor");
        let resident = |name: &str| (name == "w").then(|| matrix.clone());
        let runner = Runner::new(gpu, config, &self.plan, &resident).await.expect("a runner");
        for value in &self.plan.values {
            if let Source::Input(name) = &value.source {
                runner.set(gpu, name, &self.numbers[name]).expect("an input");
            }
        }
        runner.compute(gpu, "y").await.expect("y")
    }

    fn run_on_cpu(&self) -> Vec<f32> {
        let matrix = cpu::Tensor::new(self.numbers["w"].len() as u64, self.storage);
        matrix.write_at(0, &self.numbers["w"]).expect("a write");
        let resident = |name: &str| (name == "w").then(|| matrix.clone());
        let runner = cpu::Runner::new(&self.plan, &resident, &cpu::Arena::new(&[&self.plan])).expect("a runner");
        for value in &self.plan.values {
            if let Source::Input(name) = &value.source {
                runner.set(name, &self.numbers[name]).expect("an input");
            }
        }
        runner.run().expect("a run");
        runner.output("y").expect("y").read()
    }
}

/// Returns products of production and odd shapes: rows that are no multiple of a tile, rows of a matrix that are a block,
/// no whole superblocks, or end in the middle of a tile; prologues and epilogues. tests/browser/engine.test.mjs has the same.
fn cases(storage: Storage) -> Vec<Case> {
    #[derive(serde::Deserialize)]
    struct Product {
        op: Op,
        shapes: Vec<Vec<usize>>,
    }
    let products: Vec<Product> =
        serde_json::from_value(golden::json("golden/ops/quantized.json")).expect("a list of products");
    let case = |Product { op, shapes }| Case::new(op, &shapes.iter().map(Vec::as_slice).collect::<Vec<_>>(), storage);
    products.into_iter().map(case).collect()
}

#[test]
fn products_on_the_cpu_agree_with_the_definition() {
    for case in QUANTIZED.into_iter().flat_map(cases) {
        close(&case.name, &case.run_on_cpu(), &case.wanted(), KERNEL);
    }
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn products_agree_with_the_definition_in_every_tile_shape() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let tiled = KernelConfig { style: Style::Tiled, ..gpu.default_config() };
        let mut configs = vec![KernelConfig { style: Style::Untiled, ..tiled.clone() }];
        let forced = |index| KernelConfig { tiles: TileChoice::Forced(index), ..tiled.clone() };
        configs.extend((0..F16_VARIANT + 3).map(forced));
        for case in QUANTIZED.into_iter().flat_map(cases) {
            let wanted = case.wanted();
            for config in &configs {
                let is_f16 =
                    config.f16_math && matches!(config.tiles, TileChoice::Forced(index) if index >= F16_VARIANT);
                let what = format!("{:?} {:?}: {}", config.style, config.tiles, case.name);
                close(&what, &case.run(&gpu, config).await, &wanted, if is_f16 { TOLERANCE_F16 } else { KERNEL });
            }
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn tensors_are_read_widened_and_rounded_like_the_definition() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let golden = golden::tensors("golden/ops/blocks.safetensors");
        let data = [golden["values"].data.clone(), numbers(5, 70 * SUPERBLOCK, 1.0, 0.0)].concat();
        for storage in QUANTIZED {
            let mut builder = Builder::new("rounded");
            let x = builder.input("x", &[data.len()]);
            let narrow = builder.push(Narrow { storage }, &[x], "narrow").expect("narrow");
            let wide = builder.push(Widen {}, &[narrow], "wide").expect("wide");
            builder.output("narrow", narrow);
            builder.output("wide", wide);
            let runner =
                Runner::new(&gpu, &gpu.default_config(), &builder.finish(), &|_| None).await.expect("a runner");
            runner.set(&gpu, "x", &data).expect("x");
            let rounded = storage.rounded(&data);
            assert_eq!(runner.compute(&gpu, "wide").await.expect("numbers"), rounded, "{storage:?} wide");
            let narrow = gpu.read(runner.output("narrow").expect("narrow")).await.expect("numbers");
            assert_eq!(narrow, rounded, "{storage:?} narrow");
            let uploaded = gpu.upload("data", &data, storage).expect("a tensor");
            assert_eq!(gpu.read(&uploaded).await.expect("numbers"), rounded, "{storage:?} upload");

            let on_cpu = cpu::Tensor::new(data.len() as u64, storage);
            on_cpu.write_at(0, &data).expect("a write");
            assert_eq!(on_cpu.read(), rounded, "{storage:?} on the CPU");
            let copy = cpu::Tensor::new(data.len() as u64, storage);
            copy.copy_from(&on_cpu).expect("a copy");
            assert_eq!(copy.read(), rounded, "{storage:?} copy");
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn superblocks_are_written_whole_and_parts_stay_apart() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let len = 2 * SUPERBLOCK;
        let data = numbers(1, len, 1.0, 0.0);
        for storage in QUANTIZED {
            let parts = gpu.allocate_contiguous(&[("a", len as u64), ("b", len as u64)], storage).expect("memory");
            let on_cpu = cpu::Tensor::contiguous_parts(&[len as u64; 2], storage);
            for (first, count, is_whole) in [
                (0, len, true),
                (SUPERBLOCK, SUPERBLOCK, true),
                (0, SUPERBLOCK, true),
                (32, SUPERBLOCK, false),
                (0, 32, false),
                (SUPERBLOCK, 2 * SUPERBLOCK, false),
            ] {
                let data = &data[..count.min(len)];
                assert_eq!(gpu.write_at(&parts[0], first as u64, data).is_ok(), is_whole, "{first} {count}");
                assert_eq!(on_cpu[0].write_at(first as u64, data).is_ok(), is_whole, "{first} {count}");
            }
            let rounded = storage.rounded(&data[..SUPERBLOCK]).repeat(2);
            assert_eq!(gpu.read(&parts[0]).await.expect("numbers"), rounded);
            assert_eq!(gpu.read(&parts[1]).await.expect("numbers"), vec![0.0; len]);
            assert_eq!(on_cpu[0].read(), rounded);
            assert_eq!(cpu::Tensor::contiguous(&on_cpu).expect("parts").read()[len..], vec![0.0; len]);
            gpu.write_u16_at(&parts[0], 0, &[0; SUPERBLOCK]).expect_err("no bits of 16");
        }
    });
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn kernels_that_cannot_read_blocks_refuse_or_are_not_chosen() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        for storage in QUANTIZED {
            let linear = Matmul { transpose_b: true, ..Default::default() };
            let odd = Case::new(linear, &[&[3, 256], &[1, 256]], storage);
            let matrix = gpu.upload("w", &odd.numbers["w"], storage).expect("a tensor");
            let resident = |name: &str| (name == "w").then(|| matrix.clone());
            let refused =
                Runner::new(&gpu, &gpu.default_config(), &odd.plan, &resident).await.err().expect("a refusal");
            assert!(refused.to_string().contains("quantized"), "{refused}");

            let conv = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
            let mut case = Case::new(conv, &[&[1, 36, 34, 32], &[32, 9 * 32]], storage);
            case.plan.allows_winograd = true;
            let config = KernelConfig { winograd: Winograd::MinChannels(0), ..gpu.default_config() };
            close(&case.name, &case.run(&gpu, &config).await, &case.wanted(), KERNEL);
        }
    });
}

/// Opens a mini-sd15 whose f16 weights are stored as chosen.
#[cfg(not(target_os = "wasi"))]
async fn stored_as(weights: WeightChoice) -> Session {
    let mut session = mini::stored(|_, numbers| (Dtype::F16, mini::halves(&numbers))).await;
    session.config.weights = weights;
    session
}

/// Returns the weights of a plan as a session stores them, and how many elements are quantized.
#[cfg(not(target_os = "wasi"))]
async fn rounded_weights(session: &Session, plan: &Plan) -> (BTreeMap<String, Vec<f32>>, usize) {
    let storages = session.model.checkpoint.storages(plan, &session.config).expect("storages");
    let (mut weights, mut quantized) = (BTreeMap::new(), 0);
    for (value, storage) in plan.values.iter().zip(storages) {
        if let Source::Weight { name, layout } = &value.source {
            let data = session.model.checkpoint.read(name, *layout).await.expect("a weight");
            quantized += if storage.blocks().is_some() { data.len() } else { 0 };
            weights.insert(name.clone(), storage.rounded(&data));
        }
    }
    (weights, quantized)
}

/// Relative RMS of a UNet call of mini-sd15, whose layers have 32 channels, to the call with f16 weights. It is the error
/// of the blocks alone: the definition with ggml's rounding has the same.
#[cfg(not(target_os = "wasi"))]
#[test]
fn the_error_of_a_unet_call_is_that_of_the_blocks() {
    pollster::block_on(async {
        let golden = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        let (network, inputs) = unet_case(&golden, "b1_t981");
        let exact = stored_as(WeightChoice::F16).await.probe(network, &inputs, &[]).await.expect("a run");
        for (choice, most) in [(WeightChoice::Q8, 2e-2), (WeightChoice::Q4, 0.3)] {
            let mut session = stored_as(choice).await;
            let plan = session.plan(network).expect("a plan").fuse_epilogues();
            let (weights, quantized) = rounded_weights(&session, &plan).await;
            let mut give = |name: &str| inputs.get(name).or_else(|| weights.get(name)).cloned();
            let wanted = interpret(&plan, &mut give, &[]).expect("a run").remove("noise").expect("noise");
            let error = rel_rms(&wanted, &exact["noise"]);
            println!("{choice:?}: {quantized} elements quantized, relative RMS {error:.2e}");
            assert!(quantized > 100_000 && error > most / 100.0 && error < most, "{choice:?}: {quantized} {error:e}");
            for style in [Style::Tiled, Style::Untiled] {
                session.config.style = style;
                let got = session.probe(network, &inputs, &[]).await.expect("a run");
                close(&format!("{choice:?} {style:?}"), &got["noise"], &wanted, UNET);
            }
            let mut on_cpu = mini::on_cpu(mini::storing(|_, numbers| (Dtype::F16, mini::halves(&numbers)))).await;
            on_cpu.config.weights = choice;
            let got = on_cpu.probe(network, &inputs, &[]).await.expect("a run");
            close(&format!("{choice:?} on the CPU"), &got["noise"], &wanted, UNET);
        }
    });
}

/// Strengths are set to 0.6, to 0 and back, and the LoRA is removed: each image is that of a new session.
#[cfg(not(target_os = "wasi"))]
#[test]
fn loras_are_folded_from_the_file_and_leave_no_trace() {
    pollster::block_on(async {
        for choice in [WeightChoice::F16, WeightChoice::Q8, WeightChoice::Q4] {
            for (name, is_on_cpu) in [("lora_a", false), ("lora_b", false), ("lora_a", true)] {
                let open = async || match is_on_cpu {
                    true => {
                        let halves = mini::storing(|_, numbers| (Dtype::F16, mini::halves(&numbers)));
                        let mut session = mini::on_cpu(halves).await;
                        session.config.weights = choice;
                        session
                    }
                    false => stored_as(choice).await,
                };
                let mut session = open().await;
                let lora = adapter(&session, name).await;
                let loras = [&lora];
                let (_, plain, _) = cases_of("hires").remove(0);
                let plain = Recipe { steps: 2, ..plain };
                let at = |strength: f32| Recipe { adapters: vec![choose(name, strength)], ..plain.clone() };
                let none = latents(&mut open().await, &plain, &GenerateInputs::default()).await;
                let some = latents(&mut open().await, &at(0.6), &with(&loras)).await;
                let what = format!("{choice:?} {name} on the CPU: {is_on_cpu}");
                assert!(rel_rms(&some, &none) > 1e-3, "{what}: the LoRA changes the image");
                for (strength, wanted) in [(0.6, &some), (0.0, &none), (0.6, &some)] {
                    let got = latents(&mut session, &at(strength), &with(&loras)).await;
                    assert!(got == *wanted, "{what} at {strength}");
                }
                let got = latents(&mut session, &plain, &with(&loras)).await;
                assert!(got == none, "{what} removed");

                // W + dW is rounded once: the error is that of rounding the model with the LoRA.
                let full = latents(&mut full().await, &at(0.6), &with(&loras)).await;
                let error = rel_rms(&some, &full);
                println!("{what}: relative RMS of latents to those of f32 weights {error:.2e}");
                let most = [5e-3, 5e-2, 0.5][choice as usize - 1];
                assert!(error < most, "{what}: {error:e}");
            }
        }
    });
}

/// Folds by few rows give the image of folds of whole tensors, except for f16 sums that other tiles round to a neighbor, and
/// weights that follow each other in one buffer stay apart.
#[cfg(not(target_os = "wasi"))]
#[test]
fn tensors_are_folded_by_rows() {
    pollster::block_on(async {
        let (_, plain, _) = cases_of("hires").remove(0);
        for (choice, most) in [(WeightChoice::F16, 1e-3), (WeightChoice::Q8, 1e-2)] {
            for (name, is_on_cpu) in [("lora_a", false), ("lora_b", false), ("lora_a", true)] {
                let draw = async |slice: Option<u64>| {
                    let halves = mini::storing(|_, numbers| (Dtype::F16, mini::halves(&numbers)));
                    let mut session = if is_on_cpu { mini::on_cpu(halves).await } else { stored_as(choice).await };
                    session.config.weights = choice;
                    session.model.checkpoint.slice = slice.unwrap_or(session.model.checkpoint.slice);
                    let lora = adapter(&session, name).await;
                    let recipe = Recipe { steps: 2, adapters: vec![choose(name, 0.6)], ..plain.clone() };
                    latents(&mut session, &recipe, &with(&[&lora])).await
                };
                let error = rel_rms(&draw(Some(1)).await, &draw(None).await);
                println!("{choice:?} {name} on the CPU: {is_on_cpu}: {error:.2e}");
                assert!(error < most, "{choice:?} {name} on the CPU: {is_on_cpu}: {error:e}");
            }
        }
    });
}

#[cfg(not(target_os = "wasi"))]
fn choose(name: &str, strength: f32) -> AdapterChoice {
    AdapterChoice { name: name.into(), sha256: name.into(), strength, text_encoder: None, blocks: None, hash: None }
}

/// A denoiser whose weights are read from the files in each call draws the bits of one that has them in memory, with LoRAs
/// whose strength changes from image to image and in the middle of one.
#[cfg(not(target_os = "wasi"))]
#[test]
fn a_streamed_denoiser_draws_the_same_image() {
    pollster::block_on(async {
        let (_, plain, _) = cases_of("hires").remove(0);
        let without = Recipe { steps: 3, ..plain };
        let at = |strength| Recipe { adapters: vec![choose("lora_a", strength)], ..without.clone() };
        let scheduled = Recipe {
            program: Program::A1111,
            prompt: format!("{} <lora:lora_a:1:start=0.4>", without.prompt),
            adapters: vec![],
            ..without.clone()
        };
        for is_on_cpu in [false, true] {
            let mut images = Vec::new();
            for (weights, part) in
                [(WeightChoice::F16, 0), (WeightChoice::Streamed, 0), (WeightChoice::Streamed, 50_000)]
            {
                let halves = mini::storing(|_, numbers| (Dtype::F16, mini::halves(&numbers)));
                let mut session = if is_on_cpu { mini::on_cpu(halves).await } else { stored_as(weights).await };
                session.config.weights = weights;
                session.model.checkpoint.part = part;
                let lora = adapter(&session, "lora_a").await;
                let mut drawn = Vec::new();
                for recipe in [&without, &at(0.6), &at(0.3), &scheduled, &without] {
                    drawn.push(latents(&mut session, recipe, &with(&[&lora])).await);
                }
                assert!(rel_rms(&drawn[0], &drawn[1]) > 1e-3 && rel_rms(&drawn[1], &drawn[2]) > 1e-3);
                assert_eq!(drawn[0], drawn[4], "{weights:?}: without the LoRA again");
                images.push(drawn);
            }
            assert!(images[1] == images[0] && images[2] == images[0], "on the CPU: {is_on_cpu}");
        }
    });
}

/// Memory in GB: model, edge of the image, and the most with f16, q8, q4 and streamed weights.
const TARGETS: [(&str, usize, [f64; 4]); 2] =
    [("sdxl", 1024, [8.5, 5.2, 3.9, 3.0]), ("sd15", 512, [2.4, 1.7, 1.3, 1.0])];

/// Returns the tensors of a LoRA for all attention and feed-forward layers of these components.
fn lora_shapes(model: &Model, rank: usize, components: &[Component]) -> imagined::Shapes {
    let modules = model.modules();
    let is_changed = |(component, module): &&(Component, &Module)| {
        let names = if *component == Component::Unet { ["attentions.", "attentions."] } else { ["self_attn.", "mlp."] };
        components.contains(component) && names.iter().any(|name| module.path.contains(name))
    };
    let factors = modules.iter().filter(is_changed).filter_map(|(component, module)| {
        let shape = module.weight_shape();
        let &[outputs, inputs, ..] = shape.as_slice() else { return None };
        let key = |factor: &str| format!("{component}.{}.lora_{factor}.weight", module.path);
        let ones = vec![1; shape.len() - 2];
        Some([
            (key("A"), [vec![rank, inputs], ones.clone()].concat()),
            (key("B"), [vec![outputs, rank], ones].concat()),
        ])
    });
    factors.flatten().collect()
}

#[test]
fn images_with_two_loras_fit_smaller_cards() {
    for (family, edge, targets) in TARGETS {
        let model = imagined::open(&imagined::shapes(family), &[], &[]).expect("a model");
        let (unet, text): (&[_], &[_]) = (&[Component::Unet], &[Component::TextEncoder, Component::TextEncoder2]);
        for components in [unet.to_vec(), [unet, text].concat()] {
            let loras = ["a", "b"].map(|name| {
                let (file, _) = imagined::synthetic_checkpoint(&lora_shapes(&model, 64, &components), &[]);
                pollster::block_on(async {
                    let file = TensorFile::open(name.into(), Rc::new(file)).await.expect("a header");
                    LoadedAdapter::open(name.into(), file, None, &model.modules()).await.expect("an adapter")
                })
            });
            assert!(loras[0].adapter.deltas.len() >= 160, "{}", loras[0].adapter.deltas.len());
            assert_eq!(loras[0].changes_text_encoder(), components.len() > 1);
            let pixels = model.size_multiple();
            let shape = Shape {
                images: 1,
                guided: true,
                prompts: 1,
                height: edge / pixels,
                width: edge / pixels,
                chunks: 1,
                clip_skip: 0,
                encodes_image: false,
            };
            for (&weights, most) in WeightChoice::ALL[1..].iter().zip(targets) {
                let config = KernelConfig { weights, ..KernelConfig::BASELINE };
                let need = model.memory_need(shape, &config, &[&loras[0], &loras[1]]).expect("plans");
                let gigabytes = need.total() as f64 / 1e9;
                println!("{family} {weights:?} {components:?}: {gigabytes:.2} GB of {most} GB, {need:?}");
                assert!(gigabytes <= most && need.adapters > 0, "{family} {weights:?}: {gigabytes} GB");
            }
        }
    }
}

#[test]
fn weights_are_stored_as_they_fit() {
    use WeightChoice::{Auto, F16, Q4, Q8, Streamed};
    const GIB: u64 = 1 << 30;
    for (family, fitting) in [
        (
            "sdxl",
            [(16 * GIB, Auto), (8 * GIB, F16), (6 * GIB, Q8), (4 * GIB, Q4), (3 * GIB, Streamed), (GIB, Streamed)],
        ),
        (
            "sd15",
            [(6 * GIB, Auto), (3 * GIB, F16), (2 * GIB, Q8), (3 * GIB / 2, Q8), (5 * GIB / 4, Q4), (GIB, Streamed)],
        ),
    ] {
        let model = imagined::open(&imagined::shapes(family), &[], &[]).expect("a model");
        let choose =
            |chosen, memory| WeightStorage::choose(&model, &KernelConfig::BASELINE, chosen, memory).expect("plans");
        for (memory, weights) in fitting {
            assert_eq!(choose(Auto, Some(memory)).weights, weights, "{family}: {memory} bytes");
            assert_eq!(choose(Q8, Some(memory)).weights, Q8, "{family}: what is chosen stays");
        }
        let WeightStorage { weights, needs } = choose(Auto, None);
        assert_eq!(weights, Auto, "{family}: without a limit");
        assert_eq!(needs.iter().map(|need| need.weights).collect::<Vec<_>>(), WeightChoice::ALL);
        assert!(needs.is_sorted_by(|larger, smaller| larger.bytes > smaller.bytes), "{family}: {needs:?}");
        let planned =
            model.memory_need(model.native_shape(), &KernelConfig { weights: Q8, ..KernelConfig::BASELINE }, &[]);
        assert_eq!(needs[2].bytes, planned.expect("plans").total());
    }
}

/// Distance of mini-sdxl's final latents from diffusers' with f32 weights, without and with two LoRAs, on the CPU.
#[test]
fn latents_of_sdxl_are_as_far_from_diffusers_as_rounding_takes_them() {
    pollster::block_on(async {
        let limits = [(WeightChoice::F16, 1e-4, 1e-2), (WeightChoice::Q8, 1e-3, 6e-2), (WeightChoice::Q4, 1e-2, 0.6)];
        for (weights, least, most) in limits {
            let config = KernelConfig { weights, ..KernelConfig::CPU };
            let mut opened = EndToEnd::open(&golden::path("golden"), "mini-sdxl", Device::cpu(), config).await;
            for name in ["euler", "lora_a_0.7_plus_b_0.4_dpmpp_2m_karras"] {
                let case = opened.cases().into_iter().find(|case| case["name"] == name).expect("a case");
                let distance = opened.distance(&case).await.unwrap_or_else(|error| panic!("{name}: {error}"));
                println!("{weights:?} {name}: {distance:.2e}");
                assert!((least..most).contains(&distance), "{weights:?} {name}: {distance:e}");
            }
        }
    });
}
