//! mini-sd15 against diffusers: networks, their inner steps, whole pictures, with and without LoRAs.

use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::{Choice, HALVES, Style};
use lora_loupe::model::Component;
use lora_loupe::pipeline::{Given, Model, Network, Picture, Session, Stage, sinusoid, token_table};
use lora_loupe::plan::interpret;
use lora_loupe::samplers::ScheduleConfig;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::compare::{close, max_abs, rel_rms};
use lora_loupe_tests::golden::{self, Tensor};
use lora_loupe_tests::{cases::recipe, mini, taps};
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

/// The goldens' "expected" limits for f32: see golden/README of each figure.
const TEXT: f64 = 1e-5;
const UNET: f64 = 1e-5;
const INNER: f64 = 2e-5;
const VAE: f64 = 1e-5;
const LATENTS: f64 = 2e-5;

/// The pipeline as diffusers saves it with `variant="fp16"`: every weight rounded to f16.
async fn half_session() -> Session {
    mini::stored(|_, numbers| (Dtype::F16, mini::halves(&numbers))).await
}

async fn full() -> Session {
    mini::session(|_, bytes| bytes).await
}

fn given<const N: usize>(list: [(&str, Vec<f32>); N]) -> BTreeMap<String, Vec<f32>> {
    list.into_iter().map(|(name, data)| (name.to_owned(), data)).collect()
}

#[test]
fn text_encoder() {
    pollster::block_on(async {
        let mut session = full().await;
        let golden = golden::tensors("golden/components/mini-sd15/text.safetensors");
        let taps: Vec<String> = (0..4).map(|layer| format!("text_model.encoder.layers.{layer}")).collect();
        for prompt in 0..5 {
            let get = |name: &str| golden.get(&format!("text_encoder.p{prompt}.{name}"));
            let ids: Vec<u32> = get("input_ids").expect("ids").data.iter().map(|&id| id as u32).collect();
            let tokens = session.model.checkpoint.rows(&token_table(Component::TextEncoder), &ids).await.expect("rows");
            let network = Network::TextEncoder { batch: 1, tokens: 77 };
            let got = session.probe(network, &given([("tokens", tokens)]), &taps).await.expect("a run");
            close(&format!("prompt {prompt}"), &got["states"], &get("last_hidden_state").expect("states").data, TEXT);
            for (layer, tap) in taps.iter().enumerate() {
                if let Some(hidden) = get(&format!("hidden.{}", layer + 1)) {
                    close(tap, &got[tap], &hidden.data, TEXT);
                }
            }
        }
    });
}

#[test]
fn prompts_become_the_references_ids() {
    let session = pollster::block_on(full());
    let golden = golden::tensors("golden/components/mini-sd15/text.safetensors");
    let listed = golden::json("golden/components/mini-sd15/components.json");
    for entry in listed["text"].as_array().expect("prompts") {
        let ids = session.model.tokenizers[0].encode_padded(entry["prompt"].as_str().expect("a prompt"));
        let wanted = &golden[&format!("{}input_ids", entry["prefix"].as_str().expect("a prefix"))].data;
        assert_eq!(ids.iter().map(|&id| id as f32).collect::<Vec<_>>(), *wanted, "{}", entry["prompt"]);
    }
}

fn unet_case(golden: &BTreeMap<String, Tensor>, case: &str) -> (Network, BTreeMap<String, Vec<f32>>) {
    let get = |name: &str| &golden[&format!("{case}.{name}")];
    let &[batch, _, height, width] = get("sample").shape.as_slice() else { panic!("{case}: sample") };
    let time = sinusoid(get("timestep").data[0], 16).repeat(batch);
    let text = get("encoder_hidden_states").data.clone();
    let inputs = given([("sample", get("sample").channels_last()), ("time", time), ("text", text)]);
    (Network::Unet { batch, height, width, tokens: 77 }, inputs)
}

