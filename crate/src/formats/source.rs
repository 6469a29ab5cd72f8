//! Turns "these bytes of that file" into a future of bytes, wherever the file lies.

use crate::num::host_len;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

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
/// grow while they follow each other, and then the next one is on its way while this one is used;
/// small reads here and there cost small blocks. Reads may overlap in time: each gets its bytes, though
/// those that come between others may fetch some again.
pub struct Buffered<'a> {
    inner: &'a dyn ByteSource,
    /// Where the bytes that are held begin, and these.
    held: RefCell<(u64, Vec<u8>)>,
    /// Bytes of the last block.
    block: Cell<u64>,
    /// The block that will be asked for next, if all goes on as it did.
    ahead: RefCell<Option<(Range<u64>, Reading<'a>)>>,
}

impl<'a> Buffered<'a> {
    /// Bytes fetched at once: at first, and at most.
    const FIRST_BLOCK: u64 = 1 << 14;
    const MAX_BLOCK: u64 = 1 << 20;

    /// Reads `inner` in blocks.
    pub fn new(inner: &'a dyn ByteSource) -> Buffered<'a> {
        Buffered { inner, held: RefCell::new((0, Vec::new())), block: Cell::new(0), ahead: RefCell::new(None) }
    }

    /// Forgets what a read of `range` does not go on from, and says which bytes to fetch for it: those
    /// behind the held ones where it begins among them or less than a block behind.
    fn next_block(&self, range: &Range<u64>) -> Range<u64> {
        let held = &mut *self.held.borrow_mut();
        let end = held.0 + held.1.len() as u64;
        let follows = range.start >= held.0 && range.start <= end + self.block.get();
        let (from, most) = if follows {
            (end, (2 * self.block.get()).clamp(Self::FIRST_BLOCK, Self::MAX_BLOCK))
        } else {
            (range.start, Self::FIRST_BLOCK)
        };
        if !follows {
            *held = (from, Vec::new());
        }
        from..from.saturating_add(most).min(self.inner.len()).max(range.end)
    }

    /// Reads a block, and starts reading the one behind it where reads have followed each other for long.
    async fn block(&self, block: Range<u64>) -> io::Result<Vec<u8>> {
        let ahead = self.ahead.take().filter(|(range, _)| *range == block);
        let bytes = ahead.map_or_else(|| self.inner.read(block.clone()), |(_, reading)| reading).await?;
        let next = block.end..(block.end + Self::MAX_BLOCK).min(self.len());
        if block.end - block.start == Self::MAX_BLOCK && !next.is_empty() {
            let mut reading = self.inner.read(next.clone());
            let reading = match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => Box::pin(std::future::ready(done)),
                Poll::Pending => reading,
            };
            *self.ahead.borrow_mut() = Some((next, reading));
        }
        Ok(bytes)
    }

    /// Holds a block that begins `at`, and no more than a few blocks before `start`. A block that does not
    /// lie right behind the held bytes is not held: another read has changed these while it was fetched.
    fn hold(&self, at: u64, block: Vec<u8>, start: u64) {
        let (from, bytes) = &mut *self.held.borrow_mut();
        if *from + bytes.len() as u64 != at {
            return;
        }
        self.block.set(block.len() as u64);
        let spare = start.saturating_sub(*from).min((bytes.len() as u64).saturating_sub(Self::MAX_BLOCK));
        bytes.drain(..host_len(spare));
        *from += spare;
        bytes.extend(block);
    }

    fn held(&self, range: &Range<u64>) -> Option<Vec<u8>> {
        let (start, bytes) = &*self.held.borrow();
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
            if wanted >= Self::MAX_BLOCK || range.end > self.len() {
                return self.inner.read(range).await;
            }
            let block = self.next_block(&range);
            let (start, bytes) = (block.start, self.block(block).await?);
            self.hold(start, bytes, range.start);
            match self.held(&range) {
                Some(bytes) => Ok(bytes),
                // Another read has come between: this one fetches its bytes alone.
                None => self.inner.read(range).await,
            }
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

    /// Counts the reads of a file of zeros.
    struct Counted(Cell<usize>);

    impl ByteSource for Counted {
        fn len(&self) -> u64 {
            100_000_000
        }

        fn read(&self, range: Range<u64>) -> Reading<'_> {
            self.0.set(self.0.get() + 1);
            Box::pin(std::future::ready(Ok(vec![0; host_len(range.end - range.start)])))
        }
    }

    /// A file whose every read is pending until it has been asked for as often as its turn says.
    struct Slow<'a> {
        file: &'a [u8],
        polls: RefCell<Vec<usize>>,
    }

    impl ByteSource for Slow<'_> {
        fn len(&self) -> u64 {
            self.file.len() as u64
        }

        fn read(&self, range: Range<u64>) -> Reading<'_> {
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

    /// Polls futures in turn until all are ready.
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
    fn reads_that_overlap_in_time_get_their_own_bytes() {
        let file: Vec<u8> = (0..4_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        // Neighbours, the same bytes twice, one far away, one before the others, one across two blocks.
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
            // All on one source, so that each pair finds what the pairs before have left.
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
                    let alone = pollster::block_on(source.read(at..at + 16)).expect("inside the file");
                    assert_eq!(alone, file[at as usize..at as usize + 16], "{at} after {ranges:?}");
                }
            }
        }
    }

    #[test]
    fn neighbours_cost_few_reads_and_strangers_few_bytes() {
        let file = Counted(Cell::new(0));
        let source = Buffered::new(&file);
        // With gaps, as where a tensor is passed over.
        for at in (0..1000).map(|i| i * 90_000) {
            pollster::block_on(source.read(at..at + 80_000)).expect("inside the file");
        }
        let most = 90_000_000 / Buffered::MAX_BLOCK as usize + 16;
        assert!(file.0.get() <= most, "{} reads", file.0.get());
        pollster::block_on(source.read(1000..1010)).expect("inside the file");
        assert_eq!(source.block.get(), Buffered::FIRST_BLOCK);
    }
}
