//! Tensors of a base model, found by full name in a single file or in a diffusers folder.

use crate::formats::{ByteSource, Dtype, FormatError, Header, TensorInfo};
use crate::linalg::transposed;
use crate::model::{Component, TensorLocation};
use std::collections::HashMap;

/// One file of a base model.
#[derive(Clone, Copy)]
pub struct ModelFile<'a> {
    /// The network that this file holds; `None` for a single-file model.
    pub component: Option<Component>,
    /// The file's bytes.
    pub source: &'a dyn ByteSource,
    /// The file's header.
    pub header: &'a Header,
}

/// Locations of a model's tensors: full name (`unet.conv_in.weight`) to the index of its file and the stored tensor.
pub type Places = HashMap<String, (usize, TensorLocation)>;

/// Returns the stored tensor, or the third of its rows that `stored` selects from a fused QKV matrix.
pub fn stored_part(tensor: &TensorInfo, stored: &TensorLocation) -> TensorInfo {
    match (stored.qkv_index, tensor.shape.first()) {
        (Some(third), Some(rows)) => tensor.rows(third * rows / 3..(third + 1) * rows / 3),
        _ => tensor.clone(),
    }
}

/// A tensor of a base model.
pub struct BaseTensor<'a> {
    index: usize,
    file: &'a ModelFile<'a>,
    tensor: TensorInfo,
    transposed: bool,
}

impl<'a> BaseTensor<'a> {
    /// Finds the tensor with this full name.
    pub fn find(files: &'a [ModelFile<'a>], places: &Places, name: &str) -> Option<BaseTensor<'a>> {
        let (index, stored) = places.get(name)?;
        let file = files.get(*index)?;
        let tensor = stored_part(file.header.get(&stored.key)?, stored);
        Some(BaseTensor { index: *index, file, tensor, transposed: stored.transposed })
    }

    /// Returns the PyTorch shape.
    pub fn shape(&self) -> Vec<usize> {
        let stored = self.tensor.shape.iter().copied();
        if self.transposed { stored.rev().collect() } else { stored.collect() }
    }

    /// Returns its dtype in the file.
    pub fn dtype(&self) -> Dtype {
        self.tensor.dtype
    }

    /// Returns the index of its file and its offset there, in bytes.
    pub fn place(&self) -> (usize, u64) {
        (self.index, self.tensor.bytes.start)
    }

    /// Returns its size in the file, in bytes.
    pub fn bytes(&self) -> u64 {
        self.tensor.byte_len()
    }

    /// Reads its elements in PyTorch's order.
    pub async fn read(&self) -> Result<Vec<f32>, FormatError> {
        let data = self.tensor.read(self.file.source).await?;
        let columns = data.len() / self.tensor.shape.first().map_or(1, |&rows| rows.max(1));
        Ok(if self.transposed { transposed(&data, columns) } else { data })
    }
}
