//! Texts of WebP files: the chunks with EXIF and XMP.

use super::entries::{TextEntries, utf8_or_latin1};
use super::{exif, xmp};

/// Returns whether a file begins as a WebP file does: `RIFF`, a length, `WEBP`.
pub(super) fn is_webp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

/// Adds the texts of a WebP file.
pub(super) fn read(bytes: &[u8], texts: &mut TextEntries) {
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let (kind, length) = header.split_at(4);
        let length = length.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte));
        let Some(data) = after.get(..length) else {
            return texts.problem("The file ends within a chunk: it is damaged, and what followed is lost.".into());
        };
        match kind {
            b"EXIF" => exif::read(data.strip_prefix(b"Exif\0\0").unwrap_or(data), texts),
            b"XMP " => xmp::read(&utf8_or_latin1(data), texts),
            _ => {}
        }
        // Chunks are padded to an even length.
        rest = after[length..].get(length % 2..).unwrap_or_default();
    }
}
