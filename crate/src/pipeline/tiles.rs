//! Images in overlapping tiles, as the web UIs enlarge them: how they are cut, and put together with ramps.

use super::image::DecodedImage;
use crate::num::to_index;

/// Size and overlap of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Height and width of a tile in pixels of the original; 0 for the whole image.
    pub size: usize,
    /// Pixels of the original over which a tile fades into the next one.
    pub overlap: usize,
}

impl Default for Tiling {
    /// AUTOMATIC1111's default.
    fn default() -> Tiling {
        Tiling { size: 192, overlap: 8 }
    }
}

impl Tiling {
    /// Returns the length of the tiles along an axis, and where they start. They are evenly spaced, so that they overlap
    /// by at least [`Tiling::overlap`].
    pub fn along(self, length: usize) -> (usize, Vec<usize>) {
        if self.size == 0 || self.size >= length || self.size <= self.overlap {
            return (length, vec![0]);
        }
        let count = (length - self.overlap).div_ceil(self.size - self.overlap);
        let last = length - self.size;
        let step = last as f64 / (count - 1) as f64;
        (self.size, (0..count).map(|index| to_index(index as f64 * step).min(last)).collect())
    }
}

/// Cuts a part out of an image.
pub fn crop(image: &DecodedImage, (x, y): (usize, usize), (width, height): (usize, usize)) -> DecodedImage {
    let row = |row: usize| &image.rgb[3 * ((y + row) * image.width + x)..][..3 * width];
    DecodedImage { width, height, rgb: (0..height).flat_map(row).copied().collect() }
}

/// Puts tiles together along an axis: each fades in over its first `overlap` pixels, over those before it.
/// `tiles` have the pixel at which each starts; all have the image's length on the other axis.
pub fn join(tiles: &[(usize, DecodedImage)], length: usize, overlap: usize, is_vertical: bool) -> DecodedImage {
    let Some((_, first)) = tiles.first() else { return DecodedImage { width: 0, height: 0, rgb: Vec::new() } };
    let (width, height) = if is_vertical { (first.width, length) } else { (length, first.height) };
    let mut joined = DecodedImage { width, height, rgb: vec![0; 3 * width * height] };
    for (start, tile) in tiles {
        for row in 0..tile.height {
            let to = if is_vertical { (start + row) * width } else { row * width + start };
            let line = &mut joined.rgb[3 * to..][..3 * tile.width];
            for (at, (out, &new)) in line.iter_mut().zip(&tile.rgb[3 * row * tile.width..]).enumerate() {
                let along = if is_vertical { row } else { at / 3 };
                *out = if *start == 0 || along >= overlap { new } else { blend(*out, new, along * 255 / overlap) };
            }
        }
    }
    joined
}

/// Mixes two values by a weight of 0 to 255, rounded as Pillow does.
fn blend(old: u8, new: u8, weight: usize) -> u8 {
    let sum = usize::from(old) * (255 - weight) + usize::from(new) * weight + 128;
    u8::try_from((sum + (sum >> 8)) >> 8).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_image_and_overlap() {
        let tiling = Tiling::default();
        assert_eq!(tiling.along(192), (192, vec![0]));
        assert_eq!(tiling.along(100), (100, vec![0]));
        assert_eq!(tiling.along(512), (192, vec![0, 160, 320]));
        assert_eq!(tiling.along(193), (192, vec![0, 1]));
        for length in 200..1200 {
            let (size, starts) = tiling.along(length);
            assert_eq!(starts.last().map(|start| start + size), Some(length));
            assert!(starts.windows(2).all(|pair| pair[1] > pair[0] && pair[0] + size >= pair[1] + tiling.overlap));
        }
    }

    #[test]
    fn parts_of_an_image_join_to_it() {
        let rgb = (0..3 * 40 * 30).map(|at| (at * 31 % 256) as u8).collect();
        let image = DecodedImage { width: 40, height: 30, rgb };
        let tiling = Tiling { size: 16, overlap: 3 };
        let (size, starts) = tiling.along(image.width);
        let columns: Vec<_> = starts.iter().map(|&x| (x, crop(&image, (x, 0), (size, image.height)))).collect();
        assert_eq!(join(&columns, image.width, 3, false).rgb, image.rgb);
        let (size, starts) = tiling.along(image.height);
        let rows: Vec<_> = starts.iter().map(|&y| (y, crop(&image, (0, y), (image.width, size)))).collect();
        assert_eq!(join(&rows, image.height, 3, true).rgb, image.rgb);
    }
}
