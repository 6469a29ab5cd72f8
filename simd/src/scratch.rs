//! Buffers that a thread keeps for its next kernels: fresh ones are filled with zeros, page by page.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of arbitrary contents.
#[derive(Default)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// Returns a buffer of this length.
    pub fn new(len: usize) -> Buffer {
        let mut buffer = Buffer(KEPT.with_borrow_mut(Vec::pop).unwrap_or_default());
        buffer.resize(len);
        buffer
    }

    /// Changes the length; the contents are arbitrary.
    pub fn resize(&mut self, len: usize) {
        self.0.resize(len, 0.0);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        KEPT.with_borrow_mut(|kept| kept.push(std::mem::take(&mut self.0)));
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
