//! Conversion of layers whose weights another key format stores swapped, split or fused: LoRA pairs assembled from rows of
//! the file's changes.

use super::convert::{Layer, Planner};
use super::error::EditError;
use super::names::Target;
use super::pairs::{PairKeys, common_dtype, dtype, is_convertible, no_name, pair_pieces};
use super::qkv::{Block, Fusion, assembled, part, part_path};
use crate::adapters::{Delta, Part};
use crate::formats::Dtype;
use crate::model::{Component, Module};
use crate::num::{host_len, numel};

impl<'a> Planner<'a, '_, '_> {
    /// Swaps the upper and lower half of a change.
    pub(super) async fn swap(&mut self, delta: &'a Delta, target: Target, strength: f32) -> Result<(), EditError> {
        let (rows, scale) = (delta.change.shape()[0], delta.scale * strength);
        let half = rows / 2;
        let block = |take: std::ops::Range<usize>, at| Block { delta, take, at, scale };
        let blocks = vec![block(half..rows, 0), block(0..half, rows - half)];
        self.joint((delta.component, &delta.module), blocks, rows, target).await
    }

    /// Splits a fused layer's change into one per part.
    pub(super) async fn split(
        &mut self,
        delta: &'a Delta,
        fusion: Fusion<'a>,
        target: Target,
        strength: f32,
    ) -> Result<(), EditError> {
        let outputs = fusion.parts.last().map_or(0, |(_, rows)| rows.end);
        if outputs != delta.change.shape()[0] {
            return Err(no_name(self.opened.layer(delta), target));
        }
        for (part, rows) in fusion.parts {
            let block = Block { delta, take: rows.clone(), at: 0, scale: delta.scale * strength };
            self.joint((fusion.component, part), vec![block], rows.len(), target).await?;
        }
        self.preview.split.push(self.opened.layer(delta));
        Ok(())
    }

    /// Fuses the changes of all parts of a layer into one; does nothing if it was fused before.
    pub(super) async fn fuse(&mut self, fusion: Fusion<'a>, target: Target) -> Result<(), EditError> {
        let path = format!("{}.{}", fusion.component, fusion.whole.path);
        if self.preview.fused.contains(&path) {
            return Ok(());
        }
        let mut blocks = Vec::new();
        for (part, rows) in &fusion.parts {
            let is_part = |delta: &&Delta| {
                delta.component == fusion.component && part_path(&self.opened.layers, &delta.module) == part.path
            };
            for delta in self.opened.adapter.deltas.iter().filter(is_part) {
                if delta.change.shape()[0] != rows.len() || delta.part == Part::Bias {
                    return Err(no_name(self.opened.layer(delta), target));
                }
                let scale = delta.scale * self.options.strengths.of(delta);
                blocks.push(Block { delta, take: 0..rows.len(), at: rows.start, scale });
            }
        }
        let outputs = fusion.parts.last().map_or(0, |(_, rows)| rows.end);
        self.joint((fusion.component, fusion.whole), blocks, outputs, target).await?;
        self.preview.fused.push(path);
        Ok(())
    }

    /// Adds a LoRA pair for a layer, assembled from blocks.
    async fn joint(
        &mut self,
        (component, module): (Component, &Module),
        blocks: Vec<Block<'a>>,
        rows: usize,
        target: Target,
    ) -> Result<(), EditError> {
        let layer = format!("{component}.{}", module.path);
        let keys = PairKeys::for_layer(target, &self.opened.model, component, module);
        let keys = keys.ok_or_else(|| no_name(layer.clone(), target))?;
        let columns =
            blocks.first().map_or(0, |block| host_len(numel(block.delta.change.shape().get(1..).unwrap_or_default())));
        let rank = self.joint_rank(layer, &blocks, rows).await?;
        let dtypes = blocks.iter().map(|block| dtype(block.delta, self.options.dtype));
        let dtype = dtypes.reduce(common_dtype).unwrap_or(Dtype::F32);
        self.notes.note(component, module, rank);
        self.pieces.extend(pair_pieces(keys, &[rows, columns], rank, dtype, self.layers.len()));
        self.layers.push(Layer::Joint { blocks, rows, rank, limit: self.options.rank });
        Ok(())
    }

    /// Returns the rank of a LoRA that is assembled from blocks, and notes its error if it is an approximation.
    async fn joint_rank(&mut self, layer: String, blocks: &[Block<'a>], rows: usize) -> Result<usize, EditError> {
        if let Some(block) =
            blocks.iter().find(|Block { delta, .. }| !delta.algorithm.is_pair() && !is_convertible(delta))
        {
            return Err(EditError::NoMatrix { layer, algorithm: block.delta.algorithm });
        }
        if !self.reads_factors {
            let composed = blocks.iter().find(|block| !block.delta.algorithm.is_pair());
            return composed.map_or(Ok(1), |block| self.assumed_rank(layer, block.delta));
        }
        for block in blocks.iter().filter(|block| !block.delta.algorithm.is_pair()) {
            let layer = if blocks.len() == 1 { layer.clone() } else { self.opened.layer(block.delta) };
            let matrix = part(self.opened, block).await?;
            let rank = self.note_lora(layer, block.delta, &matrix, block.scale)?;
            if blocks.len() == 1 {
                return Ok(rank);
            }
        }
        Ok(assembled(self.opened, blocks, rows, self.options.rank).await?.pair_rank())
    }
}
