//! Reduced precision: f16, bf16 and fp8 weights and f16 math compared with diffusers, and values beyond the range of
//! f16.

#![cfg(not(target_os = "wasi"))] // needs a GPU

use lora_loupe::gpu::{F16_VARIANT, KernelConfig, Style, TileChoice};
use lora_loupe::pipeline::{GenerateInputs, Network, Session, Shape};
use lora_loupe::plan::interpret;
use lora_loupe_tests::cases::{case, cases, given, unet_case};
use lora_loupe_tests::compare::{LATENTS, VAE, close, rel_rms};
use lora_loupe_tests::draw::{adapter, check, draw, latents};
use lora_loupe_tests::golden;
use lora_loupe_tests::mini::{self, full};
use safetensors::Dtype;
use std::collections::BTreeMap;

/// Opens the pipeline as diffusers saves it with `variant="fp16"`: every weight rounded to f16.
async fn f16_session() -> Session {
    mini::stored(|_, numbers| (Dtype::F16, mini::halves(&numbers))).await
}

/// The goldens' tolerance for a UNet call with f16 math and f32 sums; measured are 1.1e-3 to 1.7e-3.
const UNET_F16: f64 = 5e-3;

#[test]
fn unet_with_f16_math() {
    pollster::block_on(async {
        let full_precision = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        let rounded = golden::tensors("golden/components/mini-sd15/fp16_weights_fp32_math.safetensors");
        let cases = [
            ("b1_t981", full().await, &full_precision),
            ("b2_t421", full().await, &full_precision),
            ("b1_t981", f16_session().await, &rounded),
        ];
        for (case, mut session, golden) in cases {
            session.config.style = Style::Tiled;
            session.config.f16_weights = true;
            let wanted = golden.get(&format!("{case}.out")).or(golden.get(&format!("unet.{case}.out")));
            let wanted = wanted.expect("an output").channels_last();
            let (network, inputs) = unet_case(&full_precision, case);
            for index in F16_VARIANT..F16_VARIANT + 3 {
                session.config.tiles = TileChoice::Forced(index);
                let got = session.probe(network, &inputs, &[]).await.expect("a run");
                close(case, &got["noise"], &wanted, UNET_F16);
                let is_exact = rel_rms(&got["noise"], &wanted) <= 1e-4;
                assert_eq!(is_exact, !session.gpu().expect("a GPU").info().shader_f16, "{case}: f16 math if supported");
            }
        }
    });
}

#[test]
fn images_with_f16_math() {
    pollster::block_on(async {
        let mut session = full().await;
        session.config.style = Style::Tiled;
        session.config.tiles = TileChoice::Forced(F16_VARIANT);
        let lora = adapter(&session, "lora_a").await;
        for name in ["ddim", "lora_a_1.0"] {
            let generated = draw(&mut session, &case(name), &[&lora]).await;
            let golden = golden::tensors(&format!("golden/e2e/mini-sd15/{name}.safetensors"));
            let wanted = golden["final_latents"].channels_last();
            // The goldens' end-to-end tolerance for f16; measured are 3.2e-3 to 3.9e-3.
            close(name, &generated.latents, &wanted, 2e-2);
            if let Some(image) = golden.get("image") {
                // PSNR of values from -1 to 1.
                let mean = generated
                    .image
                    .iter()
                    .zip(image.channels_last())
                    .map(|(a, b)| f64::from(a - b).powi(2))
                    .sum::<f64>()
                    / generated.image.len() as f64;
                let decibels = 10.0 * (4.0 / mean).log10();
                assert!(decibels >= 45.0, "{name}: {decibels} dB");
            }
            assert_eq!(
                rel_rms(&generated.latents, &wanted) <= LATENTS,
                !session.gpu().expect("a GPU").info().shader_f16,
                "{name}"
            );
        }
        assert_eq!(session.config.f16_math, session.gpu().expect("a GPU").info().shader_f16, "no overflow");
    });
}

#[test]
fn f16_weights_with_f32_math() {
    pollster::block_on(async {
        let mut session = f16_session().await;
        let golden = golden::tensors("golden/components/mini-sd15/fp16_weights_fp32_math.safetensors");
        let inputs = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        for case in ["b1_t981", "b2_t421"] {
            if let Some(wanted) = golden.get(&format!("unet.{case}.out")).or(golden.get(&format!("{case}.out"))) {
                let (network, given) = unet_case(&inputs, case);
                let got = session.probe(network, &given, &[]).await.expect("a run");
                close(case, &got["noise"], &wanted.channels_last(), 1e-4);
            }
        }
        let generated = draw(&mut session, &case("ddim_fp16_weights_fp32_math"), &[]).await;
        check(&generated, "ddim_fp16_weights_fp32_math");

        // The same with the weights kept as f16 in GPU memory, which is exact.
        let mut session = f16_session().await;
        session.config.f16_weights = true;
        let kept = draw(&mut session, &case("ddim_fp16_weights_fp32_math"), &[]).await;
        check(&kept, "ddim_fp16_weights_fp32_math");
        // With a LoRA the sum is rounded to f16 once: close to f32 weights, and removed bit-exactly.
        let lora = adapter(&session, "lora_a").await;
        let with = draw(&mut session, &case("lora_a_1.0"), &[&lora]).await;
        let golden = golden::tensors("golden/e2e/mini-sd15/lora_a_1.0.safetensors");
        close("a LoRA on f16 weights", &with.latents, &golden["final_latents"].channels_last(), 2e-2);
        let after = draw(&mut session, &case("ddim_fp16_weights_fp32_math"), &[&lora]).await;
        assert_eq!(after.latents, kept.latents);
    });
}

