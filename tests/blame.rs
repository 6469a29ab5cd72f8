//! Errors name the file, network or adapter at fault, and no other.

use lora_loupe::adapters::{BakedAdapter, ModelFile, PeftConfigs, Strengths, bake, read};
use lora_loupe::analysis::compare;
use lora_loupe::edit::{EditInput, ModelSide, Models, Opened, export};
use lora_loupe::formats::{ByteSource, Header, ReadFuture};
use lora_loupe::model::Component;
use lora_loupe::pipeline::{Model, PipelineError};
use lora_loupe_tests::base;
use lora_loupe_tests::edits::bytes_of;
use lora_loupe_tests::mini;
use pollster::block_on;
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::ops::{ControlFlow, Range};

/// A file that can become unreadable.
struct RemovableFile {
    bytes: Vec<u8>,
    is_removed: Cell<bool>,
}

impl RemovableFile {
    fn new(bytes: Vec<u8>) -> RemovableFile {
        RemovableFile { bytes, is_removed: Cell::new(false) }
    }
}

impl ByteSource for RemovableFile {
    fn len(&self) -> u64 {
        ByteSource::len(&self.bytes)
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        match self.is_removed.get() {
            true => Box::pin(std::future::ready(Err(io::Error::other("removed")))),
            false => self.bytes.read(range),
        }
    }
}

const LORA: &str = "files/kohya_alpha_gt_rank_r3a16_fp32.safetensors";

/// Returns the mini base model with all-zero weights.
fn model() -> (Header, Vec<u8>) {
    let header = base::header();
    let numbers = header.tensors.last().map_or(0, |tensor| tensor.bytes.end);
    let mut bytes = Vec::new();
    header.write(&mut bytes).expect("memory");
    bytes.resize(bytes.len() + numbers as usize, 0);
    (block_on(Header::read(&bytes)).expect("a header"), bytes)
}

#[test]
fn a_read_error_during_export_is_not_reported_as_a_write_error() {
    let source = RemovableFile::new(bytes_of(LORA));
    let planned = block_on(export("lora.safetensors", &source, None)).expect("a plan");
    source.is_removed.set(true);
    let error = block_on(planned.write(&mut Vec::new())).expect_err("a removed file").to_string();
    assert!(error.starts_with("`lora.safetensors`: ") && !error.contains("written"), "{error}");
}

#[test]
fn bake_errors_name_the_model_or_the_adapter() {
    let (header, bytes) = model();
    let shapes = base::shapes();
    let (base, lora) = (RemovableFile::new(bytes), RemovableFile::new(bytes_of(LORA)));
    let lora_header = block_on(Header::read(&lora)).expect("a header");
    let adapter = block_on(read(&lora, &lora_header, &PeftConfigs::default(), &shapes.modules())).expect("an adapter");
    let error = |file: &RemovableFile| {
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
        file.is_removed.set(true);
        let result = block_on(bake(&files, &shapes.tensors, &[one], &mut Vec::new())).expect_err("a removed file");
        file.is_removed.set(false);
        result.to_string()
    };
    let message = error(&lora);
    assert!(message.starts_with("`lora.safetensors`: ") && !message.contains("base model"), "{message}");
    let message = error(&base);
    assert!(message.contains("base model") && !message.contains("lora") && !message.contains("written"), "{message}");
}

#[test]
fn compare_and_weigh_errors_name_the_file() {
    // A file without alpha tensors: those are read when the file is opened, before it is removed.
    const LORA: &str = "files/diffusers_lora_AB_metadata_r6a3_fp32.safetensors";
    let (a, b) = (RemovableFile::new(bytes_of(LORA)), RemovableFile::new(bytes_of(LORA)));
    let opened = |name: &str, source| block_on(Opened::new(name, source, None)).expect("an adapter");
    for removed in [0, 1] {
        let (first, second) = (opened("a", &a), opened("b", &b));
        [&a, &b][removed].is_removed.set(true);
        let error = block_on(compare(first.compared(), second.compared())).expect_err("a removed file").to_string();
        [&a, &b][removed].is_removed.set(false);
        assert!(error.starts_with(["`a`: ", "`b`: "][removed]), "{error}");
    }
    let (header, bytes) = model();
    let (base, shapes) = (RemovableFile::new(bytes), base::shapes());
    let files = [ModelFile { component: None, source: &base, header: &header }];
    let side = ModelSide { name: "model", files: &files, shapes: &shapes };
    for (file, name) in [(&a, "`a`: "), (&base, "`model`: ")] {
        let lora = opened("a", &a);
        file.is_removed.set(true);
        let result = block_on(lora.weigh(side, &HashMap::new(), &mut |_, _| ControlFlow::Continue(())));
        file.is_removed.set(false);
        let error = result.expect_err("a removed file").to_string();
        assert!(error.starts_with(name), "{error}");
    }
}

#[test]
fn errors_name_the_broken_file_of_a_model() {
    let (_, bytes) = model();
    let broken = b"no tensors".to_vec();
    let files: Vec<(Option<Component>, &dyn ByteSource)> =
        vec![(Some(Component::Unet), &bytes as _), (Some(Component::TextEncoder), &broken as _)];
    let error = block_on(Models::open(&EditInput { name: "model", files, config: None })).err().expect("a broken file");
    assert!(error.to_string().starts_with("`model (text_encoder)`: "), "{error}");
    for path in ["unet/config.json", "vae/config.json", "text_encoder/config.json", "tokenizer/vocab.json"] {
        let folder = mini::folder(|name, bytes| if name == path { b"{".to_vec() } else { bytes });
        let error = block_on(Model::open("mini", &folder)).err().expect("a broken file");
        let expected = path.trim_end_matches("/vocab.json");
        assert!(matches!(&error, PipelineError::InvalidFile { file, .. } if file == expected), "{path}: {error}");
    }
}
