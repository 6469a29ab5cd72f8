//! Token ids and attention syntax compared with transformers and the web UI for the same prompts.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use lora_loupe::text::{TextError, Tokenizer, TokenizerConfig, parse_attention};
use serde::Deserialize;

fn golden(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn ids(path: &str) -> BTreeMap<String, Vec<u32>> {
    serde_json::from_str(&golden(path)).unwrap()
}

fn mini_config() -> TokenizerConfig {
    let folder = "tokenizer/mini-sd15";
    let map = golden(&format!("{folder}/special_tokens_map.json"));
    TokenizerConfig::from_json(&golden(&format!("{folder}/tokenizer_config.json")), Some(&map)).unwrap()
}

fn mini(config: &TokenizerConfig) -> Result<Tokenizer, TextError> {
    let folder = "tokenizer/mini-sd15";
    Tokenizer::from_files(&golden(&format!("{folder}/vocab.json")), &golden(&format!("{folder}/merges.txt")), config)
}

#[test]
fn clip_token_ids_agree_with_transformers() {
    let tokenizer = Tokenizer::clip();
    let expected = ids("tokenizer/clip_full_ids.json");
    assert_eq!(expected.len(), 223);
    for (prompt, expected) in &expected {
        assert_eq!(&tokenizer.encode_padded(prompt), expected, "{prompt:?}");
    }
}

#[test]
fn ambiguous_prompts_are_tokenized_like_the_reference() {
    #[derive(Deserialize)]
    struct File {
        prompts: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Case {
        prompt: String,
        reference: Vec<u32>,
    }
    let tokenizer = Tokenizer::clip();
    let file: File = serde_json::from_str(&golden("tokenizer/clip_full_disagreements.json")).unwrap();
    assert!(!file.prompts.is_empty());
    for case in &file.prompts {
        let got = tokenizer.encode_padded(&case.prompt);
        assert_eq!(got[..case.reference.len()], case.reference, "{:?}", case.prompt);
    }
}

#[test]
fn token_ids_of_a_custom_vocabulary_agree_with_transformers() {
    let tokenizer = mini(&mini_config()).unwrap();
    for (prompt, mut expected) in ids("tokenizer/mini_vocab_ids.json") {
        expected.resize(77, tokenizer.eos_id());
        assert_eq!(tokenizer.encode_padded(&prompt), expected, "{prompt:?}");
    }
}

#[test]
fn padding_and_counting() {
    let tokenizer = Tokenizer::clip().padded_with_zero();
    assert_eq!(tokenizer.encode("a cat"), [320, 2368]);
    assert_eq!(tokenizer.encode_padded("a cat")[..6], [49406, 320, 2368, 49407, 0, 0]);
    // If an exclamation mark is the padding token, transformers treats every one in the prompt as padding and splits
    // words at it; the web UIs do not. Ids from transformers 5.23.
    assert_eq!(tokenizer.encode_padded("a cat!! b!c")[1..10], [320, 2368, 0, 0, 321, 0, 322, 49407, 0]);
    assert_eq!(tokenizer.encode("a cat!"), Tokenizer::clip().encode("a cat!"));
    let long = "dog ".repeat(100);
    assert_eq!(tokenizer.count(&long), 100);
    let padded = tokenizer.encode_padded(&long);
    assert_eq!((padded.len(), padded[75], padded[76]), (77, 1929, 49407));
}

#[test]
fn special_tokens_map_overrides_the_padding_token_of_tokenizer_config() {
    let config = r#"{"pad_token": "<|endoftext|>", "model_max_length": 77}"#;
    let map = r#"{"pad_token": {"content": "!", "lstrip": false}}"#;
    assert_eq!(TokenizerConfig::from_json(config, Some(map)).unwrap().pad_token, "!");
    assert_eq!(TokenizerConfig::from_json(config, None).unwrap(), TokenizerConfig::default());
    let own = r#"{"pad_token": "<|endoftext|>", "added_tokens_decoder": {}}"#;
    assert_eq!(TokenizerConfig::from_json(own, Some(map)).unwrap().pad_token, "<|endoftext|>");
}

#[test]
fn damaged_tokenizer_files_are_reported() {
    let config = mini_config();
    let message = |error: TextError| error.to_string();
    let foreign = Tokenizer::from_files(&golden("tokenizer/mini-sd15/vocab.json"), "#version: 0.2\ni zebra\n", &config);
    assert!(message(foreign.unwrap_err()).starts_with("merges.txt line 2 (\"i zebra\")"));
    assert!(message(Tokenizer::from_files("[]", "", &config).unwrap_err()).starts_with("vocab.json is not valid"));
    assert!(message(Tokenizer::from_files("{}", "", &config).unwrap_err()).contains("is not a CLIP vocabulary"));
    assert!(matches!(Tokenizer::clip_from_merges_gz(b"no gzip"), Err(TextError::Gzip(_))));
    let unknown = TokenizerConfig { pad_token: "<|pad|>".into(), ..mini_config() };
    assert!(message(mini(&unknown).unwrap_err()).contains("<|pad|>"));
    assert!(matches!(TokenizerConfig::from_json(r#"{"model_max_length": 1}"#, None), Err(TextError::TooShort(1))));
}

#[test]
fn attention_syntax_agrees_with_the_web_ui() {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Case {
        prompt: String,
        parsed: Vec<(String, f64)>,
    }
    let file: File = serde_json::from_str(&golden("prompt_weights/attention_parse.json")).unwrap();
    assert!(!file.cases.is_empty());
    for case in &file.cases {
        let got = parse_attention(&case.prompt);
        let same = |(got, expected): (&(String, f64), &(String, f64))| {
            got.0 == expected.0 && (got.1 - expected.1).abs() < 1e-9
        };
        let agree = got.len() == case.parsed.len() && got.iter().zip(&case.parsed).all(same);
        assert!(agree, "{:?}:\n got      {got:?}\n expected {:?}", case.prompt, case.parsed);
    }
}

#[test]
fn an_invalid_weight_is_text() {
    assert_eq!(parse_attention("(a:1.2.3)"), [("a:1.2.3".into(), 1.1)]);
}
