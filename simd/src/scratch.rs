//! Buffers that a thread keeps for its next kernels: fresh ones are filled with zeros, page by page.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of arbitrary contents.
pub(crate) struct Buffer {
    data: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// Returns the smallest of the kept buffers that has this length; if there is none, a new one in place of the largest.
    pub fn new(len: usize) -> Buffer {
        let kept = KEPT.with_borrow_mut(|kept| {
            let sizes = kept.iter().map(Vec::len).enumerate();
            let fitting = sizes.clone().filter(|(_, size)| *size >= len).min_by_key(|(_, size)| *size);
            let (index, _) = fitting.or_else(|| sizes.max_by_key(|(_, size)| *size))?;
            Some(kept.swap_remove(index))
        });
        let data = kept.filter(|data| data.len() >= len).unwrap_or_else(|| vec![0.0; len]);
        Buffer { data, len }
    }

    /// Changes the length; the contents are arbitrary afterwards.
    pub fn resize(&mut self, len: usize) {
        if len <= self.data.len() {
            self.len = len;
        } else {
            *self = Buffer::new(len);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        KEPT.with_borrow_mut(|kept| kept.push(std::mem::take(&mut self.data)));
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_where_it_fits() {
        KEPT.with_borrow_mut(Vec::clear);
        let addresses: Vec<*const f32> = {
            let (small, large) = (Buffer::new(10), Buffer::new(1000));
            vec![small.as_ptr(), large.as_ptr()]
        };
        let (first, second) = (Buffer::new(900), Buffer::new(5));
        assert_eq!((first.len(), second.len()), (900, 5));
        assert_eq!([second.as_ptr(), first.as_ptr()].as_slice(), addresses);
        drop((first, second));
        let mut grown = Buffer::new(3);
        grown.resize(2000);
        assert_eq!(grown.len(), 2000);
        drop(grown);
        let sizes = KEPT.with_borrow(|kept| kept.iter().map(Vec::len).sum::<usize>());
        assert!(sizes <= 2010, "{sizes} elements are kept");
    }
}
