//! Upscaling networks: a file and an image → the image enlarged, tile by tile.

use super::error::PipelineError;
use super::image::DecodedImage;
use super::recipe_draft::file_stem;
use super::resize::lanczos;
use super::said;
use super::tiles::{Tiling, crop, join};
use crate::device::{Device, Runner, Tensor};
use crate::gpu::KernelConfig;
use crate::model::{UpscalerError, UpscalerNet};
use crate::num::{to_byte, to_index};
use crate::plan::{UPSCALER, upscaler, upscaler_strip};
use crate::sentence::sentence;
use crate::weights::TensorFile;
use std::collections::HashMap;

/// Maximum number of times that a network is applied to its own result.
const MAX_PASSES: usize = 3;

/// Order of an image's channels in a network's input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// As the networks were trained.
    Rgb,
    /// As AUTOMATIC1111 gives them.
    Bgr,
}

/// A file with an upscaling network.
pub struct UpscalerFile {
    /// The network.
    pub net: UpscalerNet,
    /// The file.
    pub file: TensorFile,
}

/// Progress of an enlargement: tiles done, and all of this pass. An error stops it.
pub type OnTile<'a> = &'a mut dyn FnMut(usize, usize) -> Result<(), PipelineError>;

impl UpscalerFile {
    /// Reads the network of a file.
    pub fn open(file: TensorFile) -> Result<UpscalerFile, PipelineError> {
        let tensors = file.header.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
        let invalid = |error: UpscalerError| PipelineError::InvalidFile {
            file: file.name.clone(),
            reason: said::upscaler(&error).into(),
        };
        let net = UpscalerNet::of(tensors).map_err(invalid)?;
        Ok(UpscalerFile { net, file })
    }
}

/// Returns whether a recipe's name of an upscaler is that of this file.
pub fn is_named(name: &str, file: &str) -> bool {
    file_stem(name).eq_ignore_ascii_case(file_stem(file))
}

/// An upscaling network on a device.
pub struct Enlarger<'a> {
    device: &'a Device,
    config: &'a KernelConfig,
    upscaler: &'a UpscalerFile,
    tiling: Tiling,
    channels: Channels,
    weights: HashMap<String, Tensor>,
    /// The network for tiles of this width and height.
    runner: Option<([usize; 2], Runner)>,
}

