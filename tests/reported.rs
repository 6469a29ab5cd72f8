//! What people reported of other generators, on cases of its kind. The rest of such reports are cases of other files:
//! lengths of prompts, `AND`, Hires. fix and schedules in webui.rs and webui_prompts.rs; tags of LoRAs in prompts.rs;
//! images of programs in restore.rs; names and hashes in infotext.rs; old names of layers in single_file.rs.

use lora_loupe::device::Device;
use lora_loupe::gpu::KernelConfig;
use lora_loupe::model::Component;
use lora_loupe::num::{host_len, numel};
use lora_loupe::pipeline::{Embedding, Folder, GenerateInputs, Model, Recipe, Session, read_infotext};
use lora_loupe::samplers::{PhiloxNoise, TorchNoise};
use lora_loupe::weights::TensorFile;
use lora_loupe_tests::compare::rel_rms;
use lora_loupe_tests::containers::{Entry, entries, entry, safetensors, zip};
use lora_loupe_tests::draw::latents;
use lora_loupe_tests::mini;
use pollster::block_on;
use serde_json::{Value, json};
use std::rc::Rc;

fn recipe(change: &Value) -> Recipe {
    let mut recipe = json!({
        "version": 1, "model": "mini-sd15", "adapters": [], "sampler": "euler", "prompt": "a cat", "negative": "red",
        "seed": 7, "steps": 3, "guidance": 5.0, "width": 64, "height": 64,
    });
    recipe.as_object_mut().expect("a recipe").extend(change.as_object().expect("fields").clone());
    serde_json::from_value(recipe).expect("a recipe")
}

#[test]
fn seeds_beyond_32_bits_wrap_with_pytorch_and_not_with_philox() {
    let (seed, low) = (648_312_782_957_426_u64, 648_312_782_957_426_u64 & 0xffff_ffff);
    assert_eq!(TorchNoise::new(seed).randn(64), TorchNoise::new(low).randn(64));
    assert_ne!(TorchNoise::new(seed).randn(64), TorchNoise::new(u64::from(u32::MAX)).randn(64), "clamped");
    assert_ne!(PhiloxNoise::new(seed).randn(64), PhiloxNoise::new(low).randn(64));
}

#[test]
fn a_chosen_prediction_type_is_that_of_a_model_that_states_it() {
    block_on(async {
        let v_prediction = |path: &str, bytes: Vec<u8>| {
            if path != "scheduler/scheduler_config.json" {
                return bytes;
            }
            let mut config: Value = serde_json::from_slice(&bytes).expect("a config");
            config["prediction_type"] = json!("v_prediction");
            config["rescale_betas_zero_snr"] = json!(true);
            config.to_string().into_bytes()
        };
        let mut silent = mini::on_cpu(|_, bytes| bytes).await;
        let mut stated = mini::on_cpu(v_prediction).await;
        let given = GenerateInputs::default();
        for program in ["diffusers", "a1111", "comfyui"] {
            let sampler = json!({ "program": program, "sampler": "ddim" });
            let usual = latents(&mut silent, &recipe(&sampler), &given).await;
            let wanted = latents(&mut stated, &recipe(&sampler), &given).await;
            let mut chosen = recipe(&sampler);
            chosen.prediction = Some(lora_loupe::samplers::PredictionType::VPrediction);
            chosen.zero_snr = Some(true);
            assert_eq!(latents(&mut silent, &chosen, &given).await, wanted, "{program}");
            assert!(rel_rms(&usual, &wanted) > 0.1, "{program}");
        }
    });
}

