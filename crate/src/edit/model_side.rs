//! A model in an edit: its files, its layers and the location of their tensors.

use super::error::EditError;
use crate::adapters::{BaseTensor, ModelFile};
use crate::analysis::BaseShapes;

/// A model as one side of an extraction, or as the base model that changes are measured against.
#[derive(Clone, Copy)]
pub struct ModelSide<'a> {
    /// Name, for messages.
    pub name: &'a str,
    /// Files.
    pub files: &'a [ModelFile<'a>],
    /// Layers and the location of their tensors.
    pub shapes: &'a BaseShapes,
}

impl<'a> ModelSide<'a> {
    /// Finds a tensor by its full name.
    pub(super) fn tensor(&self, name: &str) -> Option<BaseTensor<'a>> {
        BaseTensor::find(self.files, &self.shapes.tensors, name)
    }

    /// Reads a tensor in PyTorch's order; empty if the model does not have it.
    pub(super) async fn read(&self, name: &str) -> Result<Vec<f32>, EditError> {
        let Some(tensor) = self.tensor(name) else { return Ok(Vec::new()) };
        tensor.read().await.map_err(|source| EditError::Read { file: self.name.into(), source })
    }
}
