//! Turns the decoder's output into 8-bit colours and a PNG file.

/// Numbers from -1 to 1, channels last, to 0 to 255: round(255 * clamp(x / 2 + 1 / 2)), as diffusers does.
pub fn to_rgb8(image: &[f32]) -> Vec<u8> {
    image.iter().map(|x| ((x / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8).collect()
}

/// An 8-bit RGB picture as a PNG file with `text` chunks (keyword, content).
pub fn encode_png(
    rgb: &[u8],
    width: usize,
    height: usize,
    text: &[(&str, &str)],
) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
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
