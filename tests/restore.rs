//! Recipes from images: files with the metadata of many programs, foreign texts, and damaged files.

use std::io::Write;

use lora_loupe::pipeline::{
    AdapterChoice, ImageInfo, Recipe, RecipeDraft, encode_png, image_texts, read_image, read_infotext,
};
use lora_loupe_tests::golden;
use serde_json::{Map, Value, json};

/// Reads an image, and returns its draft as JSON with the digits that the page gets.
fn read(name: &str, bytes: &[u8]) -> (ImageInfo, Value) {
    let info = read_image(name, bytes).unwrap_or_else(|error| panic!("{error}"));
    let json = serde_json::from_str(&serde_json::to_string(&info).unwrap()).unwrap();
    (info, json)
}

/// Adds the fields that an expected draft leaves out: they are empty.
fn complete(expected: &Map<String, Value>, found: &Map<String, Value>) -> Map<String, Value> {
    let empty = |key: &str, value: &Value| match value {
        _ if key == "prompt" || key == "negative" => json!(""),
        Value::Array(_) if key != "size" => json!([]),
        Value::Bool(_) if key == "pad_conds" => json!(false),
        _ => Value::Null,
    };
    let fields =
        found.iter().map(|(key, value)| (key.clone(), expected.get(key).cloned().unwrap_or_else(|| empty(key, value))));
    fields.chain(expected.clone()).collect()
}

/// Numbers compare by value: 7 is 7.0.
fn normalized(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.iter().map(normalized).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), normalized(value))).collect()),
        other => other.clone(),
    }
}

