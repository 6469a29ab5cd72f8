//! Turns a zip archive of files into these files, one by one and without unpacking it as a whole.
//!
//! A stored member is read where it lies. A packed one is unpacked in memory, and only if that
//! takes no more than a small multiple of its packed bytes: adapters hardly compress.

use super::source::{Part, Reading};
use super::zip::{self, Record};
use super::{ByteSource, FormatError};
use flate2::read::DeflateDecoder;
use std::io::Read;
use std::ops::Range;

/// How many times its packed bytes a member may take.
const MAX_COMPRESSION_RATIO: u64 = 16;

/// The largest packed member that is unpacked in memory, in bytes.
const MAX_UNPACKED_BYTES: u64 = 512 << 20;

/// A zip archive that is none of PyTorch's.
#[derive(Debug)]
pub struct Archive {
    records: Vec<Record>,
}

/// A file of an archive.
pub enum Member<'a> {
    /// Stored as it is.
    Stored(Part<'a>),
    /// Unpacked.
    Unpacked(Vec<u8>),
}

impl ByteSource for Member<'_> {
    fn len(&self) -> u64 {
        match self {
            Member::Stored(part) => part.len(),
            Member::Unpacked(bytes) => ByteSource::len(bytes),
        }
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        match self {
            Member::Stored(part) => part.read(range),
            Member::Unpacked(bytes) => bytes.read(range),
        }
    }
}

impl Archive {
    /// Lists the files; none where PyTorch wrote the archive.
    pub async fn open(source: &dyn ByteSource) -> Result<Option<Archive>, FormatError> {
        let records = zip::records(source).await?;
        let is_torch = records.iter().any(|record| record.name == "data.pkl" || record.name.ends_with("/data.pkl"));
        Ok((!is_torch).then_some(Archive { records }))
    }

    /// The paths of its files, without folders and what macOS adds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.records.iter().map(|record| record.name.as_str());
        names.filter(|name| !name.ends_with('/') && !name.starts_with("__MACOSX/"))
    }

    /// A file of it.
    pub async fn member<'a>(&self, source: &'a dyn ByteSource, name: &str) -> Result<Member<'a>, FormatError> {
        let record = self.records.iter().find(|record| record.name == name);
        let record = record.ok_or_else(|| FormatError::BadZip(format!("it has no file `{name}`")))?;
        if !record.packed {
            return Ok(Member::Stored(Part::new(source, record.bytes.clone())));
        }
        let packed = record.bytes.end - record.bytes.start;
        if record.size > packed.saturating_mul(MAX_COMPRESSION_RATIO) || record.size > MAX_UNPACKED_BYTES {
            return Err(FormatError::ResourceBomb(format!(
                "`{name}` would grow from {packed} bytes to {}",
                record.size
            )));
        }
        let packed = source.read(record.bytes.clone()).await?;
        let mut bytes = Vec::new();
        match DeflateDecoder::new(packed.as_slice()).take(record.size + 1).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 == record.size => Ok(Member::Unpacked(bytes)),
            _ => Err(FormatError::BadZip(format!(
                "`{name}` does not unpack to the {} bytes that it claims",
                record.size
            ))),
        }
    }
}
