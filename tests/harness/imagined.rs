//! Synthetic single-file checkpoints of full size: real headers, elements computed on read.

use crate::golden;
use lora_loupe::formats::ByteSource;
use lora_loupe::formats::source::ReadFuture;
use lora_loupe::num::numel;
use lora_loupe::pipeline::{Model, PipelineError};
use lora_loupe::text::Tokenizer;
use lora_loupe::weights::TensorFile;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Tensor shapes of a checkpoint by key.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// Returns the published shapes of `sd15`, `sd21` or `sdxl`.
pub fn shapes(family: &str) -> Shapes {
    let file = std::fs::File::open(golden::path(&format!("golden/single_file/{family}.json.gz"))).expect("shapes");
    serde_json::from_reader(flate2::read::GzDecoder::new(file)).expect("shapes")
}

/// A multi-gigabyte file that is never materialized: a header, then f16 elements computed from their index.
pub struct SyntheticCheckpoint {
    header_bytes: Vec<u8>,
    len: u64,
}

/// Returns the element at index `at`, one of 1024 multiples of 1/512.
pub fn number(at: u64) -> f32 {
    (at.wrapping_mul(2_654_435_761) >> 7 & 1023) as f32 / 512.0 - 1.0
}

impl ByteSource for SyntheticCheckpoint {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        let header_len = self.header_bytes.len() as u64;
        let byte = |at: u64| match usize::try_from(at).ok().and_then(|at| self.header_bytes.get(at)) {
            Some(&byte) => byte,
            None => half::f16::from_f32(number((at - header_len) / 2)).to_le_bytes()
                [usize::from((at - header_len) % 2 == 1)],
        };
        Box::pin(std::future::ready(Ok(range.map(byte).collect())))
    }
}

/// Returns the file and the index of each tensor's first element.
pub fn synthetic_checkpoint(
    shapes: &Shapes,
    metadata: &[(&str, &str)],
) -> (SyntheticCheckpoint, BTreeMap<String, u64>) {
    let mut header = serde_json::Map::new();
    let metadata: serde_json::Map<_, _> = metadata.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    header.insert("__metadata__".into(), metadata.into());
    let (mut at, mut offsets) = (0, BTreeMap::new());
    for (key, shape) in shapes {
        let bytes = 2 * numel(shape);
        let entry = serde_json::json!({ "dtype": "F16", "shape": shape, "data_offsets": [at, at + bytes] });
        header.insert(key.clone(), entry);
        offsets.insert(key.clone(), at / 2);
        at += bytes;
    }
    let text = serde_json::to_string(&header).expect("JSON");
    let mut header_bytes = (text.len() as u64).to_le_bytes().to_vec();
    header_bytes.extend(text.as_bytes());
    let len = header_bytes.len() as u64 + at;
    (SyntheticCheckpoint { header_bytes, len }, offsets)
}

/// Opens a checkpoint of these shapes as a model, optionally with a VAE from a separate file.
pub fn open(shapes: &Shapes, metadata: &[(&str, &str)], parts: &[Shapes]) -> Result<Model, PipelineError> {
    pollster::block_on(async {
        let file =
            |shapes: &Shapes| TensorFile::open("model".into(), Rc::new(synthetic_checkpoint(shapes, metadata).0));
        let mut files = vec![file(shapes).await?];
        for part in parts {
            files.push(file(part).await?);
        }
        Model::open_files("model", files, Tokenizer::clip())
    })
}
