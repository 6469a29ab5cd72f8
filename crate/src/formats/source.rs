//! Byte sources: asynchronous reads of byte ranges from memory, disk or the web.

use crate::num::host_len;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Future of a read: ready at once for files and memory, pending for the web.
pub type ReadFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + 'a>>;

/// A file of known length that can be read by ranges.
pub trait ByteSource {
    /// Returns the length in bytes.
    fn len(&self) -> u64;

    /// Returns whether the length is 0.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads exactly the bytes of `range`; returns an error of kind `UnexpectedEof` if it extends past the end.
    fn read(&self, range: Range<u64>) -> ReadFuture<'_>;
}

/// Length of the blocks in which data is copied, in bytes.
pub const COPY_BLOCK: u64 = 4 << 20;

/// Splits `range` into blocks of `block_len` bytes, the last of which may be shorter, so that a copy or a hash of it
/// holds one block at a time.
pub fn blocks(range: Range<u64>, block_len: u64) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let block = at..at.saturating_add(block_len).min(range.end);
        at = block.end;
        (!block.is_empty()).then_some(block)
    })
}

pub(super) fn past_the_end(range: &Range<u64>, len: u64) -> io::Error {
    let message = format!("bytes {}..{} are out of range of a file of {len} bytes", range.start, range.end);
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

impl ByteSource for Vec<u8> {
    fn len(&self) -> u64 {
        Vec::len(self) as u64
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
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
#[cfg(not(target_os = "unknown"))]
#[derive(Debug)]
pub struct FileSource {
    file: RefCell<std::fs::File>,
    len: u64,
}

#[cfg(not(target_os = "unknown"))]
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
        let len = usize::try_from(range.end - range.start).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; len];
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(range.start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(not(target_os = "unknown"))]
impl ByteSource for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        Box::pin(std::future::ready(self.read_now(range)))
    }
}

/// A byte range of another source.
pub struct Part<'a> {
    inner: &'a dyn ByteSource,
    range: Range<u64>,
}

impl<'a> Part<'a> {
    /// Creates a source of the bytes `range` of `inner`.
    pub fn new(inner: &'a dyn ByteSource, range: Range<u64>) -> Part<'a> {
        Part { inner, range }
    }
}

impl ByteSource for Part<'_> {
    fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        let offset = |at: u64| self.range.start.checked_add(at).filter(|&at| at <= self.range.end);
        match (offset(range.start), offset(range.end)) {
            (Some(start), Some(end)) => self.inner.read(start..end),
            _ => Box::pin(std::future::ready(Err(past_the_end(&range, self.len())))),
        }
    }
}

/// A source read in blocks, so that thousands of adjacent small tensors need few reads. Blocks grow while the reads
/// are sequential; at full size, the next block is prefetched. Scattered small reads use small blocks. Concurrent
/// reads return correct bytes, but may fetch some of them twice.
pub struct Buffered<'a> {
    inner: &'a dyn ByteSource,
    /// Offset of the buffered bytes, and the bytes.
    buffer: RefCell<(u64, Vec<u8>)>,
    /// Length of the last block, in bytes.
    block_len: Cell<u64>,
    /// The prefetched block, which the next sequential read needs.
    prefetch: RefCell<Option<(Range<u64>, ReadFuture<'a>)>>,
}

impl<'a> Buffered<'a> {
    /// Length of the first block, in bytes.
    const FIRST_BLOCK: u64 = 1 << 14;
    /// Maximum length of a block, in bytes.
    const MAX_BLOCK: u64 = 1 << 20;

    /// Creates a buffered reader of `inner`.
    pub fn new(inner: &'a dyn ByteSource) -> Buffered<'a> {
        Buffered { inner, buffer: RefCell::new((0, Vec::new())), block_len: Cell::new(0), prefetch: RefCell::new(None) }
    }

    /// Returns the block to fetch for a read of `range`: the one after the buffered bytes if the range starts in them
    /// or less than a block after. Otherwise clears the buffer.
    fn next_block(&self, range: &Range<u64>) -> Range<u64> {
        let buffer = &mut *self.buffer.borrow_mut();
        let end = buffer.0 + buffer.1.len() as u64;
        let is_sequential = range.start >= buffer.0 && range.start <= end + self.block_len.get();
        let (from, len) = if is_sequential {
            (end, (2 * self.block_len.get()).clamp(Self::FIRST_BLOCK, Self::MAX_BLOCK))
        } else {
            (range.start, Self::FIRST_BLOCK)
        };
        if !is_sequential {
            *buffer = (from, Vec::new());
        }
        from..from.saturating_add(len).min(self.inner.len()).max(range.end)
    }

    /// Fetches a block, and prefetches the next one if the block has full size.
    async fn fetch(&self, block: Range<u64>) -> io::Result<Vec<u8>> {
        let prefetched = self.prefetch.take().filter(|(range, _)| *range == block);
        let bytes = prefetched.map_or_else(|| self.inner.read(block.clone()), |(_, reading)| reading).await?;
        let next = block.end..(block.end + Self::MAX_BLOCK).min(self.len());
        if block.end - block.start == Self::MAX_BLOCK && !next.is_empty() {
            let mut reading = self.inner.read(next.clone());
            let reading = match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => Box::pin(std::future::ready(done)),
                Poll::Pending => reading,
            };
            *self.prefetch.borrow_mut() = Some((next, reading));
        }
        Ok(bytes)
    }

    /// Appends a block that starts `at` to the buffer, and drops bytes more than a few blocks before `start`. Discards
    /// the block if it does not follow the buffered bytes: a concurrent read changed them while it was fetched.
    fn append(&self, at: u64, block: Vec<u8>, start: u64) {
        let (from, bytes) = &mut *self.buffer.borrow_mut();
        if *from + bytes.len() as u64 != at {
            return;
        }
        self.block_len.set(block.len() as u64);
        let excess = start.saturating_sub(*from).min((bytes.len() as u64).saturating_sub(Self::MAX_BLOCK));
        bytes.drain(..host_len(excess));
        *from += excess;
        bytes.extend(block);
    }

