//! An error names the file, the network or the adapter that is at fault, and no other.

#[path = "corpus/base.rs"]
mod base;

use lora_loupe::adapters::{BakedAdapter, ModelFile, PeftConfigs, Strengths, bake, read};
use lora_loupe::analysis::compare;
use lora_loupe::edit::{EditInput, ModelSide, Models, Opened, export};
use lora_loupe::formats::{ByteSource, Header, Reading};
use lora_loupe::model::Component;
use lora_loupe::pipeline::{Model, PipelineError};
use lora_loupe_tests::edits::bytes_of;
use lora_loupe_tests::mini;
use pollster::block_on;
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::ops::{ControlFlow, Range};

/// A file that may be taken away.
struct Fleeting {
    bytes: Vec<u8>,
    gone: Cell<bool>,
}

impl Fleeting {
    fn new(bytes: Vec<u8>) -> Fleeting {
        Fleeting { bytes, gone: Cell::new(false) }
    }
}

impl ByteSource for Fleeting {
    fn len(&self) -> u64 {
        ByteSource::len(&self.bytes)
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        match self.gone.get() {
            true => Box::pin(std::future::ready(Err(io::Error::other("it was taken away")))),
            false => self.bytes.read(range),
        }
    }
}

const LORA: &str = "files/kohya_alpha_gt_rank_r3a16_fp32.safetensors";

/// The mini base with zeros for numbers.
fn model() -> (Header, Vec<u8>) {
    let header = base::header();
    let numbers = header.tensors.last().map_or(0, |tensor| tensor.bytes.end);
    let mut bytes = Vec::new();
    header.write(&mut bytes).expect("memory");
    bytes.resize(bytes.len() + numbers as usize, 0);
    (block_on(Header::read(&bytes)).expect("a header"), bytes)
}

#[test]
fn a_file_that_goes_while_it_is_copied_is_no_full_disk() {
    let source = Fleeting::new(bytes_of(LORA));
    let planned = block_on(export("lora.safetensors", &source, None)).expect("a plan");
    source.gone.set(true);
    let error = block_on(planned.write(&mut Vec::new())).expect_err("it is gone").to_string();
    assert!(error.starts_with("lora.safetensors: ") && !error.contains("written"), "{error}");
}

#[test]
fn a_fold_names_the_model_or_the_adapter() {
    let (header, bytes) = model();
    let shapes = base::shapes();
    let (base, lora) = (Fleeting::new(bytes), Fleeting::new(bytes_of(LORA)));
    let lora_header = block_on(Header::read(&lora)).expect("a header");
    let adapter = block_on(read(&lora, &lora_header, &PeftConfigs::default(), &shapes.modules())).expect("an adapter");
    let error = |whose: &Fleeting| {
        let blocks = Strengths::default();
        let (source, header_of_lora) = (&lora, &lora_header);
        let one = BakedAdapter {
            name: "lora.safetensors",
            source,
            header: header_of_lora,
            adapter: &adapter,
            strength: 1.0,
            blocks: &blocks,
        };
        let files = [ModelFile { component: None, source: &base, header: &header }];
        whose.gone.set(true);
        let told = block_on(bake(&files, &shapes.tensors, &[one], &mut Vec::new())).expect_err("a file is gone");
        whose.gone.set(false);
        told.to_string()
    };
    let told = error(&lora);
    assert!(told.starts_with("lora.safetensors: ") && !told.contains("base model"), "{told}");
    let told = error(&base);
    assert!(told.contains("base model") && !told.contains("lora") && !told.contains("written"), "{told}");
}

#[test]
fn a_comparison_and_a_weighing_name_the_file() {
    // Without alphas among the numbers: what was read before is not missed.
    const LORA: &str = "files/diffusers_lora_AB_metadata_r6a3_fp32.safetensors";
    let (a, b) = (Fleeting::new(bytes_of(LORA)), Fleeting::new(bytes_of(LORA)));
    let opened = |name: &str, source| block_on(Opened::new(name, source, None)).expect("an adapter");
    for gone in [0, 1] {
        let (first, second) = (opened("a", &a), opened("b", &b));
        [&a, &b][gone].gone.set(true);
        let error = block_on(compare(first.compared(), second.compared())).expect_err("it is gone").to_string();
        [&a, &b][gone].gone.set(false);
        assert!(error.starts_with(["a: ", "b: "][gone]), "{error}");
    }
    let (header, bytes) = model();
    let (base, shapes) = (Fleeting::new(bytes), base::shapes());
    let files = [ModelFile { component: None, source: &base, header: &header }];
    let side = ModelSide { name: "model", files: &files, shapes: &shapes };
    for (gone, name) in [(&a, "a: "), (&base, "model: ")] {
        let lora = opened("a", &a);
        gone.gone.set(true);
        let weighed = block_on(lora.weigh(side, &HashMap::new(), &mut |_, _| ControlFlow::Continue(())));
        gone.gone.set(false);
        let error = weighed.expect_err("it is gone").to_string();
        assert!(error.starts_with(name), "{error}");
    }
}

#[test]
fn a_models_broken_file_is_named() {
    let (_, bytes) = model();
    let broken = b"no tensors".to_vec();
    let files: Vec<(Option<Component>, &dyn ByteSource)> =
        vec![(Some(Component::Unet), &bytes as _), (Some(Component::TextEncoder), &broken as _)];
    let error = block_on(Models::open(&EditInput { name: "model", files, config: None })).err().expect("a broken file");
    assert!(error.to_string().starts_with("model (text_encoder): "), "{error}");
    for path in ["unet/config.json", "vae/config.json", "text_encoder/config.json", "tokenizer/vocab.json"] {
        let folder = mini::folder(|name, bytes| if name == path { b"{".to_vec() } else { bytes });
        let error = block_on(Model::open("mini", &folder)).err().expect("a broken file");
        let named = path.trim_end_matches("/vocab.json");
        assert!(matches!(&error, PipelineError::BadFile { file, .. } if file == named), "{path}: {error}");
    }
}
