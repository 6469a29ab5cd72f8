//! Texts of PNG files: tEXt, zTXt, iTXt and eXIf chunks, wherever they stand, even after damaged pixels.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::entries::{MAX_TEXT, TextEntries, shown, utf8_or_latin1};
use super::{exif, xmp};

/// First bytes of a PNG file.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Keyword of a chunk with an XMP document.
const XMP: &str = "XML:com.adobe.xmp";

/// Adds the texts of a PNG file.
pub(super) fn read(bytes: &[u8], texts: &mut TextEntries) {
    let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let (length, kind) = header.split_at(4);
        let length = length.iter().fold(0, |number, &byte| number << 8 | usize::from(byte));
        let Some(data) = after.get(..length) else {
            return texts.problem(format!(
                "The file ends within its {} chunk: it is damaged, and what followed is lost.",
                shown(&utf8_or_latin1(kind))
            ));
        };
        match kind {
            b"tEXt" => plain(data, texts),
            b"zTXt" => compressed(data, texts),
            b"iTXt" => international(data, texts),
            b"eXIf" => exif::read(data, texts),
            b"IEND" => return,
            _ => {}
        }
        // The checksum is not verified: a text that can be read is worth more than none.
        rest = after[length..].get(4..).unwrap_or_default();
    }
    texts.problem("The file ends before its last chunk: it is damaged, and texts at its end are lost.".into());
}

/// Keyword and text, in Latin-1 by the standard and often in UTF-8.
fn plain(data: &[u8], texts: &mut TextEntries) {
    if let Some((keyword, text)) = split(data) {
        push(keyword, text, texts);
    }
}

/// Keyword, compression method, compressed text.
fn compressed(data: &[u8], texts: &mut TextEntries) {
    if let Some((keyword, [_, text @ ..])) = split(data) {
        inflate(keyword, text, texts);
    }
}

/// Keyword, compression flag and method, language, translated keyword, text in UTF-8.
fn international(data: &[u8], texts: &mut TextEntries) {
    let Some((keyword, [is_compressed, _, rest @ ..])) = split(data) else { return };
    let Some((_, text)) = split(rest).and_then(|(_, rest)| split(rest)) else { return };
    match is_compressed {
        0 => push(keyword, text, texts),
        _ => inflate(keyword, text, texts),
    }
}

/// Splits data at its first zero byte.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|&byte| byte == 0)?;
    Some((&data[..end], &data[end + 1..]))
}

fn inflate(keyword: &[u8], data: &[u8], texts: &mut TextEntries) {
    let mut text = Vec::new();
    match ZlibDecoder::new(data).take(MAX_TEXT as u64 + 1).read_to_end(&mut text) {
        Ok(_) => push(keyword, &text, texts),
        Err(error) => {
            let keyword = shown(&utf8_or_latin1(keyword));
            texts.problem(format!("The text `{keyword}` could not be decompressed: {error}."));
        }
    }
}

fn push(keyword: &[u8], text: &[u8], texts: &mut TextEntries) {
    let keyword = utf8_or_latin1(keyword);
    if text.len() > MAX_TEXT {
        return texts.problem(format!("The text `{}` was not read: it is too large.", shown(&keyword)));
    }
    match keyword == XMP {
        true => xmp::read(&utf8_or_latin1(text), texts),
        false => texts.push(&keyword, utf8_or_latin1(text)),
    }
}
