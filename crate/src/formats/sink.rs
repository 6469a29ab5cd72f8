//! Turns bytes into "written" futures, wherever they go: to memory, to a file, to a page.

use std::future::Future;
use std::io;
use std::pin::Pin;

/// The answer to a write: ready at once for files and memory, later for a page's disk.
pub type Writing<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

/// Where a file is written to, piece by piece.
pub trait ByteSink {
    /// Appends these bytes.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Writing<'a>;
}

impl<W: io::Write> ByteSink for W {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Writing<'a> {
        Box::pin(std::future::ready(self.write_all(bytes)))
    }
}
