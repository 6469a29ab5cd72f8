//! The layer of a group, from which its change is created.

use super::config::PeftConfig;
use super::projections::Projections;
use crate::model::Module;
use crate::num::{host_len, numel};

/// A layer of the model, and the config that applies to it.
pub(super) struct Layer<'a> {
    pub(super) module: &'a Module,
    /// The PEFT config of its network, if the group is PEFT's.
    pub(super) config: Option<&'a PeftConfig>,
    /// The projections that follow from a seed, if the file has none of its own (VeRA).
    pub(super) projections: Option<Projections>,
}

impl Layer<'_> {
    /// Returns the shape of a matrix (outputs, columns): with the layer's kernel, if it is a convolution whose kernel
    /// is flattened. A model of another size than the published one has the same kernels.
    pub(super) fn shape_of(&self, outputs: usize, columns: usize) -> Vec<usize> {
        // As many columns as the kernel has inputs are a matrix without the kernel.
        let has_kernel = |shape: &[usize]| shape[1] == columns || self.module.weight_shape()[1] != columns;
        match self.shape_with_columns(columns) {
            Some(shape) if has_kernel(&shape) => [&[outputs], &shape[1..]].concat(),
            _ => vec![outputs, columns],
        }
    }

    /// Returns the layer's shape with rows of `columns` elements, which a file for a model of another size has; `None`
    /// if its kernel does not divide them.
    pub(super) fn shape_with_columns(&self, columns: usize) -> Option<Vec<usize>> {
        let mut shape = self.module.weight_shape();
        let area = host_len(numel(shape.get(2..)?));
        let inputs = columns.checked_div(area).filter(|inputs| *inputs > 0 && columns.is_multiple_of(area))?;
        shape[1] = inputs;
        Some(shape)
    }
}
