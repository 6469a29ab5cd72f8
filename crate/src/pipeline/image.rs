//! 8-bit RGB conversion of the VAE decoder's output, and PNG encoding and decoding.

use crate::num::to_byte;

/// Converts values from -1 to 1, channels last, to 8 bits: round(255 * clamp(x / 2 + 1 / 2)), as diffusers does.
pub fn to_rgb8(image: &[f32]) -> Vec<u8> {
    image.iter().map(|x| to_byte((x / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0)).collect()
}

/// Encodes an 8-bit RGB image as PNG, with one iTXt chunk per (keyword, content) of `text`.
pub fn encode_png(
    rgb: &[u8],
    width: usize,
    height: usize,
    text: &[(&str, &str)],
) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let edge = |pixels: usize| {
        u32::try_from(pixels).map_err(|error| png::EncodingError::IoError(std::io::Error::other(error)))
    };
    let mut encoder = png::Encoder::new(&mut file, edge(width)?, edge(height)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, content) in text {
        encoder.add_itxt_chunk((*keyword).into(), (*content).into())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(file)
}

/// A decoded PNG image in 8-bit RGB.
#[derive(Debug, Clone)]
pub struct DecodedImage {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Pixels, row by row; transparency is dropped.
    pub rgb: Vec<u8>,
}

/// Maximum number of pixels to decode: 8192 by 8192.
const MAX_PIXELS: u64 = 1 << 26;

/// Maximum ratio of decoded to encoded bytes: deflate's compression ratio is at most 1032:1.
const MAX_RATIO: u64 = 1032;

/// Decodes a PNG of any colour type, of up to 67 megapixels. The size in its header is checked against the
/// file's length before memory is allocated.
pub fn decode_png(bytes: &[u8]) -> Result<DecodedImage, png::DecodingError> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let info = reader.info();
    let pixels = u64::from(info.width) * u64::from(info.height);
    let bits = pixels.saturating_mul(info.bits_per_pixel() as u64);
    if pixels > MAX_PIXELS || bits / 8 > (bytes.len() as u64).saturating_mul(MAX_RATIO) {
        return Err(png::DecodingError::LimitsExceeded);
    }
    let mut data = vec![0; reader.output_buffer_size().unwrap_or(0)];
    let frame = reader.next_frame(&mut data)?;
    data.truncate(frame.buffer_size());
    let rgb = match frame.color_type {
        png::ColorType::Rgb => data,
        png::ColorType::Rgba => data.chunks_exact(4).flat_map(|pixel| pixel[..3].to_vec()).collect(),
        png::ColorType::GrayscaleAlpha => data.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
        png::ColorType::Grayscale | png::ColorType::Indexed => data.iter().flat_map(|&value| [value; 3]).collect(),
    };
    Ok(DecodedImage { width: frame.width as usize, height: frame.height as usize, rgb })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn png_round_trip() {
        let rgb: Vec<u8> = (0..3 * 20 * 10).map(|at| (at * 7 % 256) as u8).collect();
        let decoded = decode_png(&encode_png(&rgb, 20, 10, &[]).expect("a PNG")).expect("the same");
        assert_eq!((decoded.width, decoded.height, decoded.rgb), (20, 10, rgb));
        // A single colour compresses best.
        let plain = encode_png(&vec![0; 3 * 2000 * 2000], 2000, 2000, &[]).expect("a PNG");
        assert_eq!(decode_png(&plain).expect("the same").rgb.len(), 3 * 2000 * 2000);
    }
}
