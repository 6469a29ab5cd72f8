//! VeRA's projections, where a file has only the seed of them.

use super::config::PeftConfigs;
use super::group::Group;
use super::tucker::MAX_DENSE_LEN;
use crate::model::spelling::{ModuleMatch, Role};
use crate::num::{low_word, to_f32};
use crate::twister::Twister;

/// The projections that PEFT makes from a seed: as large as the largest of the layers that the file changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Projections {
    seed: u64,
    rows: usize,
    columns: usize,
    /// Whether what the file shows of these layers agrees with the model's: each number depends on the largest.
    pub(super) is_sized: bool,
}

impl Projections {
    /// Returns those of a file whose config has their seed. `None` if one of its layers is not known, or it has its own.
    pub(super) fn of(
        groups: &[Group],
        found: &[Option<ModuleMatch<'_>>],
        configs: &PeftConfigs,
    ) -> Option<Projections> {
        let mut made: Option<Projections> = None;
        for (group, found) in groups.iter().zip(found) {
            let Some(by_output) = group.get(Role::VeraLambdaB) else { continue };
            let found = found.filter(|_| group.get(Role::VeraA).is_none())?;
            let seed = configs.of(found.component)?.projection_prng_key?;
            let &[rows, columns] = &*found.module.weight_shape() else { return None };
            let before = made.unwrap_or(Projections { seed, rows: 0, columns: 0, is_sized: true });
            if before.seed != seed {
                return None;
            }
            made = Some(Projections {
                seed,
                rows: rows.max(before.rows),
                columns: columns.max(before.columns),
                is_sized: before.is_sized && by_output.shape == [rows],
            });
        }
        made
    }

    /// Returns A (rank, columns) and B (rows, rank), drawn one after the other between bounds that depend on the number
    /// of columns; `None` if they are too large.
    pub(super) fn draw(self, rank: usize) -> Option<[Vec<f32>; 2]> {
        let mut twister = Twister::new(low_word(self.seed));
        let mut uniform = |rows: usize, columns: usize| {
            let count = rows.checked_mul(columns).filter(|&count| count <= MAX_DENSE_LEN)?;
            let bound = to_f32(3f64.sqrt() * (2f64.sqrt() / (columns as f64).sqrt()));
            // PyTorch makes an f32 of the lower 24 bits of a word.
            let unit = |word: u32| (word & 0xff_ffff) as f32 / (1 << 24) as f32;
            Some((0..count).map(|_| unit(twister.word()) * (bound + bound) - bound).collect())
        };
        Some([uniform(rank, self.columns)?, uniform(self.rows, rank)?])
    }
}
