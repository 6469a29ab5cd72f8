//! Conversion of an f32 tensor to a 16-bit storage type, rounding to nearest.

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
}

impl Storage {
    /// Returns the value of the kernels' storage constant: 0, 1 or 2.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the bytes of `count` elements, rounded up to 32-bit words.
    pub fn bytes(self, count: u64) -> u64 {
        match self {
            Storage::F32 => count * 4,
            Storage::F16 | Storage::Bf16 => count.div_ceil(2) * 4,
        }
    }

    /// Returns the buffer size for `count` elements: not 0, rounded up to 16 bytes (one vec4).
    pub fn resident(self, count: u64) -> u64 {
        self.bytes(count.max(1)).next_multiple_of(16)
    }

    /// Rounds to the nearest representable value, ties to even.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Storage::F32 => value,
            Storage::F16 => half::f16::from_f32(value).to_f32(),
            Storage::Bf16 => half::bf16::from_f32(value).to_f32(),
        }
    }
}

/// x rounded to `storage`; the kernel writes two elements at a time.
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
        for (out, &x) in output.iter_mut().zip(inputs[0].data) {
            *out = self.storage.round(x);
        }
    }

    fn details(&self) -> String {
        format!("{:?}", self.storage).to_lowercase()
    }
}