/// Rounds to the nearest code of an fp8 type; `decode` is increasing from 0 to the code `last`.
fn fp8(value: f32, decode: fn(u8) -> f32, last: u8) -> u8 {
    let size = value.abs();
    let above = (0..last).find(|&code| decode(code) >= size).unwrap_or(last);
    let below = above.saturating_sub(1);
    let (up, down) = (decode(above) - size, size - decode(below));
    let code = if up < down || up == down && above % 2 == 0 { above } else { below };
    code | u8::from(value.is_sign_negative()) << 7
}

/// Decodes a float with four exponent bits and three mantissa bits.
fn e4m3fn(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(code >> 3), f32::from(code & 7) / 8.0);
    if exponent == 0 { mantissa * 2f32.powi(-6) } else { (1.0 + mantissa) * 2f32.powi(exponent - 7) }
}

/// Decodes a float that is the upper byte of an f16.
fn e5m2(code: u8) -> f32 {
    half::f16::from_bits(u16::from(code) << 8).to_f32()
}

#[test]
fn rounded_weights_match_diffusers() {
    pollster::block_on(async {
        for (case, recipe, wanted) in cases("rounded") {
            let to_fp8 = |numbers: Vec<f32>, decode: fn(u8) -> f32, last: u8| {
                numbers.iter().map(|&value| fp8(value, decode, last)).collect::<Vec<u8>>()
            };
            let store = |_: &str, numbers: Vec<f32>| match case["dtype"].as_str() {
                Some("float8_e4m3fn") => (Dtype::F8_E4M3, to_fp8(numbers, e4m3fn, 0x7e)),
                Some("float8_e5m2") => (Dtype::F8_E5M2, to_fp8(numbers, e5m2, 0x7b)),
                _ => (Dtype::BF16, numbers.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect()),
            };
            for f16_weights in [false, true] {
                let mut session = mini::stored(store).await;
                session.config.f16_weights = f16_weights;
                let got = latents(&mut session, &recipe, &GenerateInputs::default()).await;
                close(&format!("{case}, f16 weights: {f16_weights}"), &got, &wanted, LATENTS);
            }
            let unrounded = latents(&mut full().await, &recipe, &GenerateInputs::default()).await;
            assert!(rel_rms(&unrounded, &wanted) > 1e-3, "rounding changes the image");
        }
    });
}

#[test]
fn only_unet_plans_allow_f16_math() {
    pollster::block_on(async {
        let session = full().await;
        // Also with strip mining: a feature map of the VAE is larger than 1 MiB.
        for max_binding in [KernelConfig::BASELINE.max_binding, 1 << 20] {
            let shape = Shape {
                images: 1,
                guided: true,
                prompts: 1,
                height: 24,
                width: 24,
                chunks: 1,
                clip_skip: 0,
                encodes_image: true,
            };
            let plans =
                session.model.plans(shape, &KernelConfig { max_binding, ..KernelConfig::BASELINE }).expect("plans");
            let allowing: Vec<&str> =
                plans.iter().filter(|plan| plan.allows_f16_math).map(|plan| plan.name.as_str()).collect();
            assert_eq!((plans.len(), allowing), (5, vec!["unet"]));
        }
    });
}

#[test]
fn f16_overflow_in_the_unet_disables_f16_math() {
    pollster::block_on(async {
        // Every feature map before a norm exceeds 65504, the maximum of f16.
        let scaled = |name: &str, numbers: Vec<f32>| {
            let factor = if name.starts_with("conv_in.") { 1e6 } else { 1.0 };
            (Dtype::F32, numbers.iter().flat_map(|x| (x * factor).to_le_bytes()).collect::<Vec<u8>>())
        };
        let (_, recipe, _) = cases("hires").remove(0);
        let mut session = mini::stored(scaled).await;
        session.config.style = Style::Tiled;
        let wanted = latents(&mut session, &recipe, &GenerateInputs::default()).await;

        let mut session = mini::stored(scaled).await;
        session.config.style = Style::Tiled;
        session.config.tiles = TileChoice::Forced(F16_VARIANT);
        assert_eq!(session.config.f16_math, session.gpu().expect("a GPU").info().shader_f16);
        assert_eq!(latents(&mut session, &recipe, &GenerateInputs::default()).await, wanted);
        assert!(!session.config.f16_math, "disabled or unsupported");
    });
}

#[test]
fn f16_overflow_does_not_affect_the_vae_decoder() {
    pollster::block_on(async {
        // As in SDXL's VAE, feature maps exceed 65504, the maximum of f16; an f16 VAE gives black images then.
        let scaled = |name: &str, numbers: Vec<f32>| {
            let factor = if name.starts_with("decoder.conv_in.") { 1e4 } else { 1.0 };
            (Dtype::F16, mini::halves(&numbers.iter().map(|x| x * factor).collect::<Vec<f32>>()))
        };
        let golden = golden::tensors("golden/components/mini-sd15/vae.safetensors");
        let latents = &golden["dec_b1.latents"];
        let &[batch, _, height, width] = latents.shape.as_slice() else { panic!("four axes") };
        let inputs = given([("latents", latents.channels_last().iter().map(|x| x * 100.0).collect())]);
        let network = Network::VaeDecoder { batch, height, width };
        for style in [Style::Tiled, Style::Untiled] {
            for f16_weights in [false, true] {
                let mut session = mini::stored(scaled).await;
                session.config.style = style;
                session.config.f16_weights = f16_weights;
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
                close(&format!("{style:?}, f16 weights: {f16_weights}"), &got["image"], &wanted["image"], VAE);
            }
        }
    });
}