#[test]
fn unet() {
    pollster::block_on(async {
        let mut session = full().await;
        let golden = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        for case in ["b1_t981", "b1_t1", "b2_t421", "odd_t946p4737"] {
            let (network, inputs) = unet_case(&golden, case);
            let got = session.probe(network, &inputs, &[]).await.expect("a run");
            close(case, &got["noise"], &golden[&format!("{case}.out")].channels_last(), UNET);
        }
        for (row, &timestep) in golden["temb.timesteps"].data.iter().enumerate() {
            let wanted = &golden["temb.sinusoid"].data[row * 16..(row + 1) * 16];
            // The reference takes sines of f32 angles up to 1000, good to 6e-5 absolute.
            assert!(max_abs(&sinusoid(timestep, 16), wanted) < 1e-4, "sinusoid of {timestep}");
        }
    });
}

/// One call in f16 with sums in f32: the goldens' limit for f16 arithmetic, where 1.1e-3 to 1.7e-3 were seen.
const UNET_OF_HALVES: f64 = 5e-3;

#[test]
fn unet_of_halves() {
    pollster::block_on(async {
        let whole = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        let half = golden::tensors("golden/components/mini-sd15/fp16_weights_fp32_math.safetensors");
        let cases = [
            ("b1_t981", full().await, &whole),
            ("b2_t421", full().await, &whole),
            ("b1_t981", half_session().await, &half),
        ];
        for (case, mut session, golden) in cases {
            session.gpu.set_style(Style::Tiled);
            session.gpu.set_keeps_halves(true);
            let wanted = golden.get(&format!("{case}.out")).or(golden.get(&format!("unet.{case}.out")));
            let wanted = wanted.expect("an output").channels_last();
            let (network, inputs) = unet_case(&whole, case);
            for index in HALVES..HALVES + 3 {
                session.gpu.choose(Choice::Forced(index));
                let got = session.probe(network, &inputs, &[]).await.expect("a run");
                close(case, &got["noise"], &wanted, UNET_OF_HALVES);
                let is_exact = rel_rms(&got["noise"], &wanted) <= 1e-4;
                assert_eq!(is_exact, !session.gpu.info().shader_f16, "{case}: halves where they are offered");
            }
        }
    });
}

