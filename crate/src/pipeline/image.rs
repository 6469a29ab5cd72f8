//! Turns the decoder's output into 8-bit colours and a PNG file, and a PNG file into colours.

use crate::num::to_byte;

/// Numbers from -1 to 1, channels last, to 0 to 255: round(255 * clamp(x / 2 + 1 / 2)), as diffusers does.
pub fn to_rgb8(image: &[f32]) -> Vec<u8> {
    image.iter().map(|x| to_byte((x / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0)).collect()
}

/// An 8-bit RGB picture as a PNG file with `text` chunks (keyword, content).
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

/// 8-bit RGB pixels of a PNG file.
pub struct Decoded {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Row by row; transparency is dropped.
    pub rgb: Vec<u8>,
}

/// The most pixels that are decoded: 8192 by 8192.
const MAX_PIXELS: u64 = 1 << 26;

/// How many times its bytes a PNG's pixels may take before they are unpacked: deflate makes no more of a
/// byte.
const MAX_RATIO: u64 = 1032;

/// Reads a PNG of any colour type, of up to 67 megapixels. What it claims to hold is checked against its
/// length before any room is made for it.
pub fn decode_png(bytes: &[u8]) -> Result<Decoded, png::DecodingError> {
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
    Ok(Decoded { width: frame.width as usize, height: frame.height as usize, rgb })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_comes_back_as_it_was() {
        let rgb: Vec<u8> = (0..3 * 20 * 10).map(|at| (at * 7 % 256) as u8).collect();
        let decoded = decode_png(&encode_png(&rgb, 20, 10, &[]).expect("a PNG")).expect("the same");
        assert_eq!((decoded.width, decoded.height, decoded.rgb), (20, 10, rgb));
        // Nothing packs better than one colour.
        let plain = encode_png(&vec![0; 3 * 2000 * 2000], 2000, 2000, &[]).expect("a PNG");
        assert_eq!(decode_png(&plain).expect("the same").rgb.len(), 3 * 2000 * 2000);
    }
}
