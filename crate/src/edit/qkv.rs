//! Conversion of changes between fused and split layers: the original `img_attn.qkv` and diffusers'
//! `attn.to_q`, `to_k`, `to_v`.
//!
//! The outputs of a fused layer are those of its parts, concatenated. Splitting a LoRA gives each part
//! the same down and its rows of up, without the columns that are zero there. Fusing LoRAs concatenates
//! the downs and makes the ups block-diagonal, or keeps one down if all parts share it. Both directions
//! are exact. A few modulations of diffusers have the two halves of a layer swapped.

use super::error::EditError;
use super::open::Opened;
use super::pairs::{form, lora_rank};
use crate::adapters::Delta;
use crate::analysis::Layers;
use crate::linalg::{Dense, Factorization, LowRank};
use crate::model::{Architecture, Component, Module, ModuleSource};
use std::ops::Range;

/// A fused layer and its parts.
#[derive(Debug, Clone)]
pub(super) struct Fusion<'a> {
    /// Network of the layer.
    pub component: Component,
    /// The fused layer.
    pub whole: &'a Module,
    /// Its parts and their rows in it.
    pub parts: Vec<(&'a Module, Range<usize>)>,
}

/// The destination of a layer's change in another key format.
#[derive(Debug)]
pub(super) enum Destination<'a> {
    /// The same layer.
    Same,
    /// The same layer with its upper and lower half swapped.
    Swap,
    /// The parts of the fused layer.
    Split(Fusion<'a>),
    /// The fused layer that it is a part of.
    Fuse(Fusion<'a>),
    /// None: the key format has no such layer.
    Nowhere,
}

/// Returns the destination of a delta's change in files with original (`native`) or diffusers keys.
pub(super) fn place<'a>(layers: &'a Layers, delta: &'a Delta, native: bool) -> Destination<'a> {
    let Layers::Architecture(architecture, source) = layers else { return Destination::Same };
    if let Some(fusion) = fusion_by_trainer(architecture, delta) {
        return if native { to_native(architecture, fusion) } else { Destination::Split(fusion) };
    }
    if let Some(part) = architecture.named_by_trainer(&delta.module.path) {
        let rows = 0..part.weight_shape()[0];
        let renamed = Fusion { component: delta.component, whole: &delta.module, parts: vec![(part, rows)] };
        return match native {
            true => fusion(architecture, delta.component, part).map_or(Destination::Nowhere, Destination::Fuse),
            false => Destination::Split(renamed),
        };
    }
    let crosses = (*source == ModuleSource::Native) != native;
    match (architecture.naming(&delta.module.path), native) {
        (Some(ModuleSource::Both), _) if crosses && is_swapped(architecture.family, &delta.module) => Destination::Swap,
        (Some(ModuleSource::Both), _) | (Some(ModuleSource::Native), true) | (Some(ModuleSource::Diffusers), false) => {
            Destination::Same
        }
        (Some(ModuleSource::Native), false) => {
            fusion(architecture, delta.component, &delta.module).map_or(Destination::Nowhere, Destination::Split)
        }
        (Some(ModuleSource::Diffusers), true) => {
            fusion(architecture, delta.component, &delta.module).map_or(Destination::Nowhere, Destination::Fuse)
        }
        _ => Destination::Nowhere,
    }
}

/// Returns the layers that a trainer fuses in a delta's layer, and their rows in it.
fn fusion_by_trainer<'a>(architecture: &'a Architecture, delta: &'a Delta) -> Option<Fusion<'a>> {
    let mut start = 0;
    let rows = |module: &'a Module| {
        let rows = start..start + module.weight_shape()[0];
        start = rows.end;
        (module, rows)
    };
    let parts: Vec<_> = architecture.fused_by_trainer(&delta.module.path).into_iter().map(rows).collect();
    (!parts.is_empty()).then_some(Fusion { component: delta.component, whole: &delta.module, parts })
}

/// Returns the destination of a trainer's fused layer in the original naming: its parts, or the layer that is fused of
/// the same parts there.
fn to_native<'a>(architecture: &'a Architecture, fusion: Fusion<'a>) -> Destination<'a> {
    let is_split =
        |(module, _): &(&Module, Range<usize>)| architecture.naming(&module.path) == Some(ModuleSource::Both);
    if fusion.parts.iter().all(is_split) {
        return Destination::Split(fusion);
    }
    let rows = 0..fusion.parts.last().map_or(0, |(_, rows)| rows.end);
    let modules = architecture.modules_of(ModuleSource::Native);
    let whole = modules.into_iter().find(|(_, module)| module.path == fusion.parts[0].0.ldm);
    match whole.filter(|(_, module)| module.weight_shape()[0] == rows.end) {
        Some((_, whole)) => Destination::Split(Fusion { parts: vec![(whole, rows)], ..fusion }),
        None => Destination::Nowhere,
    }
}

/// Returns whether the original layer has shift before scale and diffusers' has scale before shift: the
/// last modulations of these families (diffusers' conversion scripts, `swap_scale_shift`).
fn is_swapped(family: &str, module: &Module) -> bool {
    let last = module.path == "norm_out.linear" && module.ldm == "final_layer.adaLN_modulation.1";
    let shape = module.weight_shape();
    let last_context = module.path.ends_with("norm1_context.linear") && shape[0] == 2 * shape[1];
    matches!(family, "flux1" | "flux2" | "sd3" | "hunyuan_video") && last || family == "sd3" && last_context
}

/// Returns the path of a layer in diffusers' naming, if it is a trainer's name of a part.
pub(super) fn part_path<'a>(layers: &'a Option<Layers>, module: &'a Module) -> &'a str {
    let named = match layers {
        Some(Layers::Architecture(architecture, _)) => architecture.named_by_trainer(&module.path),
        _ => None,
    };
    &named.unwrap_or(module).path
}