#[test]
fn pictures_of_halves() {
    pollster::block_on(async {
        let mut session = full().await;
        session.gpu.set_style(Style::Tiled);
        session.gpu.choose(Choice::Forced(HALVES));
        let lora = adapter(&session, "lora_a").await;
        for name in ["ddim", "lora_a_1.0"] {
            let picture = draw(&mut session, &case(name), &[&lora]).await;
            let golden = golden::tensors(&format!("golden/e2e/mini-sd15/{name}.safetensors"));
            let wanted = golden["final_latents"].channels_last();
            // The goldens' limits for f16 from end to end, where 3.2e-3 to 3.9e-3 were seen.
            close(name, &picture.latents, &wanted, 2e-2);
            if let Some(image) = golden.get("image") {
                // Of colours from -1 to 1.
                let mean =
                    picture.image.iter().zip(image.channels_last()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
                        / picture.image.len() as f64;
                let decibels = 10.0 * (4.0 / mean).log10();
                assert!(decibels >= 45.0, "{name}: {decibels} dB");
            }
            assert_eq!(rel_rms(&picture.latents, &wanted) <= LATENTS, !session.gpu.info().shader_f16, "{name}");
        }
        assert_eq!(session.gpu.multiplies_halves(), session.gpu.info().shader_f16, "nothing was too large");
    });
}

#[test]
fn unet_on_the_cpu_by_definition() {
    pollster::block_on(async {
        let session = full().await;
        let golden = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        let (network, inputs) = unet_case(&golden, "odd_t946p4737");
        let plan = session.plan(network).expect("a plan");
        let mut weights = BTreeMap::new();
        for (name, layout, _) in plan.weights() {
            weights.insert(name.to_owned(), session.model.checkpoint.read(name, layout).await.expect("a weight"));
        }
        let mut give = |name: &str| inputs.get(name).or_else(|| weights.get(name)).cloned();
        let got = interpret(&plan, &mut give, &[]).expect("a run");
        close("interpreted", &got["noise"], &golden["odd_t946p4737.out"].channels_last(), UNET);
    });
}

/// Compares every module whose output a plan forms; returns how many those were.
async fn inner(
    session: &mut Session,
    network: Network,
    inputs: &BTreeMap<String, Vec<f32>>,
    file: &str,
    part: &str,
) -> usize {
    let golden = golden::tensors(file);
    let plan = session.plan(network).expect("a plan");
    let wanted: Vec<(&String, String)> = golden
        .keys()
        .filter(|name| name.starts_with(part))
        .filter_map(|name| Some((name, taps::label(name)?)))
        .filter(|(_, label)| plan.steps.iter().any(|step| step.label == *label))
        .collect();
    let labels: Vec<String> = wanted.iter().map(|(_, label)| label.clone()).collect();
    let got = session.probe(network, inputs, &labels).await.expect("a run");
    for (name, label) in &wanted {
        let tensor = &golden[*name];
        // The UNet's three axes are tokens, the decoder's (B, C, P).
        let maps = tensor.shape.len() == 4 || part == "decoder";
        let expected = if maps { tensor.channels_last() } else { tensor.data.clone() };
        close(name, &got[label], &expected, INNER);
    }
    wanted.len()
}

#[test]
fn inner_steps() {
    pollster::block_on(async {
        let mut session = full().await;
        let golden = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        let (network, inputs) = unet_case(&golden, "b1_t981");
        let file = "golden/components/mini-sd15/unet_intermediates.safetensors";
        let count = inner(&mut session, network, &inputs, file, "").await;
        assert!(count >= 68, "{count} of 76 modules compared");

        let vae = golden::tensors("golden/components/mini-sd15/vae.safetensors");
        let latents = vae["dec_b2.latents"].channels_last();
        let first = latents[..latents.len() / 2].to_vec();
        let network = Network::VaeDecoder { batch: 1, height: 5, width: 3 };
        let file = "golden/components/mini-sd15/vae_intermediates.safetensors";
        let count = inner(&mut session, network, &given([("latents", first)]), file, "decoder").await;
        assert!(count >= 7, "{count} modules of the decoder compared");
    });
}

#[test]
fn vae_decoder() {
    pollster::block_on(async {
        let mut session = full().await;
        let golden = golden::tensors("golden/components/mini-sd15/vae.safetensors");
        for case in ["dec_b1", "dec_b2"] {
            let latents = &golden[&format!("{case}.latents")];
            let &[batch, _, height, width] = latents.shape.as_slice() else { panic!("{case}") };
            let inputs = given([("latents", latents.channels_last())]);
            let got = session.probe(Network::VaeDecoder { batch, height, width }, &inputs, &[]).await.expect("a run");
            close(case, &got["image"], &golden[&format!("{case}.image")].channels_last(), VAE);
        }
    });
}

#[test]
fn half_precision_weights_in_f32_arithmetic() {
    pollster::block_on(async {
        let mut session = half_session().await;
        let golden = golden::tensors("golden/components/mini-sd15/fp16_weights_fp32_math.safetensors");
        let inputs = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        for case in ["b1_t981", "b2_t421"] {
            if let Some(wanted) = golden.get(&format!("unet.{case}.out")).or(golden.get(&format!("{case}.out"))) {
                let (network, given) = unet_case(&inputs, case);
                let got = session.probe(network, &given, &[]).await.expect("a run");
                close(case, &got["noise"], &wanted.channels_last(), 1e-4);
            }
        }
        let picture = draw(&mut session, &case("ddim_fp16_weights_fp32_math"), &[]).await;
        check(&picture, "ddim_fp16_weights_fp32_math");

        // The same with the halves kept in graphics memory, which loses nothing.
        let mut session = half_session().await;
        session.gpu.set_keeps_halves(true);
        let kept = draw(&mut session, &case("ddim_fp16_weights_fp32_math"), &[]).await;
        check(&kept, "ddim_fp16_weights_fp32_math");
        // With a LoRA the sum is rounded to f16 once: near the picture of f32 weights, and gone without a trace.
        let lora = adapter(&session, "lora_a").await;
        let with = draw(&mut session, &case("lora_a_1.0"), &[&lora]).await;
        let golden = golden::tensors("golden/e2e/mini-sd15/lora_a_1.0.safetensors");
        close("a LoRA on halves", &with.latents, &golden["final_latents"].channels_last(), 2e-2);
        let after = draw(&mut session, &case("ddim_fp16_weights_fp32_math"), &[&lora]).await;
        assert_eq!(after.latents, kept.latents);
    });
}

#[test]
fn a_decoder_whose_maps_are_beyond_halves_keeps_its_numbers() {
    pollster::block_on(async {
        // As SDXL's VAE does, and further: its maps grow past the 65504 of f16, where others turn black.
        let grown = |name: &str, numbers: Vec<f32>| {
            let factor = if name.starts_with("decoder.conv_in.") { 1e4 } else { 1.0 };
            (Dtype::F16, mini::halves(&numbers.iter().map(|x| x * factor).collect::<Vec<f32>>()))
        };
        let golden = golden::tensors("golden/components/mini-sd15/vae.safetensors");
        let latents = &golden["dec_b1.latents"];
        let &[batch, _, height, width] = latents.shape.as_slice() else { panic!("four axes") };
        let inputs = given([("latents", latents.channels_last().iter().map(|x| x * 100.0).collect())]);
        let network = Network::VaeDecoder { batch, height, width };
        for style in [Style::Tiled, Style::Direct] {
            for keeps_halves in [false, true] {
                let mut session = mini::stored(grown).await;
                session.gpu.set_style(style);
                session.gpu.set_keeps_halves(keeps_halves);
                let tap = "decoder.conv_in".to_owned();
                let got = session.probe(network, &inputs, std::slice::from_ref(&tap)).await.expect("a run");
                let largest = got[&tap].iter().fold(0f32, |largest, x| largest.max(x.abs()));
                assert!(largest > 10.0 * 65504.0 && largest.is_finite(), "{largest}");

                let plan = session.plan(network).expect("a plan");
                let mut weights = BTreeMap::new();
                for (name, layout, _) in plan.weights() {
                    weights
                        .insert(name.to_owned(), session.model.checkpoint.read(name, layout).await.expect("a weight"));
                }
                let mut give = |name: &str| inputs.get(name).or_else(|| weights.get(name)).cloned();
                let wanted = interpret(&plan, &mut give, &[]).expect("a run");
                close(&format!("{style:?}, halves kept: {keeps_halves}"), &got["image"], &wanted["image"], VAE);
            }
        }
    });
}

#[test]
fn early_configs_are_mended_as_pipelines_mend_them() {
    let changed = |path: &str, bytes: Vec<u8>| match path {
        "scheduler/scheduler_config.json" => {
            let mut config: serde_json::Value = serde_json::from_slice(&bytes).expect("a config");
            config
                .as_object_mut()
                .expect("fields")
                .retain(|field, _| field != "clip_sample" && field != "steps_offset");
            config.to_string().into_bytes()
        }
        _ => bytes,
    };
    let open = |folder| pollster::block_on(Model::open("mini", &folder)).expect("a model").schedule;
    assert_eq!(open(mini::folder(changed)), open(mini::folder(|_, bytes| bytes)));
}

fn case(name: &str) -> serde_json::Value {
    let cases = golden::json("golden/e2e/mini-sd15/cases.json");
    cases
        .as_array()
        .expect("cases")
        .iter()
        .find(|case| case["name"] == name)
        .unwrap_or_else(|| panic!("{name}"))
        .clone()
}

async fn adapter(session: &Session, name: &str) -> LoadedAdapter {
    let path = golden::path(&format!("golden/loras/mini-sd15/{name}.safetensors"));
    let source = Rc::new(FileSource::open(&path).expect("a LoRA"));
    let file = TensorFile::open(name.into(), source).await.expect("a header");
    LoadedAdapter::open(name.into(), file, None, &session.model.networks.modules()).await.expect("an adapter")
}

fn with<'a>(adapters: &'a [&'a LoadedAdapter]) -> Given<'a> {
    Given { adapters, ..Given::default() }
}

async fn draw(session: &mut Session, case: &serde_json::Value, adapters: &[&LoadedAdapter]) -> Picture {
    session.model.schedule = ScheduleConfig::from_json(&case["scheduler_config"].to_string()).expect("a schedule");
    let recipe = recipe(case);
    let picture = session.generate(&recipe, &with(adapters), &mut |_| ControlFlow::Continue(())).await;
    picture.unwrap_or_else(|error| panic!("{}: {error}", case["name"]))
}

fn check(picture: &Picture, name: &str) {
    let golden = golden::tensors(&format!("golden/e2e/mini-sd15/{name}.safetensors"));
    close(name, &picture.latents, &golden["final_latents"].channels_last(), LATENTS);
    if let Some(image) = golden.get("image") {
        assert!(max_abs(&picture.image, &image.channels_last()) <= 2e-3, "{name}: image");
    }
    let file = std::fs::File::open(golden::path(&format!("golden/e2e/mini-sd15/{name}.png"))).expect("a PNG");
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
    let mut wanted = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut wanted).expect("pixels");
    assert_eq!(wanted.len(), picture.rgb.len(), "{name}: size");
    let off: Vec<u8> = wanted.iter().zip(&picture.rgb).map(|(a, b)| a.abs_diff(*b)).collect();
    assert!(off.iter().all(|&levels| levels <= 1), "{name}: {:?} levels off", off.iter().max());
    assert!(off.iter().filter(|&&levels| levels > 0).count() * 100 <= off.len(), "{name}: over 1 % of values off");
}

#[test]
fn pictures() {
    pollster::block_on(async {
        let mut session = full().await;
        for name in ["ddim", "euler", "ddim_cfg7.5_20steps", "euler_nocfg", "euler_no_negative", "euler_othersize"] {
            let picture = draw(&mut session, &case(name), &[]).await;
            check(&picture, name);
        }
    });
}

#[test]
fn pictures_with_loras() {
    pollster::block_on(async {
        let mut session = full().await;
        let loaded = [
            adapter(&session, "lora_a").await,
            adapter(&session, "lora_b").await,
            adapter(&session, "lora_c_kohya").await,
        ];
        let all: Vec<&LoadedAdapter> = loaded.iter().collect();
        let before = draw(&mut session, &case("ddim"), &all).await;
        // In this order strengths change, sets of adapters change, and sets come back.
        for name in [
            "lora_a_1.0",
            "lora_a_0.6",
            "lora_a_-0.5",
            "lora_a_0.7_plus_b_0.4",
            "lora_b_1.0",
            "lora_b_-0.5",
            "lora_c_kohya_0.8",
            "lora_a_1.0",
        ] {
            let picture = draw(&mut session, &case(name), &all).await;
            check(&picture, name);
            assert!(picture.applied.iter().all(|applied| applied.matched > 0 && applied.leftovers == 0), "{name}");
        }
        let after = draw(&mut session, &case("ddim"), &all).await;
        assert_eq!(before.latents, after.latents, "without adapters the pristine weights are back, bit by bit");
    });
}

#[test]
fn pictures_with_kernels_for_graphics_cards() {
    pollster::block_on(async {
        let mut session = full().await;
        session.gpu.set_style(Style::Tiled);
        let lora = adapter(&session, "lora_a").await;
        for name in ["ddim", "lora_a_1.0", "lora_a_-0.5"] {
            check(&draw(&mut session, &case(name), &[&lora]).await, name);
        }
    });
}

#[test]
fn strength_zero_gives_the_bits_of_no_lora_and_changes_rebuild_nothing() {
    pollster::block_on(async {
        let mut session = full().await;
        let lora = adapter(&session, "lora_a").await;
        let mut case = case("lora_a_1.0");
        let none = draw(&mut session, &self::case("ddim"), &[&lora]).await;
        let full = draw(&mut session, &case, &[&lora]).await;
        let made = session.gpu.pipelines_made();
        case["lora"][0][1] = 0.0.into();
        let zero = draw(&mut session, &case, &[&lora]).await;
        assert_eq!(zero.latents, none.latents);
        assert!(rel_rms(&full.latents, &none.latents) > 1e-3, "the LoRA changes the picture");
        case["lora"][0][1] = 0.3.into();
        draw(&mut session, &case, &[&lora]).await;
        assert_eq!(session.gpu.pipelines_made(), made, "no pipeline is made for another strength");
    });
}

#[test]
fn stopping_answers_before_the_next_step() {
    pollster::block_on(async {
        let mut session = full().await;
        let recipe = recipe(&case("ddim"));
        let mut seen = 0;
        let result = session
            .generate(&recipe, &Given::default(), &mut |progress| {
                seen = progress.step;
                let stop = progress.stage == Stage::Denoise && progress.step == 3;
                if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await;
        assert_eq!(result.expect_err("stopped").kind(), "cancelled");
        assert_eq!(seen, 3);
        draw(&mut session, &case("ddim"), &[]).await;
    });
}

#[test]
fn stopping_answers_within_a_call_of_the_network() {
    pollster::block_on(async {
        let mut session = full().await;
        let recipe = recipe(&case("ddim"));
        let mut heard = async |stop: Option<(Stage, usize, usize)>| {
            // Portions as small as those of a slow device with a large model.
            session.gpu.set_submission_flops(500_000);
            let mut heard = Vec::new();
            let hear = &mut |progress: lora_loupe::pipeline::Progress| {
                heard.push((progress.stage, progress.step));
                let now = heard.iter().filter(|&&at| at == (progress.stage, progress.step)).count();
                let is_there = stop == Some((progress.stage, progress.step, now));
                if is_there { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let drawn = session.generate(&recipe, &Given::default(), hear).await;
            (drawn, heard)
        };
        let (whole, all) = heard(None).await;
        let whole = whole.expect("a picture");
        check(&whole, "ddim");
        for (stage, step) in [(Stage::Denoise, 3), (Stage::Decode, 0)] {
            let portions = all.iter().filter(|&&at| at == (stage, step)).count();
            assert!(portions > 8, "{stage:?} takes {portions} portions");
            let (stopped, heard) = heard(Some((stage, step, 3))).await;
            assert_eq!(stopped.map(|_| ()).expect_err("stopped").kind(), "cancelled");
            assert_eq!(heard.last(), Some(&(stage, step)));
            assert_eq!(heard.iter().filter(|&&at| at == (stage, step)).count(), 3, "{stage:?}: no portion later");
        }
        let (again, _) = heard(None).await;
        assert_eq!(again.expect("a picture").latents, whole.latents, "what was stopped leaves no trace");
    });
}

#[test]
fn a_lost_device_costs_time_and_no_picture() {
    pollster::block_on(async {
        let mut session = full().await;
        let lora = adapter(&session, "lora_a").await;
        let case = case("lora_a_0.6");
        let whole = draw(&mut session, &case, &[&lora]).await;
        let recipe = recipe(&case);
        for loss in 0..10 {
            let gpu = session.gpu.clone();
            // Eight steps, then losses before the text, the adapters and in decoding.
            let mut parts = 0;
            let picture = session
                .generate(&recipe, &with(&[&lora]), &mut |_| {
                    if parts == loss + 1 {
                        gpu.lose();
                    }
                    parts += 1;
                    ControlFlow::Continue(())
                })
                .await;
            let picture = picture.unwrap_or_else(|error| panic!("loss {loss}: {error}"));
            assert!(!Rc::ptr_eq(&gpu, &session.gpu), "loss {loss}: the device was opened anew");
            assert_eq!(picture.latents, whole.latents, "loss {loss}");
            assert_eq!(picture.rgb, whole.rgb, "loss {loss}");
        }
    });
}
