//! Moving an adapter's blocks to a model that was made deeper by inserting blocks, such as Anima 2.9B: each change goes
//! to the position that its block has there, and the inserted blocks stay unchanged.

use super::convert::Planner;
use super::draft::Origin;
use super::error::EditError;
use super::open::Opened;
use super::preview::Renamed;
use crate::analysis::Layers;
use std::collections::BTreeSet;

/// Returns the deeper models that an adapter can be moved to: the number of blocks of each, and the positions of the
/// adapter's blocks in it. Empty if the adapter does not change the last block, so that the number of blocks of its own
/// model is unknown.
pub(super) fn deeper(opened: &Opened) -> Vec<(usize, Vec<usize>)> {
    let Some(Layers::Architecture(architecture, _)) = &opened.layers else { return Vec::new() };
    let blocks = opened.adapter.deltas.iter().filter_map(|delta| Some(block(&delta.module.path)?.1));
    let last = blocks.max();
    architecture.deeper().into_iter().filter(|(_, positions)| last == Some(positions.len() - 1)).collect()
}

/// Returns the block number in a key or path and where it stands: `blocks.5.…`, `lora_unet_blocks_5_…`. Layers of the
/// text adapter are none of the network's blocks.
fn block(name: &str) -> Option<(usize, usize)> {
    let start = name.find("blocks")? + "blocks".len() + 1;
    let number = name.get(start..)?.split(['.', '_']).next()?.parse().ok()?;
    (!name.contains("llm_adapter")).then_some((start, number))
}

/// Returns the key or path with the position of its block in the deeper model.
pub(super) fn moved(name: &str, positions: &[usize]) -> Option<String> {
    let (start, number) = block(name)?;
    let rest = &name[start..].trim_start_matches(|letter: char| letter.is_ascii_digit());
    Some(format!("{}{}{rest}", &name[..start], positions.get(number)?))
}

impl Planner<'_, '_, '_> {
    /// Moves the blocks of the planned tensors to a model of so many blocks.
    pub(super) fn move_blocks(&mut self, blocks: usize) -> Result<(), EditError> {
        let found = deeper(self.opened).into_iter().find(|(deeper, _)| *deeper == blocks);
        let no_blocks = || EditError::NoBlocks { file: self.opened.file.clone(), blocks };
        let (_, positions) = found.ok_or_else(no_blocks)?;
        let known: BTreeSet<String> = self.preview.renamed.iter().map(|renamed| renamed.to.clone()).collect();
        for renamed in &mut self.preview.renamed {
            renamed.to = moved(&renamed.to, &positions).unwrap_or_else(|| renamed.to.clone());
        }
        for piece in self.pieces.iter_mut().filter(|piece| !matches!(piece.origin, Origin::Copy(_))) {
            for slot in &mut piece.slots {
                let Some(to) = moved(&slot.name, &positions) else { continue };
                let from = std::mem::replace(&mut slot.name, to.clone());
                if from != to && !known.contains(&from) {
                    self.preview.renamed.push(Renamed { from, to });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_numbers_are_replaced() {
        let positions = [0, 1, 3, 4];
        let check = |name: &str, expect: Option<&str>| assert_eq!(moved(name, &positions).as_deref(), expect);
        check(
            "diffusion_model.blocks.2.mlp.layer1.lora_A.weight",
            Some("diffusion_model.blocks.3.mlp.layer1.lora_A.weight"),
        );
        check("lora_unet_blocks_3_mlp_layer1.alpha", Some("lora_unet_blocks_4_mlp_layer1.alpha"));
        check("transformer.transformer_blocks.2.attn1.to_q", Some("transformer.transformer_blocks.3.attn1.to_q"));
        check("diffusion_model.llm_adapter.blocks.2.mlp.0", None);
        check("diffusion_model.blocks.4.mlp", None);
        check("diffusion_model.final_layer.linear", None);
    }
}
