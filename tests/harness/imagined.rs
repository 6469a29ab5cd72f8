//! Single-file checkpoints of full size that exist nowhere: real headers, elements made up as they are read.

use crate::golden;
use lora_loupe::formats::ByteSource;
use lora_loupe::formats::source::Reading;
use lora_loupe::num::numel;
use lora_loupe::pipeline::{Model, PipelineError};
use lora_loupe::text::Tokenizer;
use lora_loupe::weights::TensorFile;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Names and shapes of a checkpoint's tensors.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The published shapes of `sd15`, `sd21` or `sdxl`.
pub fn shapes(family: &str) -> Shapes {
    let file = std::fs::File::open(golden::path(&format!("golden/single_file/{family}.json.gz"))).expect("shapes");
    serde_json::from_reader(flate2::read::GzDecoder::new(file)).expect("shapes")
}

/// A file of gigabytes that is never there: the header, then f16 elements that follow from their place.
pub struct Imagined {
    head: Vec<u8>,
    len: u64,
}

/// The element at place `at` of the data: one of 1024 multiples of 1/512.
pub fn number(at: u64) -> f32 {
    (at.wrapping_mul(2_654_435_761) >> 7 & 1023) as f32 / 512.0 - 1.0
}

impl ByteSource for Imagined {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        let head = self.head.len() as u64;
        let byte = |at: u64| match usize::try_from(at).ok().and_then(|at| self.head.get(at)) {
            Some(&byte) => byte,
            None => half::f16::from_f32(number((at - head) / 2)).to_le_bytes()[usize::from((at - head) % 2 == 1)],
        };
        Box::pin(std::future::ready(Ok(range.map(byte).collect())))
    }
}

/// The file, and the place of each tensor's first element.
pub fn imagine(shapes: &Shapes, metadata: &[(&str, &str)]) -> (Imagined, BTreeMap<String, u64>) {
    let mut header = serde_json::Map::new();
    let metadata: serde_json::Map<_, _> = metadata.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    header.insert("__metadata__".into(), metadata.into());
    let (mut at, mut places) = (0, BTreeMap::new());
    for (key, shape) in shapes {
        let bytes = 2 * numel(shape);
        let entry = serde_json::json!({ "dtype": "F16", "shape": shape, "data_offsets": [at, at + bytes] });
        header.insert(key.clone(), entry);
        places.insert(key.clone(), at / 2);
        at += bytes;
    }
    let text = serde_json::to_string(&header).expect("JSON");
    let mut head = (text.len() as u64).to_le_bytes().to_vec();
    head.extend(text.as_bytes());
    let len = head.len() as u64 + at;
    (Imagined { head, len }, places)
}

/// A checkpoint of these shapes as a model, perhaps with a VAE from a file of its own.
pub fn open(shapes: &Shapes, metadata: &[(&str, &str)], vae: Option<&Shapes>) -> Result<Model, PipelineError> {
    pollster::block_on(async {
        let file = |shapes: &Shapes| TensorFile::open("model".into(), Rc::new(imagine(shapes, metadata).0));
        let vae = match vae {
            Some(shapes) => Some(file(shapes).await?),
            None => None,
        };
        Model::open_file("model", file(shapes).await?, vae, Tokenizer::clip()).await
    })
}
