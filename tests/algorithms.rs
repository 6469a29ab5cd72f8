//! Reports on adapters of every algorithm that PEFT saves, whether it is computed or not.

use lora_loupe::analysis::{FileKind, inspect};
use lora_loupe::num::numel;
use lora_loupe_tests::golden;
use pollster::block_on;
use std::collections::BTreeMap;

/// Keys and shapes by PEFT's name of the algorithm, from make/peft_types.py.
type SavedKeys = BTreeMap<String, BTreeMap<String, Vec<usize>>>;

/// Returns a file with these tensors, all ones.
fn file(shapes: &BTreeMap<String, Vec<usize>>) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (key, shape) in shapes {
        let start = data.len();
        for _ in 0..numel(shape) {
            data.extend(1f32.to_le_bytes());
        }
        let info = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(key.clone(), info);
    }
    let text = serde_json::to_vec(&header).expect("a header");
    [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat()
}

#[test]
fn every_algorithm_of_peft_is_named() {
    let saved: SavedKeys = serde_json::from_str(&golden::text("corpus/peft_keys.json")).expect("keys");
    assert!(saved.len() > 30, "only {} types", saved.len());
    for (kind, shapes) in &saved {
        let config = format!(r#"{{"peft_type": "{kind}"}}"#);
        // With and without the adapter's name, as PEFT's own functions and other programs save it.
        let named = |key: &str| match key.strip_suffix(".weight") {
            Some(tensor) => format!("{tensor}.default.weight"),
            None => format!("{key}.default"),
        };
        let with_name = shapes.iter().map(|(key, shape)| (named(key), shape.clone())).collect();
        for shapes in [shapes, &with_name] {
            let report = block_on(inspect("adapter_model.safetensors", &file(shapes), Some(&config), None));
            assert_eq!(report.kind, FileKind::Adapter, "{kind}: {:?}", report.problems);
            let letters = |name: &str| name.replace('_', "").to_lowercase();
            let is_named = report.algorithms.iter().any(|name| letters(name).contains(&letters(kind)));
            assert!(is_named, "{kind}: {:?}", report.algorithms);
        }
    }
}

#[test]
fn an_unknown_type_of_peft_is_named_by_its_config() {
    let shapes = BTreeMap::from([("prompt_embeddings".to_owned(), vec![8, 32])]);
    let config = r#"{"peft_type": "PROMPT_TUNING"}"#;
    let report = block_on(inspect("adapter_model.safetensors", &file(&shapes), Some(config), None));
    assert!(report.is_refused());
    assert!(
        report.verdict.contains("PROMPT_TUNING") || report.problems[0].message.contains("PROMPT_TUNING"),
        "{report:?}"
    );
}
