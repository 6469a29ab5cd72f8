//! Conversion of an f32 tensor to a smaller storage type.

use super::blocks::{Blocks, SUPERBLOCK};
use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Storage type of a weight in GPU memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// f32.
    #[default]
    F32,
    /// f16, two per 32-bit word.
    F16,
    /// bf16, two per 32-bit word.
    Bf16,
    /// 8-bit integers in blocks of 32 with a scale: 8.5 bits per element.
    Q8,
    /// 4-bit integers in blocks of 32 with a scale: 4.5 bits per element.
    Q4,
}

impl Storage {
    /// Returns the value of the kernels' storage constant: 0 to 4.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the type of the blocks, or None if elements are stored one by one.
    pub fn blocks(self) -> Option<Blocks> {
        match self {
            Storage::F32 | Storage::F16 | Storage::Bf16 => None,
            Storage::Q8 => Some(Blocks::Q8),
            Storage::Q4 => Some(Blocks::Q4),
        }
    }

    /// Returns the bytes of `count` elements, rounded up to 32-bit words or superblocks.
    pub fn bytes(self, count: u64) -> u64 {
        match (self, self.blocks()) {
            (_, Some(blocks)) => count.div_ceil(SUPERBLOCK as u64) * blocks.superblock_bytes() as u64,
            (Storage::F32, _) => count * 4,
            _ => count.div_ceil(2) * 4,
        }
    }

    /// Returns the buffer size for `count` elements: not 0, rounded up to 16 bytes (one vec4).
    pub fn resident(self, count: u64) -> u64 {
        self.bytes(count.max(1)).next_multiple_of(16)
    }

    /// Rounds elements to the nearest representable values, ties to even, or by quantizing blocks.
    pub fn rounded(self, values: &[f32]) -> Vec<f32> {
        match self {
            Storage::F32 => values.to_vec(),
            Storage::F16 => values.iter().map(|&value| half::f16::from_f32(value).to_f32()).collect(),
            Storage::Bf16 => values.iter().map(|&value| half::bf16::from_f32(value).to_f32()).collect(),
            Storage::Q8 => Blocks::Q8.unpack(&Blocks::Q8.pack(values), values.len()),
            Storage::Q4 => Blocks::Q4.unpack(&Blocks::Q4.pack(values), values.len()),
        }
    }
}

/// x rounded to `storage`; the kernels write two elements at a time, or two blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrow {
    /// Target type.
    pub storage: Storage,
}

impl Operation for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            [x] => Ok(x.to_vec()),
            _ => Err(self.shape_error(inputs, "expects one input")),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        output.copy_from_slice(&self.storage.rounded(inputs[0].data));
    }

    fn details(&self) -> String {
        format!("{:?}", self.storage).to_lowercase()
    }
}
