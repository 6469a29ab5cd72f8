//! Tensors in host memory. Clones share their data; parts of a larger tensor share its buffer.

use crate::num::host_len;
use crate::ops::{SUPERBLOCK, Storage};
use crate::plan::PlanError;
use crate::simd::Elements;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use std::cell::{Ref, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// Memory of one or more tensors.
#[derive(Debug)]
enum Buffer {
    F32(Vec<f32>),
    /// f16 or bf16, by the tensor's storage type.
    Bits(Vec<u16>),
    /// Superblocks.
    Blocks(Vec<u8>),
}

/// A tensor in host memory.
#[derive(Debug, Clone)]
pub struct Tensor {
    buffer: Rc<RefCell<Buffer>>,
    /// Index of the first element in the buffer.
    offset: usize,
    /// Number of elements.
    pub len: u64,
    /// Storage type of the elements.
    pub storage: Storage,
}

impl Tensor {
    /// Allocates a tensor of zeros.
    pub fn new(len: u64, storage: Storage) -> Tensor {
        let count = host_len(len);
        let buffer = match storage {
            Storage::F32 => Buffer::F32(vec![0.0; count]),
            Storage::F16 | Storage::Bf16 => Buffer::Bits(vec![0; count]),
            Storage::Q8 | Storage::Q4 => Buffer::Blocks(vec![0; host_len(storage.bytes(len))]),
        };
        Tensor { buffer: Rc::new(RefCell::new(buffer)), offset: 0, len, storage }
    }

    /// Allocates tensors of these lengths one after the other in one buffer.
    pub fn contiguous_parts(lengths: &[u64], storage: Storage) -> Vec<Tensor> {
        let whole = Tensor::new(lengths.iter().sum(), storage);
        let mut offset = 0;
        let mut next_part = |&len: &u64| {
            let part = Tensor { offset, len, ..whole.clone() };
            offset += host_len(len);
            part
        };
        lengths.iter().map(&mut next_part).collect()
    }

    /// Returns the parts as one tensor, or None if they are not contiguous in one buffer.
    pub fn contiguous(parts: &[Tensor]) -> Option<Tensor> {
        let first = parts.first()?;
        let mut whole = Tensor { len: 0, ..first.clone() };
        for part in parts {
            if !Rc::ptr_eq(&part.buffer, &first.buffer) || part.offset != first.offset + host_len(whole.len) {
                return None;
            }
            whole.len += part.len;
        }
        Some(whole)
    }

    /// Returns `len` elements from index `first` on.
    pub fn part(&self, first: u64, len: u64) -> Tensor {
        Tensor { offset: self.offset + host_len(first), len, ..self.clone() }
    }

    /// Returns the first `len` elements.
    pub(super) fn first(&self, len: u64) -> Tensor {
        Tensor { len, ..self.clone() }
    }

    /// Returns the range of `count` elements from index `first` on in the buffer, if the tensor has them.
    fn range(&self, first: u64, count: usize) -> Result<Range<usize>, PlanError> {
        let end = first.saturating_add(count as u64);
        if end > self.len {
            let (plan, name) = ("the weights".into(), "an upload".into());
            return Err(PlanError::Length { plan, name, found: end, wanted: self.len });
        }
        let start = self.offset + host_len(first);
        Ok(start..start + count)
    }

    /// Writes elements from index `first` on, converted to the storage type.
    pub fn write_at(&self, first: u64, data: &[f32]) -> Result<(), PlanError> {
        let range = self.range(first, data.len())?;
        match (&mut *self.buffer.borrow_mut(), self.storage) {
            (Buffer::F32(all), _) => all[range].copy_from_slice(data),
            (Buffer::Bits(all), Storage::Bf16) => {
                all[range].reinterpret_cast_mut::<half::bf16>().convert_from_f32_slice(data);
            }
            (Buffer::Bits(all), _) => all[range].reinterpret_cast_mut::<half::f16>().convert_from_f32_slice(data),
            (Buffer::Blocks(all), storage) => {
                let bytes = storage.blocks().map(|blocks| blocks.pack(data)).unwrap_or_default();
                all[self.superblocks(range)?].copy_from_slice(&bytes);
            }
        }
        Ok(())
    }

    /// Returns the bytes of a range of elements, which must be whole superblocks.
    fn superblocks(&self, range: Range<usize>) -> Result<Range<usize>, PlanError> {
        if [range.start, range.end].iter().any(|at| !at.is_multiple_of(SUPERBLOCK)) {
            let (plan, name) = ("the weights".into(), "an upload of whole superblocks".into());
            return Err(PlanError::Length { plan, name, found: range.len() as u64, wanted: self.len });
        }
        let bytes = |at: usize| host_len(self.storage.bytes(at as u64));
        Ok(bytes(range.start)..bytes(range.end))
    }

    /// Writes raw bits to an f16 or bf16 tensor from index `first` on.
    pub fn write_u16_at(&self, first: u64, bits: &[u16]) -> Result<(), PlanError> {
        let range = self.range(first, bits.len())?;
        if let Buffer::Bits(all) = &mut *self.buffer.borrow_mut() {
            all[range].copy_from_slice(bits);
        }
        Ok(())
    }

    /// Returns the elements as f32.
    pub fn read(&self) -> Vec<f32> {
        let mut out = vec![0.0; host_len(self.len)];
        self.borrow().elements().widen(0, &mut out);
        out
    }

    /// Copies the elements of a tensor of the same length and storage type.
    pub fn copy_from(&self, from: &Tensor) -> Result<(), PlanError> {
        match from.borrow().elements() {
            Elements::F32(data) => self.write_at(0, data),
            Elements::F16(bits) | Elements::Bf16(bits) => self.write_u16_at(0, bits),
            Elements::Q8(bytes) | Elements::Q4(bytes) => {
                let range = self.superblocks(self.range(0, host_len(from.len))?)?;
                if let Buffer::Blocks(all) = &mut *self.buffer.borrow_mut() {
                    all[range].copy_from_slice(bytes);
                }
                Ok(())
            }
        }
    }

    /// Borrows the elements.
    pub(super) fn borrow(&self) -> Borrowed<'_> {
        Borrowed {
            buffer: self.buffer.borrow(),
            range: self.offset..self.offset + host_len(self.len),
            storage: self.storage,
        }
    }

    /// Lets `compute` write all elements.
    pub(super) fn compute(&self, compute: impl FnOnce(&mut [f32])) -> Result<(), PlanError> {
        let (start, len) = (self.offset, host_len(self.len));
        if let Buffer::F32(all) = &mut *self.buffer.borrow_mut() {
            compute(&mut all[start..start + len]);
            return Ok(());
        }
        let mut wide = vec![0.0; len];
        compute(&mut wide);
        self.write_at(0, &wide)
    }
}

/// Borrowed elements of a tensor.
pub(super) struct Borrowed<'a> {
    buffer: Ref<'a, Buffer>,
    range: Range<usize>,
    storage: Storage,
}

impl Borrowed<'_> {
    pub fn elements(&self) -> Elements<'_> {
        match (&*self.buffer, self.storage) {
            (Buffer::F32(all), _) => Elements::F32(&all[self.range.clone()]),
            (Buffer::Bits(all), Storage::Bf16) => Elements::Bf16(&all[self.range.clone()]),
            (Buffer::Bits(all), _) => Elements::F16(&all[self.range.clone()]),
            (Buffer::Blocks(all), storage) => {
                let bytes = |at: usize| host_len(storage.bytes(at as u64));
                let bytes = &all[bytes(self.range.start)..bytes(self.range.end)];
                if storage == Storage::Q8 { Elements::Q8(bytes) } else { Elements::Q4(bytes) }
            }
        }
    }
}
