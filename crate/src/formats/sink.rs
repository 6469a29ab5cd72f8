//! Byte sinks: asynchronous writes to memory, to a file or to the browser's storage.

use std::future::Future;
use std::io;
use std::pin::Pin;

/// Future of a write: ready at once for files and memory, pending for the browser's storage.
pub type WriteFuture<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

/// An output that is written sequentially in pieces.
pub trait ByteSink {
    /// Appends `bytes`.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> WriteFuture<'a>;
}

impl<W: io::Write> ByteSink for W {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> WriteFuture<'a> {
        Box::pin(std::future::ready(self.write_all(bytes)))
    }
}
