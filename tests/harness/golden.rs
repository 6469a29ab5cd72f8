//! Readers of files under tests/: text, JSON and tensors.

use lora_loupe::num::{host_len, numel};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Environment variable with the folder that a program away from its sources uses as tests/.
const FOLDER: &str = "LORA_LOUPE_TESTS";

/// Returns a path under tests/.
pub fn path(relative: &str) -> PathBuf {
    let folder = std::env::var_os(FOLDER).unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&folder).join(relative)
}

/// Reads a text file under tests/.
#[track_caller]
pub fn text(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("tests/{relative}: {error}"))
}

/// Reads the bytes of a file under tests/.
#[track_caller]
pub fn bytes(relative: &str) -> Vec<u8> {
    std::fs::read(path(relative)).unwrap_or_else(|error| panic!("tests/{relative}: {error}"))
}

/// Reads a JSON file under tests/.
#[track_caller]
pub fn json(relative: &str) -> serde_json::Value {
    serde_json::from_str(&text(relative)).unwrap_or_else(|error| panic!("tests/{relative}: {error}"))
}

/// A tensor of a golden file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub data: Vec<f32>,
}

impl Tensor {
    /// Returns (B, C, H, W) as (B, H, W, C) and (B, C, P) as (B, P, C); other ranks are unchanged.
    pub fn channels_last(&self) -> Vec<f32> {
        let &[batch, channels, ref pixels @ ..] = self.shape.as_slice() else { return self.data.clone() };
        let pixels = host_len(numel(pixels));
        let mut out = Vec::with_capacity(self.data.len());
        for b in 0..batch {
            for p in 0..pixels {
                out.extend((0..channels).map(|c| self.data[(b * channels + c) * pixels + p]));
            }
        }
        out
    }
}

/// Reads all tensors of a safetensors file under tests/; integers are converted to f32.
#[track_caller]
pub fn tensors(relative: &str) -> BTreeMap<String, Tensor> {
    read_tensors(&path(relative))
}

/// Reads all tensors of a safetensors file; integers are converted to f32.
#[track_caller]
pub fn read_tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let file_name = path.display();
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{file_name}: {error}"));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{file_name}: {error}"));
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let raw = view.data();
            let data = match view.dtype() {
                Dtype::F32 => raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
                Dtype::F16 => raw.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
                Dtype::I64 => {
                    raw.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")) as f32).collect()
                }
                Dtype::I32 => {
                    raw.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32).collect()
                }
                Dtype::U8 => raw.iter().map(|&byte| f32::from(byte)).collect(),
                other => panic!("{file_name}: `{name}` is {other:?}"),
            };
            (name, Tensor { shape: view.shape().to_vec(), data })
        })
        .collect()
}