impl<'a> Enlarger<'a> {
    /// Prepares a network; its weights are loaded with the first tile.
    pub fn new(
        device: &'a Device,
        config: &'a KernelConfig,
        upscaler: &'a UpscalerFile,
        tiling: Tiling,
        channels: Channels,
    ) -> Enlarger<'a> {
        Enlarger { device, config, upscaler, tiling, channels, weights: HashMap::new(), runner: None }
    }

    /// Enlarges an image to a size as AUTOMATIC1111 does: by the network, again while it is too small, then by Lanczos.
    pub async fn enlarge(
        &mut self,
        image: DecodedImage,
        to: (usize, usize),
        on_tile: OnTile<'_>,
    ) -> Result<DecodedImage, PipelineError> {
        let scale = (to.0 as f64 / image.width as f64).max(to.1 as f64 / image.height as f64);
        let wanted = [image.width, image.height].map(|length| to_index(length as f64 * scale) / 8 * 8);
        if scale <= 1.0 {
            return Ok(lanczos(image, to));
        }
        let mut image = image;
        for _ in 0..if self.upscaler.net.scale == 1 { 1 } else { MAX_PASSES } {
            if image.width >= wanted[0] && image.height >= wanted[1] {
                break;
            }
            image = self.once(&image, on_tile).await?;
        }
        Ok(lanczos(lanczos(image, wanted.into()), to))
    }

    /// Enlarges an image by the network's scale.
    pub async fn once(&mut self, image: &DecodedImage, on_tile: OnTile<'_>) -> Result<DecodedImage, PipelineError> {
        let ((width, columns), (height, rows)) = (self.tiling.along(image.width), self.tiling.along(image.height));
        let (scale, tiles) = (self.upscaler.net.scale, columns.len() * rows.len());
        let (overlap, mut done) = (self.tiling.overlap * scale, 0);
        let mut bands = Vec::new();
        for &y in &rows {
            let mut band = Vec::new();
            for &x in &columns {
                on_tile(done, tiles)?;
                let tile = crop(image, (x, y), (width, height));
                let tile = self.tile(&tile, &mut || on_tile(done, tiles)).await?;
                done += 1;
                band.push((x * scale, tile));
            }
            bands.push((y * scale, join(&band, image.width * scale, overlap, false)));
        }
        on_tile(done, tiles)?;
        Ok(join(&bands, image.height * scale, overlap, true))
    }

    /// Enlarges a tile.
    async fn tile(
        &mut self,
        tile: &DecodedImage,
        on_portion: &mut dyn FnMut() -> Result<(), PipelineError>,
    ) -> Result<DecodedImage, PipelineError> {
        let (scale, multiple) = (self.upscaler.net.scale, self.upscaler.net.size_multiple());
        let size = [tile.width, tile.height].map(|length| length.next_multiple_of(multiple));
        let runner = match self.runner.take() {
            Some((planned, runner)) if planned == size => runner,
            _ => self.runner(size).await?,
        };
        let channel = |index: usize| if self.channels == Channels::Bgr { 2 - index } else { index };
        let mut input = Vec::with_capacity(3 * size[0] * size[1]);
        for at in 0..size[0] * size[1] {
            // What is missing of a multiple is mirrored.
            let (x, y) = (mirrored(at % size[0], tile.width), mirrored(at / size[0], tile.height));
            let pixel = &tile.rgb[3 * (y * tile.width + x)..];
            input.extend((0..3).map(|index| f32::from(pixel[channel(index)]) / 255.0));
        }
        runner.set("image", &input)?;
        let enlarged = runner.compute_cancellable("enlarged", on_portion).await?;
        if enlarged.iter().any(|value| !value.is_finite()) {
            let layer = runner.find_non_finite().await?;
            let (when, hint) = (sentence!("image.at_upscaling"), sentence!("image.hint_upscaler"));
            return Err(PipelineError::not_finite(when, sentence!("image.upscaler"), layer, hint));
        }
        self.runner = Some((size, runner));
        let (width, height, row) = (tile.width * scale, tile.height * scale, 3 * size[0] * scale);
        let value = |at: usize| to_byte(enlarged[at].clamp(0.0, 1.0) * 255.0);
        let pixel = |y: usize, x: usize| (0..3).map(move |index| value(y * row + 3 * x + channel(index)));
        let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(y, x))).collect();
        Ok(DecodedImage { width, height, rgb })
    }

    /// Plans the network for tiles of this width and height, and loads its weights if they are not there.
    async fn runner(&mut self, [width, height]: [usize; 2]) -> Result<Runner, PipelineError> {
        let plan = upscaler(&self.upscaler.net, height, width)?;
        let limit = upscaler_strip(&plan, self.config.max_binding);
        let plan = plan.strip_mined(limit)?.fuse_epilogues();
        for (name, layout, _) in plan.weights() {
            let key = name.strip_prefix(UPSCALER).and_then(|name| name.strip_prefix('.')).unwrap_or(name);
            if let Some(tensor) = self.upscaler.file.header.get(key).filter(|_| !self.weights.contains_key(name)) {
                let data = layout.arrange(self.upscaler.file.read(tensor).await?, &tensor.shape);
                self.weights.insert(name.into(), self.device.upload(name, &data).await?);
            }
        }
        let runner = Runner::new(self.device, self.config, &plan, &|name| self.weights.get(name).cloned()).await?;
        runner.set_scalars(&vec![1.0; plan.scalars.len()]);
        Ok(runner)
    }
}

/// Returns the position that a position beyond the end mirrors, without repeating the last one.
fn mirrored(position: usize, length: usize) -> usize {
    if position < length { position } else { (2 * length).saturating_sub(position + 2).min(length - 1) }
}
