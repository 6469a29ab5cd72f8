//! Trigger words: rankings that NumPy and transformers computed for LoRAs of the demo model with known trigger words.

use lora_loupe::device::Device;
use lora_loupe::formats::ByteSource;
use lora_loupe::gpu::{KernelConfig, WeightChoice};
use lora_loupe::pipeline::{Folder, Model, PipelineError, RankedWords, Session, Stage};
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::golden::{self, bytes};
use pollster::block_on;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

fn session(weights: WeightChoice) -> Session {
    let model = golden::path("../web/public/demo/model");
    let model = block_on(Model::open("demo", &Folder::open(&model).expect("the demo"))).expect("the demo model");
    // Folded weights are not rounded to the type of their file, since NumPy's are not.
    Session::new(Device::cpu(), KernelConfig { weights, f16_weights: false, ..KernelConfig::CPU }, model)
}

fn lora(session: &Session, name: &str) -> LoadedAdapter {
    let source: Rc<dyn ByteSource> = Rc::new(bytes(&format!("golden/triggers/{name}.safetensors")));
    let file = block_on(TensorFile::open(name.into(), source)).expect("a LoRA");
    block_on(LoadedAdapter::open(name.into(), file, None, &session.model.modules())).expect("a LoRA")
}

fn found(session: &mut Session, name: &str, hints: &[&str], top: usize) -> RankedWords {
    let lora = lora(session, name);
    let hints: Vec<String> = hints.iter().map(|hint| (*hint).to_owned()).collect();
    block_on(session.find_triggers(lora, &hints, top, &mut |_| ControlFlow::Continue(()))).expect("words")
}

#[test]
fn rankings_agree_with_numpy() {
    let mut session = session(WeightChoice::Auto);
    for (name, rank) in [("sks", 1), ("canoe", 1), ("skyline", 1)] {
        let expected = golden::json(&format!("golden/triggers/{name}.json"));
        let found = found(&mut session, name, &[name], usize::MAX);
        let compared = expected["compared"].as_u64().expect("a number") as usize;
        assert_eq!((found.compared, found.words.len()), (compared, compared), "{name}");
        let by_word: BTreeMap<&str, _> = found.words.iter().map(|word| (word.word.as_str(), word)).collect();
        for want in expected["words"].as_array().expect("a list") {
            let word = want["word"].as_str().expect("a word");
            let got = by_word[word];
            for (part, got) in [("score", Some(got.score)), ("unet", got.unet), ("text", got.text)] {
                assert_eq!(got.is_some(), want[part].as_f64().is_some(), "{name}: {part} of {word}");
                let (got, want) = (got.unwrap_or(0.0), want[part].as_f64().unwrap_or(0.0));
                assert!((got - want).abs() <= 1e-4 * want.abs(), "{name}: {part} of {word} is {got}, not {want}");
            }
        }
        let at = found.words.iter().position(|word| word.word == name).expect("the trigger word");
        assert_eq!(at + 1, rank, "{name}: {:?}", &found.words[..5]);
        assert!(found.words.iter().all(|word| word.in_header == (word.word == name)), "{name}");
    }
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "the search of the rankings is enough there, which takes minutes")]
fn the_header_only_adds_words_of_several_tokens() {
    let mut session = session(WeightChoice::Auto);
    let bare = found(&mut session, "sks", &[], usize::MAX);
    assert!(bare.words.iter().all(|word| word.tokens == 1 && !word.in_header));
    let hinted = found(&mut session, "sks", &["SKS", "panda", " red apple "], usize::MAX);
    assert_eq!(hinted.compared, bare.compared + 2, "panda is in the vocabulary");
    let marked: Vec<(&str, usize)> =
        hinted.words.iter().filter(|word| word.in_header).map(|word| (word.word.as_str(), word.tokens)).collect();
    assert_eq!(marked[0], ("SKS", 2), "first");
    assert_eq!(marked.len(), 3);
    assert!(marked.contains(&("panda", 1)) && marked.contains(&("red apple", 2)));
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "the search of the rankings is enough there, which takes minutes")]
fn images_do_not_notice_a_search() {
    for weights in [WeightChoice::Auto, WeightChoice::F16] {
        let mut session = session(weights);
        let states = |session: &mut Session| {
            let network = lora_loupe::pipeline::Network::TextEncoder { batch: 1, tokens: 77 };
            let tokens = (0..77 * 192).map(|at| (at % 7) as f32 / 20.0).collect();
            let inputs = BTreeMap::from([("tokens".to_owned(), tokens)]);
            block_on(session.probe(network, &inputs, &[])).expect("states")
        };
        let before = states(&mut session);
        found(&mut session, "skyline", &[], 5);
        assert!(states(&mut session) == before, "{weights:?}");
        let lora = lora(&session, "skyline");
        let mut calls = 0;
        let stopped = block_on(session.find_triggers(lora, &[], 5, &mut |progress| {
            calls += usize::from(progress.stage == Stage::Text);
            if calls > 30 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }));
        assert!(matches!(stopped, Err(PipelineError::Cancelled)));
        assert!(states(&mut session) == before, "{weights:?}, cancelled");
    }
}
