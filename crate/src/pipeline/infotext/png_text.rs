//! Turns a PNG file into the text that image programs keep under the keyword `parameters`.

use std::io::Cursor;

use crate::pipeline::PipelineError;

/// Keyword of the web UI's text.
const KEYWORD: &str = "parameters";
/// Most bytes that a compressed text may become.
const LONGEST: usize = 1 << 20;

/// The text of a PNG's `parameters`, in whichever of the three text chunks; None where there is none.
///
/// A text behind pixels that are damaged is not found.
///
/// # Errors
/// [`PipelineError::BadFile`], with the file's `name`, for bytes that are not a PNG's.
pub fn png_parameters(name: &str, bytes: &[u8]) -> Result<Option<String>, PipelineError> {
    let bad = |error: png::DecodingError| PipelineError::BadFile { file: name.into(), reason: error.to_string() };
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().map_err(bad)?;
    // Texts may follow the pixels; damage there leaves those before them.
    let _ = reader.finish();
    let info = reader.info();
    let utf8 = info.utf8_text.iter().filter(|text| text.keyword == KEYWORD).find_map(|text| {
        let mut text = text.clone();
        text.decompress_text_with_limit(LONGEST).ok()?;
        text.get_text().ok()
    });
    let compressed = || {
        info.compressed_latin1_text.iter().filter(|text| text.keyword == KEYWORD).find_map(|text| {
            let mut text = text.clone();
            text.decompress_text_with_limit(LONGEST).ok()?;
            text.get_text().ok()
        })
    };
    let latin1 =
        || info.uncompressed_latin1_text.iter().find(|text| text.keyword == KEYWORD).map(|text| text.text.clone());
    Ok(utf8.or_else(|| latin1().or_else(compressed).map(as_utf8)))
}

/// Some programs write UTF-8 where the format has Latin-1.
fn as_utf8(latin1: String) -> String {
    let bytes: Option<Vec<u8>> = latin1.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(latin1)
}
