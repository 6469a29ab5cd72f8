//! Tensors of files and reads of their elements. Every reader of tensor data goes through [`TensorInfo`], which knows
//! how the elements are arranged in the file.

use super::source::past_the_end;
use super::view::{View, extent};
use super::{ByteSource, Dtype, FormatError, widen::widen};
use crate::num::{host_len, numel};
use crate::sentence::{Sentence, sentence};
use crate::simd::BlockType;
use std::io;
use std::ops::Range;

/// Maximum number of axes of a tensor: PyTorch's operations support as many.
const MAX_AXES: usize = 64;

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Key.
    pub name: String,
    /// dtype in the file.
    pub dtype: Dtype,
    /// Shape, outermost axis first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Byte range in the file; that of a view extends from its first to its last element.
    pub bytes: Range<u64>,
    /// Arrangement of the elements in the byte range, unless they are contiguous and little-endian.
    pub view: Option<View>,
    /// Type of the blocks, in a row, of a quantized tensor. It is read as f32, its dtype.
    pub blocks: Option<BlockType>,
}

impl TensorInfo {
    /// Creates a tensor whose little-endian elements are contiguous in `bytes`, in row-major order.
    pub fn contiguous(name: String, dtype: Dtype, shape: Vec<usize>, bytes: Range<u64>) -> TensorInfo {
        TensorInfo { name, dtype, shape, bytes, view: None, blocks: None }
    }

    /// Creates a quantized tensor whose blocks are in `bytes`.
    pub fn quantized(name: String, blocks: BlockType, shape: Vec<usize>, bytes: Range<u64>) -> TensorInfo {
        TensorInfo { blocks: Some(blocks), ..TensorInfo::contiguous(name, Dtype::F32, shape, bytes) }
    }

    /// Returns the number of elements.
    pub fn elements(&self) -> u64 {
        numel(&self.shape)
    }

    /// Returns the size of its elements in bytes, which a view or a quantized tensor need not have in the file.
    pub fn byte_len(&self) -> u64 {
        let stored = self.bytes.end.saturating_sub(self.bytes.start);
        match (&self.view, self.blocks) {
            (Some(_), _) => self.elements().saturating_mul(self.width()),
            (None, Some(blocks)) => (stored / blocks.bytes()).saturating_mul(blocks.elements() * self.width()),
            (None, None) => stored,
        }
    }

    /// Returns the size of an element of a view in bytes.
    fn width(&self) -> u64 {
        self.dtype.bitsize() as u64 / 8
    }

    /// Reads the tensor as f32 in row-major order, block by block.
    pub async fn read(&self, source: &dyn ByteSource) -> Result<Vec<f32>, FormatError> {
        /// A multiple of the size of every dtype.
        const BLOCK: u64 = 1 << 19;
        /// Large, since a transposed matrix has the elements of a few rows all over its byte range.
        const VIEW_BLOCK: u64 = 1 << 25;
        let mut blocks = self.blocks(source, if self.view.is_some() { VIEW_BLOCK } else { BLOCK });
        let mut elements = Vec::new();
        while let Some(bytes) = blocks.next().await? {
            let block = widen(self.dtype, &bytes)?;
            if !elements.is_empty() {
                elements.extend(block);
                continue;
            }
            elements = block;
            let rest = self.elements().saturating_sub(elements.len() as u64);
            // Return an error instead of aborting if there is not enough memory.
            elements.try_reserve_exact(host_len(rest)).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        }
        Ok(elements)
    }

    /// Reads its elements in the tensor's dtype: little-endian, contiguous, in row-major order.
    pub async fn read_bytes(&self, source: &dyn ByteSource) -> io::Result<Vec<u8>> {
        if self.bytes.end > source.len() {
            return Err(past_the_end(&self.bytes, source.len()));
        }
        match (&self.view, self.blocks) {
            (None, None) => source.read(self.bytes.clone()).await,
            (Some(view), _) => view.gather(source, &self.bytes, &self.shape, self.dtype).await,
            (None, Some(blocks)) => {
                let elements = blocks.decode(&source.read(self.bytes.clone()).await?);
                Ok(bytemuck::pod_collect_to_vec(&elements))
            }
        }
    }

    /// Reads the same bytes as [`TensorInfo::read_bytes`] in blocks of at most `block_len` bytes, so that a copy or a
    /// hash holds one block at a time.
    pub fn blocks<'a>(&self, source: &'a dyn ByteSource, block_len: u64) -> TensorBlocks<'a> {
        TensorBlocks { source, block_len, rest: if self.byte_len() == 0 { Vec::new() } else { vec![self.clone()] } }
    }

    /// Returns whether rows of it are a tensor: those of a quantized one have to consist of whole blocks.
    pub fn has_whole_rows(&self) -> bool {
        let row = numel(self.shape.get(1..).unwrap_or(&[]));
        self.blocks.is_none_or(|blocks| row.is_multiple_of(blocks.elements()))
    }

    /// Returns a range of its rows (the outermost axis) as a tensor.
    pub fn rows(&self, rows: Range<usize>) -> TensorInfo {
        let count = self.shape.first().map_or(1, |&rows| rows as u64).max(1);
        let mut part = self.clone();
        if let Some(axis) = part.shape.first_mut() {
            *axis = rows.len();
        }
        let offset = |row_index: usize, row: u64| self.bytes.start + row_index as u64 * row;
        part.bytes = match &self.view {
            // Empty rows may lie past the file's end.
            Some(_) if part.shape.contains(&0) => self.bytes.start..self.bytes.start,
            Some(view) => {
                let start = offset(rows.start, view.strides.first().copied().unwrap_or(0) * self.width());
                start..start + extent(&part.shape, &view.strides).unwrap_or(0) * self.width()
            }
            None => {
                let row = (self.bytes.end - self.bytes.start) / count;
                offset(rows.start, row)..offset(rows.end, row)
            }
        };
        part
    }

    /// Splits it into its first bytes, at most `len` if possible, and the rest; `None` if it is not longer or cannot
    /// be split. Parts of contiguous tensors have the whole tensor's shape.
    fn split(&self, len: u64) -> Option<(TensorInfo, TensorInfo)> {
        let bytes = self.byte_len();
        if bytes <= len {
            return None;
        }
        let Some(view) = &self.view else {
            let middle = self.bytes.start
                + match self.blocks {
                    Some(blocks) => (len / (blocks.elements() * self.width())).max(1) * blocks.bytes(),
                    None => len,
                };
            if middle >= self.bytes.end {
                return None;
            }
            let part = |bytes| TensorInfo { bytes, ..self.clone() };
            return Some((part(self.bytes.start..middle), part(middle..self.bytes.end)));
        };
        match self.shape.as_slice() {
            [] => None,
            [1, rest @ ..] => {
                let view = View { strides: view.strides[1..].into(), ..*view };
                TensorInfo { shape: rest.into(), view: Some(view), ..self.clone() }.split(len)
            }
            &[rows, ..] => {
                let row = (bytes / rows as u64).max(1);
                let first = host_len(len / row).clamp(1, rows - 1);
                Some((self.rows(0..first), self.rows(first..rows)))
            }
        }
    }
}

