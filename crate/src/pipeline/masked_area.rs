//! Inpainting as AUTOMATIC1111 does it, through a blurred mask. "Only masked": the area around the mask is cut out and resized
//! to the size that is generated, and the result is pasted back through the mask. "Whole picture": all of the image is.

use super::error::PipelineError;
use super::generate::GeneratedImages;
use super::image::DecodedImage;
use super::recipe::MaskedAreaSettings;
use super::resize::{bicubic_mask, lanczos, lanczos_mask};
use crate::num::{to_byte, to_f32, to_index};
use crate::sentence::sentence;

/// A rectangle of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

/// An image, its mask and the area that is generated.
#[derive(Debug, Clone)]
pub struct MaskedArea {
    image: DecodedImage,
    /// The blurred mask, 255 where the image is regenerated.
    mask: Vec<u8>,
    /// The mask through which the result is pasted.
    overlay: Vec<u8>,
    area: Area,
    /// Width and height in which the area is generated.
    size: (usize, usize),
}

impl MaskedArea {
    /// Finds the area of an image around its mask, whose white areas are regenerated, which is generated as an image of
    /// `size`, or resizes the whole image to it; returns an error for a black mask.
    pub fn new(
        image: DecodedImage,
        mask: &DecodedImage,
        settings: MaskedAreaSettings,
        size: (usize, usize),
    ) -> Result<MaskedArea, PipelineError> {
        let of = (image.width, image.height);
        let mask = blurred(luminance(mask), of, settings.blur);
        let black = || PipelineError::recipe(sentence!("recipe.black_mask"));
        let area = padded(&mask, of, settings.padding.unwrap_or(0)).ok_or_else(black)?;
        if settings.padding.is_none() {
            return Ok(MaskedArea::whole(image, &mask, size));
        }
        Ok(MaskedArea { image, overlay: mask.clone(), mask, area: expanded(area, size, of), size })
    }

    /// All of an image and its blurred mask, resized ("Just resize"). Pixels that are masked by half are regenerated entirely.
    fn whole(image: DecodedImage, mask: &[u8], size: (usize, usize)) -> MaskedArea {
        let mask = lanczos_mask(mask, (image.width, image.height), size);
        let overlay = mask.iter().map(|value| value.saturating_mul(2)).collect();
        let area = Area { x: 0, y: 0, width: size.0, height: size.1 };
        MaskedArea { image: lanczos(image, size), mask, overlay, area, size }
    }

    /// Returns the image to start from.
    pub fn start(&self) -> DecodedImage {
        let Area { x, y, width, height } = self.area;
        let rows = self.image.rgb.chunks_exact(3 * self.image.width).skip(y).take(height);
        let rgb = rows.flat_map(|row| &row[3 * x..3 * (x + width)]).copied().collect();
        let fit = Fit::inside((width, height), self.size);
        let DecodedImage { rgb, .. } = lanczos(DecodedImage { width, height, rgb }, fit.size);
        DecodedImage { width: self.size.0, height: self.size.1, rgb: fit.extended(&rgb, 3, self.size) }
    }

    /// Returns the mask of that image from 0 to 1: 1 is regenerated. As in the web UI, each of the latents, of `multiple`
    /// pixels, is regenerated or not.
    pub fn start_mask(&self, multiple: usize) -> Vec<f32> {
        let Area { x, y, width, height } = self.area;
        let rows = self.mask.chunks_exact(self.image.width).skip(y).take(height);
        let mask: Vec<u8> = rows.flat_map(|row| &row[x..x + width]).copied().collect();
        let fit = Fit::inside((width, height), self.size);
        let mask = fit.extended(&lanczos_mask(&mask, (width, height), fit.size), 1, self.size);
        let latents = (self.size.0 / multiple, self.size.1 / multiple);
        let latent_mask = bicubic_mask(&mask, self.size, latents);
        let position = |at: usize| at / self.size.0 / multiple * latents.0 + at % self.size.0 / multiple;
        (0..self.size.0 * self.size.1).map(|at| f32::from(latent_mask[position(at)] > 127)).collect()
    }

    /// Returns whole images with the generated ones in the place of the masked area.
    pub fn pasted(&self, generated: GeneratedImages) -> GeneratedImages {
        let GeneratedImages { width, height, rgb, .. } = &generated;
        let images = rgb.chunks_exact(width * height * 3);
        let images =
            images.map(|rgb| self.finished(DecodedImage { width: *width, height: *height, rgb: rgb.to_vec() }));
        let rgb = images.flat_map(|image| image.rgb).collect();
        GeneratedImages { width: self.image.width, height: self.image.height, rgb, ..generated }
    }

    /// Returns the whole image with the generated one in the place of the masked area.
    pub fn finished(&self, generated: DecodedImage) -> DecodedImage {
        let Area { x, y, width, height } = self.area;
        let fit = Fit::around((generated.width, generated.height), (width, height));
        let resized = lanczos(generated, fit.size);
        let mut image = self.image.clone();
        for row in 0..height {
            for column in 0..width {
                let from = 3 * ((row + fit.at.1) * resized.width + column + fit.at.0);
                let to = (y + row) * image.width + x + column;
                let share = u32::from(self.overlay[to]);
                for channel in 0..3 {
                    let (old, new) = (image.rgb[3 * to + channel], resized.rgb[from + channel]);
                    let sum = u32::from(old) * (255 - share) + u32::from(new) * share;
                    image.rgb[3 * to + channel] = u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX);
                }
            }
        }
        image
    }
}