    /// Returns the bytes of `range`, if they are buffered.
    fn buffered(&self, range: &Range<u64>) -> Option<Vec<u8>> {
        let (start, bytes) = &*self.buffer.borrow();
        let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(*start)?).ok()?;
        bytes.get(from..to).map(<[u8]>::to_vec)
    }
}

impl ByteSource for Buffered<'_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        Box::pin(async move {
            if let Some(bytes) = self.buffered(&range) {
                return Ok(bytes);
            }
            let len = range.end.saturating_sub(range.start);
            if len >= Self::MAX_BLOCK || range.end > self.len() {
                return self.inner.read(range).await;
            }
            let block = self.next_block(&range);
            let (start, bytes) = (block.start, self.fetch(block).await?);
            self.append(start, bytes, range.start);
            match self.buffered(&range) {
                Some(bytes) => Ok(bytes),
                // A concurrent read changed the buffer: fetch these bytes directly.
                None => self.inner.read(range).await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_serve_adjacent_reads_and_never_extend_past_the_end() {
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

    #[test]
    fn blocks_cover_a_range_once_and_in_order() {
        let check = |range: Range<u64>, expect: &[Range<u64>]| {
            assert_eq!(blocks(range.clone(), 4).collect::<Vec<_>>(), expect, "{range:?}");
        };
        check(3..12, &[3..7, 7..11, 11..12]);
        check(0..8, &[0..4, 4..8]);
        check(u64::MAX - 5..u64::MAX, &[u64::MAX - 5..u64::MAX - 1, u64::MAX - 1..u64::MAX]);
        // A header may claim that the data starts after the end of the file.
        for end in [5, 9] {
            check(9..end, &[]);
        }
    }

    /// A file of zeros that counts its reads.
    struct Counted(Cell<usize>);

    impl ByteSource for Counted {
        fn len(&self) -> u64 {
            100_000_000
        }

        fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
            self.0.set(self.0.get() + 1);
            Box::pin(std::future::ready(Ok(vec![0; host_len(range.end - range.start)])))
        }
    }

    /// A file whose reads are pending for the given numbers of polls.
    struct Slow<'a> {
        file: &'a [u8],
        polls: RefCell<Vec<usize>>,
    }

    impl ByteSource for Slow<'_> {
        fn len(&self) -> u64 {
            self.file.len() as u64
        }

        fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
            let mut polls = self.polls.borrow_mut().pop().unwrap_or(0);
            Box::pin(std::future::poll_fn(move |context| match polls {
                0 => Poll::Ready(Ok(self.file[range.start as usize..range.end as usize].to_vec())),
                _ => {
                    polls -= 1;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }))
        }
    }

    /// Polls the futures in turn until all are ready.
    fn interleaved<T>(futures: &mut [(Pin<Box<dyn Future<Output = T> + '_>>, Option<T>)]) {
        let mut context = Context::from_waker(Waker::noop());
        while futures.iter().any(|(_, done)| done.is_none()) {
            for (future, done) in futures.iter_mut().filter(|(_, done)| done.is_none()) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                    *done = Some(value);
                }
            }
        }
    }

    #[test]
    fn concurrent_reads_return_their_own_bytes() {
        let file: Vec<u8> = (0..4_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        // Adjacent, the same bytes twice, far apart, in reverse order, across two blocks.
        let pairs = [
            [10..20, 30..40],
            [0..16, 0..16],
            [100..200, 3_000_000..3_000_100],
            [3_000_000..3_000_100, 16_000..17_000],
            [16_000..17_000, 20..30],
            [60_000..70_000, 500_000..1_600_000],
            [1_000_000..1_500_000, 1_500_000..2_000_000],
        ];
        for polls in [[0, 0], [1, 1], [3, 1], [1, 3], [0, 2], [2, 0]] {
            // All pairs share one source, so that each starts with the buffer of the previous ones.
            let slow = Slow { file: &file, polls: RefCell::default() };
            let source = Buffered::new(&slow);
            for ranges in pairs.iter().chain(&pairs) {
                *slow.polls.borrow_mut() = polls.repeat(3);
                let mut reads = ranges.clone().map(|range| (source.read(range), None));
                interleaved(&mut reads);
                for ((_, read), range) in reads.iter().zip(ranges) {
                    let bytes = read.as_ref().expect("it is done").as_ref().expect("inside the file");
                    assert!(bytes[..] == file[range.start as usize..range.end as usize], "{range:?} of {ranges:?}");
                }
                for at in [0u64, 20_000, 1_048_576, 3_000_050] {
                    let bytes = pollster::block_on(source.read(at..at + 16)).expect("inside the file");
                    assert_eq!(bytes, file[at as usize..at as usize + 16], "{at} after {ranges:?}");
                }
            }
        }
    }

    #[test]
    fn sequential_reads_are_few_and_scattered_reads_are_small() {
        let file = Counted(Cell::new(0));
        let source = Buffered::new(&file);
        // With gaps, as if tensors were skipped.
        for at in (0..1000).map(|i| i * 90_000) {
            pollster::block_on(source.read(at..at + 80_000)).expect("inside the file");
        }
        let max_reads = 90_000_000 / Buffered::MAX_BLOCK as usize + 16;
        assert!(file.0.get() <= max_reads, "{} reads", file.0.get());
        pollster::block_on(source.read(1000..1010)).expect("inside the file");
        assert_eq!(source.block_len.get(), Buffered::FIRST_BLOCK);
    }
}
