//! Windows of a feature map as rows of a matrix: convolutions are products of these rows and the filters.

/// A feature map (B, H, W, C), upsampled to its nearest pixels and padded with zeros, and the windows that a convolution
/// reads.
#[derive(Debug, Clone, Copy)]
pub struct Windows<'a> {
    /// Elements of the feature map.
    pub data: &'a [f32],
    /// Height and width of the feature map.
    pub size: (usize, usize),
    /// Number of channels.
    pub channels: usize,
    /// Height and width after upsampling.
    pub upsampled: (usize, usize),
    /// Height and width of a window.
    pub kernel: usize,
    /// Distance of adjacent windows on both axes.
    pub stride: usize,
    /// Zero padding at the top and left.
    pub padding: usize,
    /// Number of windows per column and row of the map.
    pub windows: (usize, usize),
}

impl Windows<'_> {
    /// Writes elements (kernel, kernel, C) of the window with this index, from element `start` on.
    pub fn copy(&self, index: usize, start: usize, out: &mut [f32]) {
        let (rows, columns) = self.windows;
        let (item, row, column) = (index / (rows * columns), index / columns % rows, index % columns);
        let (height, width) = self.size;
        let (mut tap, mut channel) = (start / self.channels, start % self.channels);
        let mut rest = out;
        while !rest.is_empty() {
            let (part, others) = rest.split_at_mut(rest.len().min(self.channels - channel));
            let y = self.source(row, tap / self.kernel, height, self.upsampled.0);
            let x = self.source(column, tap % self.kernel, width, self.upsampled.1);
            match y.zip(x) {
                Some((y, x)) => {
                    let pixel = (item * height + y) * width + x;
                    part.copy_from_slice(&self.data[pixel * self.channels + channel..][..part.len()]);
                }
                None => part.fill(0.0),
            }
            (rest, tap, channel) = (others, tap + 1, 0);
        }
    }

    /// Returns the map's row or column that a window reads at this tap, or None in the padding.
    fn source(&self, window: usize, tap: usize, length: usize, upsampled: usize) -> Option<usize> {
        let position =
            (window * self.stride + tap).checked_sub(self.padding).filter(|&position| position < upsampled)?;
        Some(position * length / upsampled)
    }
}
