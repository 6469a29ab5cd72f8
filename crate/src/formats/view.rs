//! Views: tensors whose elements have strides in the file, as those of PyTorch that share a storage or are transposed.

use super::{ByteSource, Dtype};
use crate::num::{host_len, numel};
use crate::sorting;
use std::io;
use std::ops::Range;

/// The arrangement of a tensor's elements in its byte range.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Distance of neighbours along each axis, in elements; 0 if all of them are one element of the file.
    pub strides: Vec<u64>,
    /// Whether the most significant byte of each element comes first.
    pub is_big_endian: bool,
}

/// Returns the number of elements from the first to the last one of a view, or `None` if it overflows.
pub(super) fn extent(shape: &[usize], strides: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    let last = shape.iter().zip(strides).try_fold(0u64, |last, (&axis, &stride)| {
        (axis as u64 - 1).checked_mul(stride).and_then(|distance| last.checked_add(distance))
    });
    last?.checked_add(1)
}

/// Returns whether the strides, one per axis, are those of a contiguous tensor; axes of length 1 may have any stride.
pub(super) fn is_row_major(shape: &[usize], strides: &[u64]) -> bool {
    let mut expected = 1u64;
    shape.iter().zip(strides).rev().all(|(&axis, &stride)| {
        let fits = axis <= 1 || stride == expected;
        expected = expected.saturating_mul(axis as u64);
        fits
    })
}

impl View {
    /// Reads the elements in row-major order, little-endian. `bytes` is the view's byte range in the source.
    pub(super) async fn gather(
        &self,
        source: &dyn ByteSource,
        bytes: &Range<u64>,
        shape: &[usize],
        dtype: Dtype,
    ) -> io::Result<Vec<u8>> {
        let width = dtype.bitsize() as u64 / 8;
        let len = host_len(numel(shape).saturating_mul(width));
        let mut out = Vec::new();
        out.try_reserve_exact(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        out.resize(len, 0);
        if len > 0 {
            let mut axes = axes(shape, &self.strides, width);
            let inner = axes.pop().unwrap_or(Axis { len: 1, stride: width, step: width });
            let run = dense_run(&inner, &axes, width);
            let mut window = Window { source, start: bytes.start, bytes: Vec::new(), run, end: bytes.end };
            let mut index = vec![0; axes.len()];
            loop {
                let from: u64 = index.iter().zip(&axes).map(|(i, axis)| i * axis.stride).sum();
                let to: u64 = index.iter().zip(&axes).map(|(i, axis)| i * axis.step).sum();
                window.copy(bytes.start + from, &inner, width, &mut out[host_len(to)..]).await?;
                if !advance(&mut index, &axes) {
                    break;
                }
            }
        }
        if self.is_big_endian {
            // A complex number is two numbers.
            let number = if dtype == Dtype::C64 { width / 2 } else { width };
            out.chunks_exact_mut(host_len(number)).for_each(<[u8]>::reverse);
        }
        Ok(out)
    }
}

/// An axis of a view, with distances in bytes.
struct Axis {
    len: u64,
    /// Distance of neighbours in the file.
    stride: u64,
    /// Distance of neighbours in the result.
    step: u64,
}

/// Returns the axes in the order of the file, the one with the largest stride first, so that it is read from start to
/// end. Axes of length 1 are left out, and two that continue each other are one.
fn axes(shape: &[usize], strides: &[u64], width: u64) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    let mut step = width;
    for (&len, &stride) in shape.iter().zip(strides).rev().filter(|(len, _)| **len != 1) {
        let (len, stride) = (len as u64, stride.saturating_mul(width));
        match axes.last_mut() {
            Some(inner) if stride == inner.stride.saturating_mul(inner.len) => inner.len *= len,
            _ => axes.push(Axis { len, stride, step }),
        }
        step *= len;
    }
    sorting::sort_by_key(&mut axes, |axis| std::cmp::Reverse((axis.stride, axis.step)));
    axes
}

/// Returns the number of bytes in the file of which at least a good part are elements of the view.
fn dense_run(inner: &Axis, outer: &[Axis], width: u64) -> u64 {
    /// Gaps up to this length are cheaper to read than to skip.
    const GAP: u64 = 512;
    let mut run = width;
    for axis in std::iter::once(inner).chain(outer.iter().rev()) {
        if axis.stride > (2 * run).max(GAP) {
            break;
        }
        run = run.saturating_add((axis.len - 1).saturating_mul(axis.stride));
    }
    run
}

/// Increments an index of which the last axis varies fastest; returns false after the last one.
fn advance(index: &mut [u64], axes: &[Axis]) -> bool {
    for (value, axis) in index.iter_mut().zip(axes).rev() {
        *value += 1;
        if *value < axis.len {
            return true;
        }
        *value = 0;
    }
    false
}

/// The bytes of a source around the current element.
struct Window<'a> {
    source: &'a dyn ByteSource,
    start: u64,
    bytes: Vec<u8>,
    /// Length of a read, if it is not too long.
    run: u64,
    /// End of the view.
    end: u64,
}

impl Window<'_> {
    /// Maximum length of a read, in bytes.
    const MAX: u64 = 1 << 18;

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Copies the elements of the innermost axis, of which the first is `at`, to the start of `out`.
    async fn copy(&mut self, at: u64, axis: &Axis, width: u64, out: &mut [u8]) -> io::Result<()> {
        let size = host_len(width);
        let mut done = 0;
        while done < axis.len {
            let first = at + done * axis.stride;
            if first < self.start || first + width > self.end() {
                let end = first.saturating_add(self.run.clamp(width, Self::MAX)).min(self.end.max(first + width));
                self.bytes = self.source.read(first..end).await?;
                self.start = first;
            }
            let left = axis.len - done;
            let count = match axis.stride {
                0 => left,
                stride => left.min((self.end() - width - first) / stride + 1),
            };
            for i in 0..count {
                let from = host_len(first - self.start + i * axis.stride);
                let to = host_len((done + i) * axis.step);
                out[to..to + size].copy_from_slice(&self.bytes[from..from + size]);
            }
            done += count;
        }
        Ok(())
    }
}
