//! Text encoder, UNet and VAE of mini-sd15 and their intermediate outputs compared with diffusers.

#![cfg(not(target_os = "wasi"))] // needs a GPU

use lora_loupe::model::Component;
use lora_loupe::pipeline::{Network, Session, timestep_embedding, token_table};
use lora_loupe::plan::interpret;
use lora_loupe_tests::cases::{given, unet_case};
use lora_loupe_tests::compare::{INNER, TEXT, UNET, VAE, close, max_abs};
use lora_loupe_tests::mini::full;
use lora_loupe_tests::{golden, taps};
use std::collections::BTreeMap;

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
fn token_ids_agree_with_the_reference() {
    let session = pollster::block_on(full());
    let golden = golden::tensors("golden/components/mini-sd15/text.safetensors");
    let listed = golden::json("golden/components/mini-sd15/components.json");
    for entry in listed["text"].as_array().expect("prompts") {
        let ids =
            session.model.spec.text_encoders()[0].tokenizer.encode_padded(entry["prompt"].as_str().expect("a prompt"));
        let wanted = &golden[&format!("{}input_ids", entry["prefix"].as_str().expect("a prefix"))].data;
        assert_eq!(ids.iter().map(|&id| id as f32).collect::<Vec<_>>(), *wanted, "{}", entry["prompt"]);
    }
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
            // The reference computes sines of f32 angles up to 1000, with an absolute error of 6e-5.
            assert!(max_abs(&timestep_embedding(timestep, 16), wanted) < 1e-4, "sinusoid of {timestep}");
        }
    });
}

#[test]
fn unet_on_the_cpu() {
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
        close("CPU reference", &got["noise"], &golden["odd_t946p4737.out"].channels_last(), UNET);
    });
}

/// Compares every module whose output the plan computes and returns their number.
async fn compare_modules(
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
        // Tensors of rank 3 are tokens in the UNet and (B, C, P) in the decoder.
        let is_channels_first = tensor.shape.len() == 4 || part == "decoder";
        let expected = if is_channels_first { tensor.channels_last() } else { tensor.data.clone() };
        close(name, &got[label], &expected, INNER);
    }
    wanted.len()
}

#[test]
fn intermediate_outputs() {
    pollster::block_on(async {
        let mut session = full().await;
        let golden = golden::tensors("golden/components/mini-sd15/unet.safetensors");
        let (network, inputs) = unet_case(&golden, "b1_t981");
        let file = "golden/components/mini-sd15/unet_intermediates.safetensors";
        let count = compare_modules(&mut session, network, &inputs, file, "").await;
        assert!(count >= 68, "{count} of 76 modules compared");

        let vae = golden::tensors("golden/components/mini-sd15/vae.safetensors");
        let latents = vae["dec_b2.latents"].channels_last();
        let first = latents[..latents.len() / 2].to_vec();
        let network = Network::VaeDecoder { batch: 1, height: 5, width: 3 };
        let file = "golden/components/mini-sd15/vae_intermediates.safetensors";
        let count = compare_modules(&mut session, network, &given([("latents", first)]), file, "decoder").await;
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