/// Returns the fused layer that a layer is, or is a part of.
fn fusion<'a>(architecture: &'a Architecture, of: Component, layer: &Module) -> Option<Fusion<'a>> {
    let mut whole = None;
    let mut parts: Vec<(&Module, Range<usize>)> = Vec::new();
    for (component, module) in architecture.modules() {
        if component != of || module.ldm != layer.ldm {
            continue;
        }
        match architecture.naming(&module.path) {
            Some(ModuleSource::Native) => whole = Some(module),
            Some(ModuleSource::Diffusers) => {
                let start = parts.last().map_or(0, |(_, rows)| rows.end);
                parts.push((module, start..start + module.weight_shape()[0]));
            }
            _ => {}
        }
    }
    Some(Fusion { component: of, whole: whole?, parts }).filter(|fusion| !fusion.parts.is_empty())
}

/// A block of rows of a delta's change, and its position in the result.
pub(super) struct Block<'a> {
    /// The delta.
    pub delta: &'a Delta,
    /// Rows to take from it.
    pub take: Range<usize>,
    /// First row in the result.
    pub at: usize,
    /// Multiplier of the rows.
    pub scale: f32,
}

/// Reads the rows that a block takes, without its scale.
pub(super) async fn part(opened: &Opened<'_>, block: &Block<'_>) -> Result<Factorization, EditError> {
    Ok(form(opened, block.delta).await?.part(&block.take))
}

/// Assembles the blocks into a change of `rows` rows. Blocks of other algorithms than LoRA that have no small exact
/// pair are approximated at rank `limit`, if there is one.
pub(super) async fn assembled(
    opened: &Opened<'_>,
    blocks: &[Block<'_>],
    rows: usize,
    limit: Option<usize>,
) -> Result<Factorization, EditError> {
    let mut pairs = Vec::new();
    for block in blocks {
        let matrix = part(opened, block).await?;
        let (mut left, right) = match lora_rank(&matrix, limit).filter(|_| !block.delta.algorithm.is_pair()) {
            Some((rank, false)) => {
                let (up, down) = LowRank::of(&matrix, rank).balanced(rank);
                (Dense::new(up, rank), Dense::new(down, matrix.size().1))
            }
            _ => matrix.pair(),
        };
        left.data.iter_mut().for_each(|x| *x *= block.scale);
        pairs.push((left, right));
    }
    Ok(stacked(
        &pairs.iter().zip(blocks).map(|((left, right), block)| (left, right, block.at)).collect::<Vec<_>>(),
        rows,
    ))
}

/// Stacks products vertically, each from its first row on.
fn stacked(pairs: &[(&Dense, &Dense, usize)], rows: usize) -> Factorization {
    let shared = pairs.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let rank = if shared { pairs[0].0.columns } else { pairs.iter().map(|(left, ..)| left.columns).sum() };
    let mut up = vec![0.0; rows * rank];
    let mut down = Vec::new();
    let mut column = 0;
    for (left, right, at) in pairs {
        for (row, data) in left.data.chunks_exact(left.columns).enumerate() {
            up[(at + row) * rank + column..][..left.columns].copy_from_slice(data);
        }
        if !shared {
            column += left.columns;
        }
        if !shared || down.is_empty() {
            down.extend_from_slice(&right.data);
        }
    }
    compact(&up, &down, rank)
}

/// Returns left · right without the zero columns of left; one column if all are zero.
fn compact(left: &[f32], right: &[f32], rank: usize) -> Factorization {
    let columns = right.len() / rank.max(1);
    let mut kept: Vec<usize> =
        (0..rank).filter(|&column| left.iter().skip(column).step_by(rank).any(|x| *x != 0.0)).collect();
    if kept.is_empty() {
        kept.push(0);
    }
    let rows = left.chunks_exact(rank);
    let left = rows.flat_map(|row| kept.iter().map(|&column| row[column])).collect();
    let right = kept.iter().flat_map(|&row| right[row * columns..][..columns].iter().copied()).collect();
    Factorization::product(left, right, kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(rows: usize, columns: usize, seed: usize) -> Dense {
        let data = (0..rows * columns).map(|i| (i * seed % 13) as f32 - 6.0).collect();
        Dense { rows, columns, data }
    }

    #[test]
    fn parts_are_stacked_vertically() {
        let (a, b, c) = (dense(2, 2, 5), dense(3, 2, 7), dense(2, 4, 3));
        let other = dense(2, 4, 11);
        let whole = stacked(&[(&a, &c, 0), (&b, &other, 2)], 5);
        assert_eq!((whole.size(), whole.pair_rank()), ((5, 4), 4));
        let expected = [Factorization::Product(a.clone(), c.clone()), Factorization::Product(b.clone(), other)];
        let expected: Vec<f32> = expected.iter().flat_map(|part| part.matrix().data).collect();
        assert_eq!(whole.matrix().data, expected);
        let shared = stacked(&[(&a, &c, 0), (&b, &c, 3)], 6);
        assert_eq!((shared.size(), shared.pair_rank()), ((6, 4), 2));
        assert_eq!(shared.matrix().data[8..12], [0.0; 4], "the row between the parts is zero");
    }

    #[test]
    fn zero_columns_are_removed() {
        let Factorization::Product(left, right) = compact(&[1.0, 0.0, 2.0, 3.0, 0.0, 4.0], &[1.0, 2.0, 3.0], 3) else {
            panic!("not a product")
        };
        assert_eq!((left.data, right.data), (vec![1.0, 2.0, 3.0, 4.0], vec![1.0, 3.0]));
        assert_eq!(compact(&[0.0, 0.0], &[1.0, 2.0], 2).pair_rank(), 1);
    }
}