/// The elements of a tensor, read block by block in row-major order.
pub struct TensorBlocks<'a> {
    source: &'a dyn ByteSource,
    block_len: u64,
    /// The parts that follow, the last one first.
    rest: Vec<TensorInfo>,
}

impl TensorBlocks<'_> {
    /// Reads the next block; `None` at the end.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        while let Some(part) = self.rest.pop() {
            // Nothing is read, or allocated, of a tensor that extends past the end.
            if part.bytes.end > self.source.len() {
                return Err(past_the_end(&part.bytes, self.source.len()));
            }
            match part.split(self.block_len) {
                Some((first, others)) => self.rest.extend([others, first]),
                None => return part.read_bytes(self.source).await.map(Some),
            }
        }
        Ok(None)
    }
}

/// Checks a shape that a file claims and returns the number of elements. The product of the non-zero axes is at most
/// `u32::MAX`: no weight is larger, and so the product of any of the axes fits a `usize` on every target.
pub(super) fn check_shape(name: &str, shape: &[usize]) -> Result<u64, FormatError> {
    let bad_shape = |reason: Sentence| FormatError::BadShape { name: name.to_owned(), reason: reason.into() };
    if shape.len() > MAX_AXES {
        return Err(bad_shape(sentence!("detail.axes", axes = shape.len(), most = MAX_AXES)));
    }
    let product = shape.iter().try_fold(1u64, |product, &axis| product.checked_mul(axis.max(1) as u64));
    match product {
        Some(product) if product <= u64::from(u32::MAX) => Ok(if shape.contains(&0) { 0 } else { product }),
        _ => Err(bad_shape(sentence!("detail.elements", shape = format!("{shape:?}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_view_are_its_elements_in_order() {
        let file: Vec<u8> = (0..240).collect();
        // A (3, 4, 5) tensor of two-byte elements with permuted axes, after 7 bytes.
        let strides = vec![1, 15, 3];
        let tensor = TensorInfo {
            name: "a".into(),
            dtype: Dtype::U16,
            shape: vec![3, 4, 5],
            bytes: 7..127,
            view: Some(View { strides, is_big_endian: false }),
            blocks: None,
        };
        let whole = pollster::block_on(tensor.read_bytes(&file)).expect("inside the file");
        let element = |i: usize, j: usize, k: usize| 7 + 2 * (i + 15 * j + 3 * k);
        let expect = (0..60).map(|at| element(at / 20, at / 5 % 4, at % 5));
        assert!(whole.chunks(2).map(|pair| usize::from(pair[0])).eq(expect));
        for len in [1, 2, 3, 10, 11, 40, 79, 500] {
            let mut blocks = tensor.blocks(&file, len);
            let mut all = Vec::new();
            while let Some(block) = pollster::block_on(blocks.next()).expect("inside the file") {
                assert!(block.len() as u64 <= len.max(2), "{len}");
                all.extend(block);
            }
            assert_eq!(all, whole, "{len}");
        }
        let rows = [tensor.rows(0..1), tensor.rows(1..3)].map(|part| pollster::block_on(part.read_bytes(&file)));
        assert_eq!(rows.map(|part| part.expect("inside the file")).concat(), whole);
        let cut = file[..120].to_vec();
        assert!(pollster::block_on(tensor.read(&cut)).is_err());
    }

    /// Longer than a block of a view, with rows whose elements are far apart, and most significant bytes first.
    #[test]
    fn a_large_transposed_matrix_is_read_in_order() {
        let (rows, columns) = (3000usize, 3000usize);
        let value = |row: usize, column: usize| (row * 7 + column * 13) as f32;
        let file: Vec<u8> = (0..rows * columns).flat_map(|at| value(at % rows, at / rows).to_be_bytes()).collect();
        let tensor = TensorInfo {
            name: "a".into(),
            dtype: Dtype::F32,
            shape: vec![rows, columns],
            bytes: 0..file.len() as u64,
            view: Some(View { strides: vec![1, rows as u64], is_big_endian: true }),
            blocks: None,
        };
        let values = pollster::block_on(tensor.read(&file)).expect("inside the file");
        let wrong = (0..rows * columns).find(|&at| values[at] != value(at / columns, at % columns));
        assert_eq!((values.len(), wrong), (rows * columns, None));
    }
}