/// Returns a file as `torch.save` writes a dictionary of tensors in f32.
fn torch_file(tensors: &[Entry]) -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let number = |number: usize| [&b"J"[..], &(number as u32).to_le_bytes()].concat();
    let tuple = |parts: Vec<Vec<u8>>| [b"(".to_vec(), parts.concat(), b"t".to_vec()].concat();
    let mut pickle = b"\x80\x02}(".to_vec();
    for (at, (name, shape, values)) in tensors.iter().enumerate() {
        let storage = [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(&at.to_string()), text("cpu")];
        let storage = tuple(storage.into_iter().chain([number(values.len())]).collect());
        let strides = (1..=shape.len()).map(|axis| number(host_len(numel(&shape[axis..]))));
        let arguments = tuple(vec![
            [storage, b"Q".to_vec()].concat(),
            number(0),
            tuple(shape.iter().map(|axis| number(*axis)).collect()),
            tuple(strides.collect()),
            b"\x89ccollections\nOrderedDict\n)R".to_vec(),
        ]);
        pickle.extend([text(name), b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec(), arguments, b"R".to_vec()].concat());
    }
    pickle.extend(b"u.");
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<(String, Vec<u8>)> =
        tensors.iter().enumerate().map(|(at, (.., values))| (format!("archive/data/{at}"), bytes(values))).collect();
    let files = [("archive/data.pkl", pickle.as_slice()), ("archive/version", &b"3\n"[..])];
    let data = data.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    zip(&files.into_iter().chain(data).collect::<Vec<_>>(), false, None)
}

#[test]
fn a_folder_of_pickles_draws_the_image_of_its_safetensors() {
    block_on(async {
        let mut usual = mini::on_cpu(|_, bytes| bytes).await;
        let root = lora_loupe_tests::golden::path("golden/pipelines/mini-sd15");
        let mut files: Vec<(String, Rc<dyn lora_loupe::formats::ByteSource>)> = Vec::new();
        for folder in ["", "unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
            for entry in std::fs::read_dir(root.join(folder)).expect("the folder").flatten() {
                let path = entry.path();
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("safetensors") => {
                        let tensors = entries(&std::fs::read(&path).expect("weights"));
                        files.push((name.replace(".safetensors", ".bin"), Rc::new(torch_file(&tensors))));
                    }
                    _ if path.is_file() => {
                        let name = name.trim_start_matches('/').to_owned();
                        files.push((name, Rc::new(std::fs::read(&path).expect("a file"))));
                    }
                    _ => {}
                }
            }
        }
        let model = Model::open("mini-sd15", &Folder::new(files)).await.expect("a model");
        let mut pickles = Session::new(Device::cpu(), KernelConfig::CPU, model);
        let (recipe, given) = (recipe(&json!({})), GenerateInputs::default());
        let wanted = latents(&mut usual, &recipe, &given).await;
        assert_eq!(latents(&mut pickles, &recipe, &given).await, wanted);
    });
}

#[test]
fn textual_inversions_of_both_spellings_for_sdxl_are_the_same() {
    block_on(async {
        let widths = [(Component::TextEncoder, 6), (Component::TextEncoder2, 10)];
        let open = async |keys: &[(&str, usize)]| {
            let tensors: Vec<Entry> = keys
                .iter()
                .map(|(key, width)| (String::from(*key), vec![2, *width], entry("x", &[2, *width]).2))
                .collect();
            let file = TensorFile::open("my.word (v1.2).safetensors".into(), Rc::new(safetensors(&[], &tensors)));
            Embedding::open("id".into(), &file.await.expect("a header"), &widths).await
        };
        let web_ui = open(&[("clip_l", 6), ("clip_g", 10)]).await.expect("an embedding");
        let advanced = open(&[("text_encoders_0", 6), ("text_encoders_1", 10)]).await.expect("an embedding");
        assert_eq!(advanced, web_ui);
        assert_eq!(web_ui.names, ["my.word (v1.2)"]);
        let swapped = open(&[("text_encoders_0", 10), ("text_encoders_1", 6)]).await.expect_err("an error").to_string();
        assert!(swapped.contains("10 wide, but the model needs 6"), "{swapped}");
        let half = open(&[("text_encoders_0", 6)]).await.expect_err("an error").to_string();
        assert!(half.contains("no vectors for the"), "{half}");
    });
}

#[test]
fn sizes_that_the_web_ui_rounds_are_rounded() {
    let draft = read_infotext("a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 500x764");
    let mut restored = recipe(&json!({}));
    assert_eq!(draft.restore(&mut restored, &mut |_| None), []);
    assert_eq!((restored.width, restored.height), (496, 760));
    restored.check(8).expect("a recipe that can be drawn");
}
