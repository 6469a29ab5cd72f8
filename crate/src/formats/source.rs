//! Turns "these bytes of that file" into a future of bytes, wherever the file lies.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;

/// The answer to a read: ready at once for files and memory, later for the web.
pub type Reading<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + 'a>>;

/// A file of known length that can be read piece by piece.
pub trait ByteSource {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly the bytes of `range`; an error of kind `UnexpectedEof` where it passes the end.
    fn read(&self, range: Range<u64>) -> Reading<'_>;
}

fn past_the_end(range: &Range<u64>, len: u64) -> io::Error {
    let text = format!("bytes {}..{} of a file of {len}", range.start, range.end);
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

impl ByteSource for Vec<u8> {
    fn len(&self) -> u64 {
        Vec::len(self) as u64
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        let bytes = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| self.get(start..end))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| past_the_end(&range, self.len() as u64));
        Box::pin(std::future::ready(bytes))
    }
}

/// A file on disk.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
pub struct FileSource {
    file: RefCell<std::fs::File>,
    len: u64,
}

#[cfg(not(target_arch = "wasm32"))]
impl FileSource {
    /// Opens the file at `path`.
    pub fn open(path: &std::path::Path) -> io::Result<FileSource> {
        let file = std::fs::File::open(path)?;
        let len = file.metadata()?.len();
        Ok(FileSource { file: RefCell::new(file), len })
    }

    fn read_now(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        if range.start > range.end || range.end > self.len {
            return Err(past_the_end(&range, self.len));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(range.start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl ByteSource for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        Box::pin(std::future::ready(self.read_now(range)))
    }
}

/// A part of a source as a source of its own.
pub struct Part<'a> {
    inner: &'a dyn ByteSource,
    range: Range<u64>,
}

impl<'a> Part<'a> {
    /// These bytes of `inner`.
    pub fn new(inner: &'a dyn ByteSource, range: Range<u64>) -> Part<'a> {
        Part { inner, range }
    }
}

impl ByteSource for Part<'_> {
    fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        let bounds = |at: u64| self.range.start.checked_add(at).filter(|&at| at <= self.range.end);
        match (bounds(range.start), bounds(range.end)) {
            (Some(start), Some(end)) => self.inner.read(start..end),
            _ => Box::pin(std::future::ready(Err(past_the_end(&range, self.len())))),
        }
    }
}

/// A source read in blocks, so that thousands of neighbouring small tensors cost few reads. Blocks
/// grow while they follow each other; small reads here and there cost small blocks.
pub struct Buffered<'a> {
    inner: &'a dyn ByteSource,
    block: RefCell<(u64, Vec<u8>)>,
}

impl<'a> Buffered<'a> {
    /// Bytes fetched at once: at first, and at most.
    const FIRST: u64 = 1 << 14;
    const MOST: u64 = 1 << 20;

    /// Reads `inner` in blocks.
    pub fn new(inner: &'a dyn ByteSource) -> Buffered<'a> {
        Buffered { inner, block: RefCell::new((0, Vec::new())) }
    }

    /// Bytes to fetch from `start` on: twice the last block's where it begins in or right behind that.
    fn next_block(&self, start: u64) -> u64 {
        let (last, bytes) = &*self.block.borrow();
        let len = bytes.len() as u64;
        let follows = start >= *last && start <= *last + len;
        if follows { (2 * len).clamp(Self::FIRST, Self::MOST) } else { Self::FIRST }
    }

    fn held(&self, range: &Range<u64>) -> Option<Vec<u8>> {
        let (start, bytes) = &*self.block.borrow();
        let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(*start)?).ok()?;
        bytes.get(from..to).map(<[u8]>::to_vec)
    }
}

impl ByteSource for Buffered<'_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        Box::pin(async move {
            if let Some(bytes) = self.held(&range) {
                return Ok(bytes);
            }
            let wanted = range.end.saturating_sub(range.start);
            if wanted >= Self::MOST || range.end > self.len() {
                return self.inner.read(range).await;
            }
            let block = self.next_block(range.start).max(wanted);
            let end = range.start.saturating_add(block).min(self.len());
            let block = self.inner.read(range.start..end).await?;
            let bytes = block[..(range.end - range.start) as usize].to_vec();
            *self.block.borrow_mut() = (range.start, block);
            Ok(bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_answers_its_neighbours_and_never_reads_past_the_end() {
        let file: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
        let source = Buffered::new(&file);
        for range in [10..20, 15..400, 1_048_570..1_048_590, 2_999_990..3_000_000, 0..2_500_000, 5..5] {
            let bytes = pollster::block_on(source.read(range.clone())).expect("inside the file");
            assert_eq!(bytes, file[range.start as usize..range.end as usize]);
        }
        for range in [2_999_999..3_000_001, 4_000_000..4_000_001] {
            let error = pollster::block_on(source.read(range)).expect_err("past the end");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