#[test]
fn images_of_all_programs_give_their_recipes() {
    let folder = golden::path("recipes");
    let (mut count, mut differences) = (0, Vec::new());
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            continue;
        }
        count += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (info, found) = read(&name, &std::fs::read(&path).unwrap());
        assert_eq!(info.problems, [""; 0], "{name}");
        let expected: Value = serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        if let Some(unknown) = expected.get("unknown") {
            assert_eq!((&found["unknown"], &found["draft"]), (unknown, &Value::Null), "{name}");
            continue;
        }
        assert_eq!(info.unknown, [], "{name}");
        let draft = found["draft"].as_object().unwrap_or_else(|| panic!("{name}: nothing was found"));
        let expected = complete(expected.as_object().unwrap(), draft);
        for (key, value) in &expected {
            let found = draft.get(key).map(normalized);
            if found.as_ref() != Some(&normalized(value)) {
                differences.push(format!("{name}: {key} is {found:?}, not {value}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(count >= 24, "only {count} images");
}

/// A PNG with one text.
fn png(keyword: &str, text: &str) -> Vec<u8> {
    encode_png(&[1, 2, 3], 1, 1, &[(keyword, text)]).unwrap()
}

#[test]
fn own_recipes_are_read_before_the_infotext() {
    let recipe = json!({
        "version": 1, "model": "m", "adapters": [{"name": "a", "sha256": "b", "strength": 0.7}], "prompt": "p",
        "seed": u64::MAX, "steps": 2, "guidance": 1.1, "sampler": "euler", "width": 64, "height": 64,
    });
    let (info, found) = read("own.png", &png("lora-loupe", &recipe.to_string()));
    let own = info.recipe.expect("a recipe");
    assert_eq!((own.seed, own.adapters[0].strength), (u64::MAX, 0.7));
    assert_eq!(found["recipe"]["seed"], json!("18446744073709551615"), "JavaScript has no such number");
    assert_eq!(found["recipe"]["adapters"][0]["strength"], json!(0.7));
    assert_eq!(found["recipe"]["guidance"], json!(1.1));
    let again: lora_loupe::pipeline::Recipe = serde_json::from_value(found["recipe"].clone()).unwrap();
    assert_eq!(again, own);
    let broken = read("own.png", &png("lora-loupe", "{\"version\": 1}")).0;
    assert_eq!((broken.recipe, broken.problems.len()), (None, 1));
}

/// Options that an infotext has no words for; the recipe itself stands beside it in the image.
const NOT_IN_INFOTEXTS: [&str; 7] =
    ["spacing", "prediction", "guidance_rescale", "batch", "masked", "embeddings", "version"];

/// Returns a recipe in which no option has its usual value.
fn unusual() -> Value {
    json!({
        "version": 1, "model": "my model", "prompt": "a (cat:1.2)", "negative": "blurry",
        "seed": "18446744073709551615", "adapters": [{
            "name": "ink", "sha256": "b2", "strength": 0.7, "text_encoder": 0.2, "blocks": "MID=0",
            "hash": "0123456789ab",
        }],
        "steps": 31, "guidance": 0.7, "sampler": "ddim", "width": 512, "height": 768, "schedule": "karras",
        "spacing": "trailing", "eta": 0.3, "rng": "torch_philox", "program": "a1111", "clip_skip": 1,
        "web_ui": {
            "noise_seed_delta": 31337, "discard_penultimate": true, "sgm_noise_multiplier": true, "quantize": true,
            "s_churn": 0.5, "s_tmin": 0.1, "s_tmax": 9.0, "s_noise": 1.1, "sigma_min": 0.05, "sigma_max": 12.0,
            "rho": 5.0, "beta_alpha": 0.5, "beta_beta": 0.7, "extra_noise": 0.02, "min_sigma_of_guidance": 1.5,
            "skip_early_guidance": 0.2,
        },
        "variation": { "seed": "9007199254740993", "strength": 0.25 }, "seed_resize": [640, 320], "emphasis": "no_norm",
        "pad_conds": true, "prediction": "v_prediction", "zero_snr": true, "guidance_rescale": 0.6, "batch": 3,
        "denoise": 0.35, "masked": true, "masked_area": { "padding": 48, "blur": 8 },
        "hires": { "scale": 1.5, "denoise": 0.4, "steps": 12, "upscaler": "pixels" },
        "embeddings": [{ "name": "tired.pt", "sha256": "a1" }],
    })
}

/// Returns the fields of two JSON values that differ, at any depth.
fn differing(a: &Value, b: &Value) -> Vec<String> {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return Vec::new() };
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    let inner = keys.filter(|key| a.get(*key) != b.get(*key)).flat_map(|key| {
        let deeper = a.get(key).zip(b.get(key)).map(|(a, b)| differing(a, b)).unwrap_or_default();
        let deeper = deeper.into_iter().map(move |inner| format!("{key}.{inner}"));
        [key.clone()].into_iter().chain(deeper)
    });
    inner.collect()
}

#[test]
fn every_option_of_a_recipe_comes_back_from_its_image() {
    let unusual: Recipe = serde_json::from_value(unusual()).unwrap();
    let usual: Recipe = serde_json::from_value(json!({
        "version": 1, "model": "", "adapters": [], "prompt": "", "seed": 0, "steps": 1, "guidance": 1.0,
        "sampler": "euler", "width": 64, "height": 64, "web_ui": {}, "hires": { "scale": 2.0, "denoise": 0.5 },
        "variation": { "seed": 0, "strength": 0.0 }, "masked_area": { "padding": 0, "blur": 0 },
    }))
    .unwrap();
    let json = |recipe: &Recipe| serde_json::to_value(recipe).unwrap();
    // A new field without a value of its own above would be the same in both.
    let differing_fields = differing(&json(&unusual), &json(&usual));
    let all = json(&unusual);
    for field in all.as_object().unwrap().keys().filter(|field| *field != "version") {
        assert!(differing_fields.contains(field), "{field} has its usual value");
    }
    for (name, count) in [("web_ui", 16), ("hires", 4), ("variation", 2)] {
        let inside = all[name].as_object().unwrap();
        assert_eq!(inside.len(), count, "{name}");
        for field in inside.keys() {
            assert!(differing_fields.contains(&format!("{name}.{field}")), "{name}.{field} has its usual value");
        }
    }
    let info = read("own.png", &png("lora-loupe", &serde_json::to_string(&unusual).unwrap())).0;
    assert_eq!(info.recipe, Some(unusual.clone()));
    // The same through the web UI's text, which has one denoising strength for both passes.
    for hires in [None, unusual.hires.clone()] {
        let denoise = unusual.denoise.filter(|_| hires.is_none());
        let written = Recipe { hires, denoise, ..unusual.clone() };
        let draft = read_infotext(&RecipeDraft::of(&written).to_infotext());
        assert_eq!(draft.leftovers, [], "everything that is written is read");
        let mut again = Recipe { sampler: written.sampler, ..usual.clone() };
        let files: Vec<AdapterChoice> = written.adapters.clone();
        let missing =
            draft.restore(&mut again, &mut |mention| files.iter().find(|file| mention.is_named(&file.name)).cloned());
        assert_eq!(missing, []);
        let lost = differing(&json(&written), &json(&again));
        let lost: Vec<&String> = lost.iter().filter(|field| !NOT_IN_INFOTEXTS.contains(&field.as_str())).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}

#[test]
fn seeds_are_whole_numbers_of_64_bits() {
    let seed = |seed: Value| {
        let recipe = json!({
            "version": 1, "model": "m", "adapters": [], "prompt": "p", "seed": seed, "steps": 2, "guidance": 1,
            "sampler": "euler", "width": 64, "height": 64,
        });
        serde_json::from_value::<lora_loupe::pipeline::Recipe>(recipe).map(|recipe| recipe.seed).ok()
    };
    assert_eq!(seed(json!(7)), Some(7));
    assert_eq!(seed(json!("18446744073709551615")), Some(u64::MAX));
    assert_eq!(seed(json!(9007199254740991u64)), Some(9007199254740991));
    assert_eq!(seed(json!(648312782957426.0)), Some(648312782957426));
    for wrong in [json!(-1), json!("18446744073709551616"), json!(1.5), json!("x"), json!(null)] {
        assert_eq!(seed(wrong.clone()), None, "{wrong}");
    }
}

#[test]
fn circles_and_endless_texts_in_graphs_end() {
    let circle = json!({
        "1": {"class_type": "KSampler", "inputs": {
            "seed": ["2", 0], "steps": 5, "cfg": ["1", 0], "sampler_name": "euler", "scheduler": "normal", "model": ["3", 0],
            "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["6", 0],
        }},
        "2": {"class_type": "Reroute", "inputs": {"": ["2", 0]}},
        "3": {"class_type": "LoraLoader", "inputs": {"lora_name": "a", "strength_model": 1, "model": ["3", 0], "clip": ["3", 1], "lora_stack": ["3", 0]}},
        "4": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["4", 0]}},
        "5": {"class_type": "CLIPTextEncode", "inputs": {"text": ["7", 0], "clip": ["3", 1]}},
        "6": {"class_type": "LatentUpscaleBy", "inputs": {"samples": ["6", 0], "scale_by": 2}},
        "7": {"class_type": "StringConcatenate", "inputs": {"string_a": ["7", 0], "string_b": ["7", 0]}},
        "8": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    });
    let info = read("circle.png", &png("prompt", &circle.to_string())).0;
    let draft = info.draft.expect("a draft");
    assert_eq!((draft.steps, draft.prompt.as_str(), draft.adapters.len()), (Some(5), "", 1));
    assert!(draft.leftovers.iter().any(|leftover| leftover.name == "node 6"));

    // Each node doubles the text of the one before it.
    let mut nodes = Map::new();
    let link = |at: usize| json!([at.to_string(), 0]);
    for at in 100..140 {
        let inputs = json!({"string_a": link(at + 1), "string_b": link(at + 1), "delimiter": ""});
        nodes.insert(at.to_string(), json!({"class_type": "StringConcatenate", "inputs": inputs}));
    }
    nodes.insert("140".into(), json!({"class_type": "PrimitiveString", "inputs": {"value": "a"}}));
    nodes.insert("1".into(), circle["1"].clone());
    nodes.insert("4".into(), json!({"class_type": "CLIPTextEncode", "inputs": {"text": link(100)}}));
    nodes.insert("8".into(), circle["8"].clone());
    let draft = read("endless.png", &png("prompt", &Value::Object(nodes).to_string())).0.draft.expect("a draft");
    assert_eq!(draft.prompt, "");
    assert!(!draft.leftovers.is_empty());
}

#[test]
fn hostile_files_give_a_sentence() {
    // Ten megabytes of text in ten kilobytes.
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(&vec![b'a'; 10 << 20]).unwrap();
    let mut bomb = b"\x89PNG\r\n\x1a\n".to_vec();
    let data = [b"parameters\0\0".as_slice(), &zlib.finish().unwrap()].concat();
    bomb.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    bomb.extend([b"zTXt".as_slice(), &data, &[0; 4]].concat());
    let found = image_texts("bomb.png", &bomb).unwrap();
    assert_eq!(found.entries, []);
    assert!(
        found.problems[0].contains("`parameters`") && found.problems[0].contains("too large"),
        "{:?}",
        found.problems
    );

    // Lengths beyond the file.
    let lies: [&[u8]; 4] = [
        b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXtparameters\0a",
        b"\xff\xd8\xff\xe1\xff\xffExif\0\0II*\0",
        b"\xff\xd8\xff\xe1\0\x01",
        b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xffII*\0",
    ];
    for lie in lies {
        let found = image_texts("lie", lie).unwrap();
        assert_eq!((found.entries.len(), found.problems.len()), (0, 1), "{lie:?}: {:?}", found.problems);
    }
    let avif = b"\0\0\0\x18ftypavif\0\0\0\0avifmif1miaf\xff\xff\xff\xffmeta";
    assert_eq!(image_texts("lie.avif", avif).unwrap().entries, []);
    // A TIFF directory of 65535 entries that is not there.
    let exif = [b"\xff\xd8\xff\xe1\0\x12Exif\0\0".as_slice(), b"II*\0\x08\0\0\0\xff\xff", b"\xff\xd9"].concat();
    assert_eq!(image_texts("exif.jpg", &exif).unwrap().problems.len(), 1);

    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        let info = read("deep.png", &png("prompt", &deep)).0;
        assert_eq!((info.draft, info.unknown.len()), (None, 1));
    }
    for other in [b"GIF89a".as_slice(), b"", b"<html>"] {
        assert!(read_image("x", other).unwrap_err().to_string().contains("not a PNG, JPEG, WebP or AVIF image"));
    }
}

#[test]
fn damaged_images_of_all_programs_never_panic() {
    let mut state = 1u64;
    for entry in std::fs::read_dir(golden::path("recipes")).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            continue;
        }
        let whole = std::fs::read(&path).unwrap();
        for end in (0..whole.len()).step_by(whole.len() / 20 + 1) {
            _ = read_image("cut", &whole[..end]);
        }
        for _ in 0..20 {
            let mut damaged = whole.clone();
            for _ in 0..8 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = usize::try_from(state >> 33).unwrap() % damaged.len();
                damaged[at] = state.to_le_bytes()[2];
            }
            _ = read_image("damaged", &damaged);
        }
    }
}
