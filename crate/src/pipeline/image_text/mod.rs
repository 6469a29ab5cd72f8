//! Texts in image files: the chunks of PNG files, EXIF and XMP data in JPEG, WebP and AVIF files.
//!
//! A file is read without trusting any length in it, and its texts only up to a size; what cannot be read is said in
//! a sentence.

mod entries;
mod exif;
mod jpeg;
mod png;
mod webp;
mod xmp;

pub use entries::{TextEntries, TextEntry};

use super::error::PipelineError;

/// Reads the texts of an image file.
///
/// # Errors
/// [`PipelineError::InvalidFile`], with the file's `name`, for a file that is no PNG, JPEG, WebP or AVIF file.
pub fn image_texts(name: &str, bytes: &[u8]) -> Result<TextEntries, PipelineError> {
    let mut texts = TextEntries::default();
    if bytes.starts_with(png::SIGNATURE) {
        png::read(bytes, &mut texts);
    } else if bytes.starts_with(jpeg::SIGNATURE) {
        jpeg::read(bytes, &mut texts);
    } else if webp::is_webp(bytes) {
        webp::read(bytes, &mut texts);
    } else if bytes.get(4..8) == Some(b"ftyp") {
        exif::read_heif(bytes, &mut texts);
    } else {
        let reason = "this is not a PNG, JPEG, WebP or AVIF image".into();
        return Err(PipelineError::InvalidFile { file: name.into(), reason });
    }
    Ok(texts)
}
