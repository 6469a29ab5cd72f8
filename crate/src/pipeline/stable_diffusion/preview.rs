//! Published maps from Stable Diffusion's latents to previews.

use crate::model::{FamilyId, VaeConfig};
use crate::pipeline::preview::Previewer;

/// Returns ComfyUI's factors (`latent_rgb_factors`) if the VAE has the published architecture.
pub fn published(config: &VaeConfig, family: FamilyId) -> Option<Previewer> {
    if config.latent_channels != 4 || config.block_out_channels != [128, 256, 512, 512] {
        return None;
    }
    Some(match family {
        FamilyId::Sd15 | FamilyId::Sd21 => Previewer::new(
            vec![
                [0.3512, 0.2297, 0.3227],
                [0.3250, 0.4974, 0.2350],
                [-0.2829, 0.1762, 0.2721],
                [-0.2120, -0.2616, -0.7177],
            ],
            [0.0; 3],
        ),
        FamilyId::Sdxl => Previewer::new(
            vec![
                [0.3651, 0.4232, 0.4341],
                [-0.2533, -0.0042, 0.1068],
                [0.1076, 0.1111, -0.0362],
                [-0.3165, -0.2492, -0.2188],
            ],
            [0.1084, -0.0175, -0.0011],
        ),
    })
}
