//! Turns a tensor into the nearest numbers of a storage of halves.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// How a resident weight's numbers lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats, two to a word.
    F16,
    /// The upper halves of 32-bit floats, two to a word.
    Bf16,
}

impl Storage {
    /// What kernels call it: 0, 1, 2.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Bytes of `count` numbers, in whole words.
    pub fn bytes(self, count: u64) -> u64 {
        match self {
            Storage::F32 => count * 4,
            Storage::F16 | Storage::Bf16 => count.div_ceil(2) * 4,
        }
    }

    /// Bytes of a buffer for so many numbers: never empty, in whole vec4s.
    pub fn resident(self, count: u64) -> u64 {
        self.bytes(count.max(1)).next_multiple_of(16)
    }

    /// The nearest number that it can hold; ties go to the even one.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Storage::F32 => value,
            Storage::F16 => half::f16::from_f32(value).to_f32(),
            Storage::Bf16 => half::bf16::from_f32(value).to_f32(),
        }
    }
}

/// x rounded once; a kernel writes it in pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrow {
    /// To which numbers.
    pub storage: Storage,
}

impl Operation for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            [x] => Ok(x.to_vec()),
            _ => Err(self.shape_error(inputs, "takes one input")),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        for (out, &x) in output.iter_mut().zip(inputs[0].data) {
            *out = self.storage.round(x);
        }
    }

    fn details(&self) -> String {
        format!("{:?}", self.storage).to_lowercase()
    }
}
