//! Work on all cores: chunks of an output, or independent parts. In a browser there is one thread.

use crate::pool::{on_all_threads, threads};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Number of elementary operations below which waking threads costs more than it saves.
const MIN_WORK: u64 = 40_000;

/// Returns the number of parts to split `work` elementary operations into.
pub(crate) fn parts(work: u64) -> usize {
    if work < MIN_WORK { 1 } else { threads() }
}

/// Splits `out`, rows of `width` elements, into one part per thread and calls `compute` with the index of each part's
/// first row and its elements. `work` is the total number of elementary operations.
pub fn for_each_chunk(out: &mut [f32], width: usize, work: u64, compute: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let rows = out.len() / width.max(1);
    let rows_per_part = rows.div_ceil(parts(work)).max(1);
    if rows_per_part >= rows {
        return compute(0, out);
    }
    let chunks = out.chunks_mut(rows_per_part * width).enumerate();
    for_each(chunks, &|(index, chunk)| compute(index * rows_per_part, chunk));
}

/// Calls `compute` with each item, on all threads.
pub(crate) fn for_each<T>(items: impl Iterator<Item = T> + Send, compute: &(dyn Fn(T) + Sync)) {
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    on_all_threads(&|| {
        while let Some(item) = next() {
            compute(item);
        }
    });
}

/// Returns `compute` of each index below `count`. `work` is the total number of elementary operations.
pub fn map<T: Send>(count: usize, work: u64, compute: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    if parts(work).min(count) <= 1 {
        return (0..count).map(compute).collect();
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
    on_all_threads(&|| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = compute(index);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_and_every_part_is_computed_once() {
        for rows in [1, 2, 3, 7, 64] {
            let mut out = vec![0.0; rows * 3];
            for_each_chunk(&mut out, 3, u64::MAX, &|first, chunk| {
                chunk.iter_mut().enumerate().for_each(|(at, value)| *value += (first * 3 + at) as f32);
            });
            assert_eq!(out, (0..rows * 3).map(|at| at as f32).collect::<Vec<_>>());
            assert_eq!(map(rows, u64::MAX, &|index| index * 2), (0..rows).map(|index| index * 2).collect::<Vec<_>>());
        }
    }
}
