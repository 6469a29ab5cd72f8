//! Everything that the plans of an image depend on besides the model.

use serde::{Deserialize, Serialize};

/// Everything that the plans of an image depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Batch size.
    pub images: usize,
    /// Whether the negative prompt is predicted too (classifier-free guidance).
    pub guided: bool,
    /// Predictions per image besides the negative prompt's: 1, or the number of parts of a composed prompt.
    pub prompts: usize,
    /// Height of the latents.
    pub height: usize,
    /// Width of the latents.
    pub width: usize,
    /// Chunks per prompt.
    pub chunks: usize,
    /// Final layers of the text encoders to skip.
    pub clip_skip: usize,
    /// Whether the VAE's encoder is needed (image-to-image).
    pub encodes_image: bool,
}

impl Shape {
    /// Returns the batch size of the UNet and the text encoders.
    pub fn items(&self) -> usize {
        (self.prompts + usize::from(self.guided)) * self.images
    }
}
