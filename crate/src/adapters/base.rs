//! Turns the name of a base model's tensor into its numbers, wherever and however its files keep it.

use crate::formats::{ByteSource, FormatError, Header, TensorInfo};
use crate::model::stored::transposed;
use crate::model::{Component, Stored};
use std::collections::HashMap;

/// One file of a base model.
#[derive(Clone, Copy)]
pub struct ModelFile<'a> {
    /// The network whose own file this is; none for a single-file model.
    pub component: Option<Component>,
    /// Its bytes.
    pub source: &'a dyn ByteSource,
    /// What they hold.
    pub header: &'a Header,
}

/// Where each tensor of a model is: full name (`unet.conv_in.weight`) to the index of its file and
/// what is stored there.
pub type Places = HashMap<String, (usize, Stored)>;

/// The part of a stored tensor that is meant.
pub fn stored_part(tensor: &TensorInfo, stored: &Stored) -> TensorInfo {
    match (stored.third, tensor.shape.first()) {
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
    /// The tensor of that full name.
    pub fn find(files: &'a [ModelFile<'a>], places: &Places, name: &str) -> Option<BaseTensor<'a>> {
        let (index, stored) = places.get(name)?;
        let file = files.get(*index)?;
        let tensor = stored_part(file.header.get(&stored.key)?, stored);
        Some(BaseTensor { index: *index, file, tensor, transposed: stored.transposed })
    }

    /// PyTorch's shape.
    pub fn shape(&self) -> Vec<usize> {
        let stored = self.tensor.shape.iter().copied();
        if self.transposed { stored.rev().collect() } else { stored.collect() }
    }

    /// Which file it is in, and where.
    pub fn place(&self) -> (usize, u64) {
        (self.index, self.tensor.bytes.start)
    }

    /// Bytes that it takes in its file.
    pub fn bytes(&self) -> u64 {
        self.tensor.bytes.end - self.tensor.bytes.start
    }

    /// Its numbers in PyTorch's order.
    pub async fn read(&self) -> Result<Vec<f32>, FormatError> {
        let data = self.tensor.read(self.file.source).await?;
        Ok(if self.transposed { transposed(&data, self.tensor.shape[0]) } else { data })
    }
}
