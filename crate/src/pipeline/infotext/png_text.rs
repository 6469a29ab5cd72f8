//! Generation parameters in the text chunks of PNG files.

use std::io::Cursor;

use crate::pipeline::PipelineError;

/// Keyword of the web UI's text.
const KEYWORD: &str = "parameters";
/// Maximum size of a decompressed text, in bytes.
const MAX_LEN: usize = 1 << 20;

/// Returns the text of a PNG's `parameters` from a tEXt, zTXt or iTXt chunk, or `None` without one.
///
/// A text after damaged pixel data is not found.
///
/// # Errors
/// [`PipelineError::BadFile`], with the file's `name`, for bytes that are not a PNG's.
pub fn png_parameters(name: &str, bytes: &[u8]) -> Result<Option<String>, PipelineError> {
    let bad = |error: png::DecodingError| PipelineError::InvalidFile { file: name.into(), reason: error.to_string() };
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().map_err(bad)?;
    // Text chunks may follow the pixel data; if that is damaged, those before it are still read.
    let _ = reader.finish();
    let info = reader.info();
    let utf8 = info.utf8_text.iter().filter(|text| text.keyword == KEYWORD).find_map(|text| {
        let mut text = text.clone();
        text.decompress_text_with_limit(MAX_LEN).ok()?;
        text.get_text().ok()
    });
    let compressed = || {
        info.compressed_latin1_text.iter().filter(|text| text.keyword == KEYWORD).find_map(|text| {
            let mut text = text.clone();
            text.decompress_text_with_limit(MAX_LEN).ok()?;
            text.get_text().ok()
        })
    };
    let latin1 =
        || info.uncompressed_latin1_text.iter().find(|text| text.keyword == KEYWORD).map(|text| text.text.clone());
    Ok(utf8.or_else(|| latin1().or_else(compressed).map(as_utf8)))
}

/// Decodes Latin-1 text as UTF-8 if possible: some programs write UTF-8 to Latin-1 chunks.
fn as_utf8(latin1: String) -> String {
    let bytes: Option<Vec<u8>> = latin1.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(latin1)
}
