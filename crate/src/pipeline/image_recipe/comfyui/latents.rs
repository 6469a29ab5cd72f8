//! Where a sampler's latents come from: an empty image, an image, or another sampler's result, made larger.

use std::collections::HashSet;

use super::graph::{Link, Node};
use super::trace::Trace;
use crate::pipeline::recipe_draft::file_stem;

/// Inputs that lead to the source of an image or latent.
pub(super) const IMAGES: [&str; 9] =
    ["samples", "latent_image", "latent", "latents", "optional_latent", "pixels", "image", "images", "pipe"];

/// The source of a sampler's latents.
#[derive(Default)]
pub(super) struct Source<'g> {
    /// Size of an empty image.
    pub(super) size: Option<(usize, usize)>,
    /// The sampler whose result it is.
    pub(super) sampler: Option<&'g Node>,
    /// The loader of an image.
    pub(super) image: Option<&'g Node>,
    /// Factor of the enlargement; `None` for an unknown one.
    pub(super) scale: Option<f64>,
    /// Size after the enlargement.
    pub(super) target: Option<(usize, usize)>,
    /// Whether pixels were enlarged, not latents.
    pub(super) is_of_pixels: bool,
    /// Name of the network that enlarged them.
    pub(super) network: Option<String>,
}

impl<'g> Trace<'g> {
    /// Walks from a sampler's latent to its source.
    pub(super) fn source(&mut self, link: &'g Link) -> Source<'g> {
        let mut source = Source { scale: Some(1.0), ..Source::default() };
        let mut seen = HashSet::new();
        let mut next = Some(link);
        while let Some(node) = next.and_then(|link| self.follow(link)) {
            if !seen.insert(&node.id) {
                self.name(node, "it is part of a circle");
                break;
            }
            if self.is_sampler(node) {
                source.sampler = Some(node);
                break;
            }
            if node.is("loadimage") || node.is("load image") {
                source.image = Some(node);
                break;
            }
            next = node.link(&IMAGES);
            let size = self.size(node);
            if next.is_none() || (node.has("ckpt_name") && size.is_some()) {
                source.size = size;
                if size.is_none() {
                    self.name(node, "the size of the image cannot be told");
                }
                self.batch(node);
                break;
            }
            self.enlargement(node, size, &mut source);
        }
        source
    }

    /// Notes what a node between two samplers does to the image.
    fn enlargement(&mut self, node: &'g Node, size: Option<(usize, usize)>, source: &mut Source<'g>) {
        let factor: Option<f64> = self.number(node, &["scale_by", "upscale_by", "rescale_factor"]);
        match (factor, size) {
            _ if node.is("vaeencode") => {
                source.is_of_pixels = true;
                if node.is("inpaint") {
                    self.name_unsupported(node);
                }
            }
            _ if node.is("vaedecode") || node.is("pipe") || node.is("presampling") => {}
            // The sizes nearest to the second sampler win: they are met first.
            (Some(factor), _) => source.scale = source.scale.map(|scale| scale * factor),
            (None, Some(size)) if node.is("scale") => _ = source.target.get_or_insert(size),
            _ if node.is("upscale") => {
                let loader = node.link(&["upscale_model"]).and_then(|link| self.follow(link));
                let network = loader.and_then(|loader| self.choice(loader, &["model_name"]));
                source.network = network.map(|name| file_stem(name).to_owned());
                source.scale = None;
                if source.network.is_none() {
                    self.name(node, "the network that enlarges the image cannot be told: pixels are interpolated");
                }
            }
            _ => self.name_unsupported(node),
        }
    }

    /// The size that a node sets.
    fn size(&mut self, node: &'g Node) -> Option<(usize, usize)> {
        let width = self.number(node, &["width", "empty_latent_width"])?;
        let height = self.number(node, &["height", "empty_latent_height"])?;
        Some((width, height)).filter(|size| size.0 > 0 && size.1 > 0)
    }

    fn batch(&mut self, node: &'g Node) {
        if self.number::<u32>(node, &["batch_size"]).is_some_and(|size| size > 1) {
            self.name(node, "the image is one of several that were drawn at once");
        }
    }
}
