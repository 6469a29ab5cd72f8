//! Turns a zip archive's directory into the places of its records. Nothing is inflated here.
//!
//! Layout: PKWARE APPNOTE 4.3, with zip64 sizes.

use super::{ByteSource, FormatError};
use std::ops::Range;

/// One record of an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its path in the archive.
    pub name: String,
    /// Where its bytes lie in the file.
    pub bytes: Range<u64>,
    /// Whether they are deflated.
    pub packed: bool,
    /// Its length when it is not, in bytes.
    pub size: u64,
}

/// The largest directory that is read, in bytes.
const MAX_DIRECTORY: u64 = 32 << 20;

/// Lists the records of the archive.
pub async fn records(source: &dyn ByteSource) -> Result<Vec<Record>, FormatError> {
    let len = source.len();
    let tail_start = len.saturating_sub(22 + 65535);
    let tail = source.read(tail_start..len).await?;
    let Some(end) = tail.windows(4).rposition(|window| window == b"PK\x05\x06") else {
        return Err(FormatError::Truncated("it starts like a zip archive but has no directory at its end".into()));
    };
    let mut fields = Fields(tail.get(end + 10..).unwrap_or_default());
    let (_, mut size, mut start) = (fields.u16()?, u64::from(fields.u32()?), u64::from(fields.u32()?));
    if start == u64::from(u32::MAX) || size == u64::from(u32::MAX) {
        (size, start) = zip64_directory(source, &tail, end).await?;
    }
    let inside = start.checked_add(size).is_some_and(|end| end <= len);
    if !inside || size > MAX_DIRECTORY {
        return Err(FormatError::BadZip(format!("its directory claims {size} bytes at {start} of a file of {len}")));
    }
    let directory = source.read(start..start + size).await?;
    let mut fields = Fields(&directory);
    let mut records = Vec::new();
    while !fields.0.is_empty() {
        let entry = Entry::read(&mut fields)?;
        records.push(entry.locate(source).await?);
    }
    Ok(records)
}

/// Size and start of the directory from the zip64 end record.
async fn zip64_directory(source: &dyn ByteSource, tail: &[u8], end: usize) -> Result<(u64, u64), FormatError> {
    let locator = end.checked_sub(20).and_then(|at| tail.get(at..end)).unwrap_or_default();
    let mut fields = Fields(locator);
    if fields.u32()? != 0x0706_4b50 {
        return Err(FormatError::BadZip("its zip64 directory is missing".into()));
    }
    fields.take(4)?;
    let at = fields.u64()?;
    let record = source.read(at..at.saturating_add(56)).await?;
    let mut fields = Fields(&record);
    fields.take(40)?;
    Ok((fields.u64()?, fields.u64()?))
}

/// A line of the directory.
struct Entry {
    name: String,
    stored: u64,
    size: u64,
    deflated: bool,
    header: u64,
}

impl Entry {
    fn read(fields: &mut Fields) -> Result<Entry, FormatError> {
        if fields.u32()? != 0x0201_4b50 {
            return Err(FormatError::BadZip("an entry of its directory does not start as one".into()));
        }
        fields.take(6)?;
        let method = fields.u16()?;
        fields.take(8)?;
        let (mut packed, mut size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
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
            for value in [&mut size, &mut packed, &mut header] {
                if *value == u64::from(u32::MAX) {
                    *value = wide.u64()?;
                }
            }
        }
        match method {
            0 if size != packed => {
                Err(FormatError::BadZip(format!("`{name}` is stored with two sizes, {packed} and {size}")))
            }
            0 | 8 => Ok(Entry { name, stored: packed, size, deflated: method == 8, header }),
            other => Err(FormatError::BadZip(format!("`{name}` is packed by method {other}, which is not known"))),
        }
    }

    /// Finds the record's bytes behind its local header.
    async fn locate(self, source: &dyn ByteSource) -> Result<Record, FormatError> {
        let local = source.read(self.header..self.header.saturating_add(30)).await?;
        let mut fields = Fields(&local);
        if fields.u32()? != 0x0403_4b50 {
            return Err(FormatError::BadZip(format!("`{}` does not start where the directory says", self.name)));
        }
        fields.take(22)?;
        let start = self.header + 30 + u64::from(fields.u16()?) + u64::from(fields.u16()?);
        let end = start.checked_add(self.stored).filter(|&end| end <= source.len());
        let end = end.ok_or_else(|| FormatError::Truncated(format!("`{}` reaches past its end", self.name)))?;
        Ok(Record { name: self.name, bytes: start..end, packed: self.deflated, size: self.size })
    }
}

/// Little-endian fields, read one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let short = || FormatError::BadZip("its directory ends in the middle of an entry".into());
        let (head, rest) = self.0.split_at_checked(len).ok_or_else(short)?;
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
