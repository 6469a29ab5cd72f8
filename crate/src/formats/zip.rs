//! Central directories of zip archives, and the byte ranges and contents of their records.
//!
//! Layout: PKWARE APPNOTE 4.3, with zip64 sizes.

use super::{ByteSource, FormatError};
use crate::sentence::sentence;
use flate2::read::DeflateDecoder;
use std::io::Read;
use std::ops::Range;

/// A record of an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Path in the archive.
    pub name: String,
    /// Byte range in the file.
    pub bytes: Range<u64>,
    /// Whether the bytes are deflated.
    pub packed: bool,
    /// Decompressed size, in bytes.
    pub size: u64,
}

/// Maximum ratio of a record's decompressed size to its compressed size.
pub(super) const MAX_COMPRESSION_RATIO: u64 = 16;

impl Record {
    /// Reads the record, at most its first `max` bytes. Of a compressed one, returns what decompresses, at most a small
    /// multiple of its compressed size.
    pub async fn contents(&self, source: &dyn ByteSource, max: u64) -> Result<Vec<u8>, FormatError> {
        let bytes = source.read(self.bytes.start..self.bytes.end.min(self.bytes.start.saturating_add(max))).await?;
        if !self.packed {
            return Ok(bytes);
        }
        let max = max.min((bytes.len() as u64).saturating_mul(MAX_COMPRESSION_RATIO));
        let mut out = Vec::new();
        // An error leaves what was decompressed before it.
        let _ = DeflateDecoder::new(bytes.as_slice()).take(max).read_to_end(&mut out);
        Ok(out)
    }
}

/// Maximum size of a central directory, in bytes.
const MAX_DIRECTORY: u64 = 32 << 20;

/// Reads the records of the archive.
pub async fn records(source: &dyn ByteSource) -> Result<Vec<Record>, FormatError> {
    let len = source.len();
    let tail_start = len.saturating_sub(22 + 65535);
    let tail = source.read(tail_start..len).await?;
    let Some(end) = tail.windows(4).rposition(|window| window == b"PK\x05\x06") else {
        return Err(FormatError::Truncated(sentence!("detail.zip_no_directory").into()));
    };
    let mut fields = Fields(tail.get(end + 10..).unwrap_or_default());
    let (_, mut size, mut start) = (fields.u16()?, u64::from(fields.u32()?), u64::from(fields.u32()?));
    if start == u64::from(u32::MAX) || size == u64::from(u32::MAX) {
        (size, start) = zip64_directory(source, &tail, end).await?;
    }
    let is_inside = start.checked_add(size).is_some_and(|end| end <= len);
    if !is_inside || size > MAX_DIRECTORY {
        return Err(FormatError::BadZip(
            sentence!("detail.zip_directory", size = size, start = start, total = len).into(),
        ));
    }
    let directory = source.read(start..start + size).await?;
    let mut fields = Fields(&directory);
    let (mut records, mut total) = (Vec::new(), 0u64);
    while !fields.0.is_empty() {
        let record = Entry::read(&mut fields)?.locate(source).await?;
        total = record.bytes.end.saturating_sub(record.bytes.start).saturating_add(total);
        if total > len {
            return Err(FormatError::BadZip(sentence!("detail.zip_overlap").into()));
        }
        records.push(record);
    }
    Ok(records)
}

/// Reads the size and the offset of the central directory from the zip64 end record.
async fn zip64_directory(source: &dyn ByteSource, tail: &[u8], end: usize) -> Result<(u64, u64), FormatError> {
    let locator = end.checked_sub(20).and_then(|at| tail.get(at..end)).unwrap_or_default();
    let mut fields = Fields(locator);
    if fields.u32()? != 0x0706_4b50 {
        return Err(FormatError::BadZip(sentence!("detail.zip64").into()));
    }
    fields.take(4)?;
    let at = fields.u64()?;
    let record = source.read(at..at.saturating_add(56)).await?;
    let mut fields = Fields(&record);
    fields.take(40)?;
    Ok((fields.u64()?, fields.u64()?))
}

/// An entry of the central directory.
struct Entry {
    name: String,
    compressed_size: u64,
    size: u64,
    deflated: bool,
    header: u64,
}

impl Entry {
    fn read(fields: &mut Fields) -> Result<Entry, FormatError> {
        if fields.u32()? != 0x0201_4b50 {
            return Err(FormatError::BadZip(sentence!("detail.zip_signature").into()));
        }
        fields.take(6)?;
        let method = fields.u16()?;
        fields.take(8)?;
        let (mut compressed_size, mut size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
        let (name_len, extra_len, comment_len) = (fields.u16()?, fields.u16()?, fields.u16()?);
        fields.take(8)?;
        let mut header = u64::from(fields.u32()?);
        let name = String::from_utf8_lossy(fields.take(usize::from(name_len))?).into_owned();
        let mut extra = Fields(fields.take(usize::from(extra_len))?);
        fields.take(usize::from(comment_len))?;
        while let (Ok(id), Ok(len)) = (extra.u16(), extra.u16()) {
            let mut wide = Fields(extra.take(usize::from(len))?);
            if id != 1 {
                continue;
            }
            for value in [&mut size, &mut compressed_size, &mut header] {
                if *value == u64::from(u32::MAX) {
                    *value = wide.u64()?;
                }
            }
        }
        match method {
            0 if size != compressed_size => Err(FormatError::BadZip(
                sentence!("detail.zip_two_sizes", file = name, packed = compressed_size, size = size).into(),
            )),
            0 | 8 => Ok(Entry { name, compressed_size, size, deflated: method == 8, header }),
            other => {
                Err(FormatError::BadZip(sentence!("detail.zip_method", file = name, method = u64::from(other)).into()))
            }
        }
    }

    /// Finds the record's bytes after its local header.
    async fn locate(self, source: &dyn ByteSource) -> Result<Record, FormatError> {
        let local = source.read(self.header..self.header.saturating_add(30)).await?;
        let mut fields = Fields(&local);
        if fields.u32()? != 0x0403_4b50 {
            return Err(FormatError::BadZip(sentence!("detail.zip_place", file = self.name).into()));
        }
        fields.take(22)?;
        let start = self.header + 30 + u64::from(fields.u16()?) + u64::from(fields.u16()?);
        let end = start.checked_add(self.compressed_size).filter(|&end| end <= source.len());
        let end =
            end.ok_or_else(|| FormatError::Truncated(sentence!("detail.past_its_end", file = &self.name).into()))?;
        Ok(Record { name: self.name, bytes: start..end, packed: self.deflated, size: self.size })
    }
}

/// Sequential reader of little-endian fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let truncated = || FormatError::BadZip(sentence!("detail.zip_entry").into());
        let (head, rest) = self.0.split_at_checked(len).ok_or_else(truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.take(2)?.try_into().unwrap_or_default()))
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default()))
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default()))
    }
}