/// Size of an image that is resized in its own proportions, and where it and the wanted size overlap.
struct Fit {
    size: (usize, usize),
    at: (usize, usize),
}

impl Fit {
    /// The largest that fits inside: `at` is its place there ("Resize and fill").
    fn inside(from: (usize, usize), to: (usize, usize)) -> Fit {
        let is_wider = from.0 * to.1 > to.0 * from.1;
        let size = if is_wider { (to.0, from.1 * to.0 / from.0) } else { (from.0 * to.1 / from.1, to.1) };
        let size = (size.0.max(1), size.1.max(1));
        Fit { size, at: (to.0 / 2 - size.0 / 2, to.1 / 2 - size.1 / 2) }
    }

    /// The smallest around it: `at` is the place of the wanted size in it ("Crop and resize").
    fn around(from: (usize, usize), to: (usize, usize)) -> Fit {
        let is_wider = from.0 * to.1 >= to.0 * from.1;
        let size = if is_wider { (from.0 * to.1 / from.1, to.1) } else { (to.0, from.1 * to.0 / from.0) };
        let size = (size.0.max(to.0), size.1.max(to.1));
        Fit { size, at: (size.0 / 2 - to.0 / 2, size.1 / 2 - to.1 / 2) }
    }

    /// Extends an image of this size to the wanted one by repeating its edges.
    fn extended(&self, data: &[u8], channels: usize, to: (usize, usize)) -> Vec<u8> {
        let inside = |at: usize, first: usize, length: usize| at.saturating_sub(first).min(length - 1);
        let pixel = |at: usize| {
            let row = inside(at / to.0, self.at.1, self.size.1);
            let column = inside(at % to.0, self.at.0, self.size.0);
            let first = (row * self.size.0 + column) * channels;
            &data[first..first + channels]
        };
        (0..to.0 * to.1).flat_map(pixel).copied().collect()
    }
}

/// Returns the smallest area with all of the mask and so many pixels around it, within the image; `None` for a black mask.
fn padded(mask: &[u8], (width, height): (usize, usize), padding: usize) -> Option<Area> {
    let row = |at: usize| mask[at * width..(at + 1) * width].iter().any(|&value| value > 0);
    let column = |at: usize| mask.iter().skip(at).step_by(width).any(|&value| value > 0);
    let span = |length: usize, is_masked: &dyn Fn(usize) -> bool| {
        let first = (0..length).find(|&at| is_masked(at))?;
        let end = (0..length).rev().find(|&at| is_masked(at))? + 1;
        let first = first.saturating_sub(padding);
        Some((first, (end + padding).min(length) - first))
    };
    let ((y, height), (x, width)) = (span(height, &row)?, span(width, &column)?);
    Some(Area { x, y, width, height })
}

/// Widens an area to the proportions of `size`, as far as the image reaches.
fn expanded(area: Area, size: (usize, usize), image: (usize, usize)) -> Area {
    let Area { x, y, width, height } = area;
    let proportion = size.0 as f64 / size.1 as f64;
    match width as f64 / height as f64 > proportion {
        true => {
            let (y, height) = widened((y, height), width as f64 / proportion, image.1);
            Area { y, height, ..area }
        }
        false => {
            let (x, width) = widened((x, width), height as f64 * proportion, image.0);
            Area { x, width, ..area }
        }
    }
}

/// Widens a span on both sides to a length, moved back into the image where it leaves it.
fn widened((first, length): (usize, usize), wanted: f64, image: usize) -> (usize, usize) {
    let more = to_index(wanted - length as f64);
    let length = (length + more).min(image);
    ((first.saturating_sub(more / 2)).min(image - length), length)
}

/// Returns the luminance of each pixel, as Pillow computes it.
fn luminance(image: &DecodedImage) -> Vec<u8> {
    let sum = |pixel: &[u8]| {
        let weighted = pixel.iter().zip([19_595_u32, 38_470, 7_471]).map(|(&value, weight)| u32::from(value) * weight);
        (weighted.sum::<u32>() + 0x8000) >> 16
    };
    image.rgb.chunks_exact(3).map(|pixel| u8::try_from(sum(pixel)).unwrap_or(u8::MAX)).collect()
}

/// Blurs a mask by a Gaussian of this standard deviation, 0 for none, with mirrored edges.
fn blurred(mask: Vec<u8>, (width, height): (usize, usize), deviation: usize) -> Vec<u8> {
    if deviation == 0 {
        return mask;
    }
    // The web UI's kernels reach 2.5 deviations.
    let reach = (5 * deviation).div_ceil(2);
    let weight = |at: usize| {
        let distance = at.abs_diff(reach) as f64 / deviation as f64;
        (-distance * distance / 2.0).exp()
    };
    let weights: Vec<f64> = (0..=2 * reach).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    let mirrored = |at: usize, length: usize| {
        let period = (2 * (length - 1)).max(1);
        let at = (at + period * reach.div_ceil(period) - reach) % period;
        at.min(period - at).min(length - 1)
    };
    let blur = |length: usize, at: usize, value: &dyn Fn(usize) -> u8| {
        let taps =
            weights.iter().enumerate().map(|(tap, weight)| weight * f64::from(value(mirrored(at + tap, length))));
        to_byte(to_f32((taps.sum::<f64>() / sum).round()))
    };
    let by_row: Vec<u8> =
        (0..mask.len()).map(|at| blur(width, at % width, &|column| mask[at / width * width + column])).collect();
    (0..mask.len()).map(|at| blur(height, at / width, &|row| by_row[row * width + at % width])).collect()
}
