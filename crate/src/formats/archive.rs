//! Zip archives of files, read member by member.
//!
//! A stored member is read in place. A compressed one is decompressed in memory, and only if that takes no more than a
//! small multiple of its compressed size: adapters hardly compress.

use super::source::{Part, ReadFuture};
use super::zip::{self, MAX_COMPRESSION_RATIO, Record};
use super::{ByteSource, FormatError};
use crate::sentence::sentence;
use flate2::read::DeflateDecoder;
use std::io::Read;
use std::ops::Range;

/// Maximum decompressed size of a member, in bytes.
const MAX_UNPACKED_BYTES: u64 = 512 << 20;

/// A zip archive that PyTorch did not write.
#[derive(Debug)]
pub struct Archive {
    records: Vec<Record>,
}

/// A file in an archive, as a byte source.
pub enum Member<'a> {
    /// Stored without compression, read in place.
    Stored(Part<'a>),
    /// Decompressed in memory.
    Unpacked(Vec<u8>),
}

impl ByteSource for Member<'_> {
    fn len(&self) -> u64 {
        match self {
            Member::Stored(part) => part.len(),
            Member::Unpacked(bytes) => ByteSource::len(bytes),
        }
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        match self {
            Member::Stored(part) => part.read(range),
            Member::Unpacked(bytes) => bytes.read(range),
        }
    }
}

impl Archive {
    /// Reads the central directory. Returns `None` if PyTorch wrote the archive.
    pub async fn open(source: &dyn ByteSource) -> Result<Option<Archive>, FormatError> {
        let records = zip::records(source).await?;
        let is_torch = records.iter().any(|record| record.name == "data.pkl" || record.name.ends_with("/data.pkl"));
        Ok((!is_torch).then_some(Archive { records }))
    }

    /// Returns the paths of its files, without folders and the files that macOS adds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.records.iter().map(|record| record.name.as_str());
        names.filter(|name| !name.ends_with('/') && !name.starts_with("__MACOSX/"))
    }

    /// Opens the file `name`.
    pub async fn member<'a>(&self, source: &'a dyn ByteSource, name: &str) -> Result<Member<'a>, FormatError> {
        let record = self.records.iter().find(|record| record.name == name);
        let record = record.ok_or_else(|| FormatError::BadZip(sentence!("detail.no_file", file = name).into()))?;
        if !record.packed {
            return Ok(Member::Stored(Part::new(source, record.bytes.clone())));
        }
        let packed = record.bytes.end - record.bytes.start;
        if record.size > packed.saturating_mul(MAX_COMPRESSION_RATIO) || record.size > MAX_UNPACKED_BYTES {
            return Err(FormatError::ResourceBomb(
                sentence!("detail.expands", file = name, packed = packed, size = record.size).into(),
            ));
        }
        let packed = source.read(record.bytes.clone()).await?;
        let mut bytes = Vec::new();
        match DeflateDecoder::new(packed.as_slice()).take(record.size + 1).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 == record.size => Ok(Member::Unpacked(bytes)),
            _ => Err(FormatError::BadZip(sentence!("detail.other_size", file = name, size = record.size).into())),
        }
    }
}
