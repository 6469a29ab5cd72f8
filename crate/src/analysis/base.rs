//! Turns the headers of a base model into its layers at their real sizes.

use crate::adapters::{Places, stored_part};
use crate::formats::{Header, TensorInfo};
use crate::model::single_file::unet_config;
use crate::model::spelling::Spellings;
use crate::model::stored::{open_clip, open_clip_encoder};
use crate::model::{Component, Family, FamilyId, Kind, Module, Stored, Unet};
use std::collections::HashMap;

/// The layers of a base model that one has.
#[derive(Debug, Clone)]
pub struct BaseShapes {
    /// The family whose layer names it has.
    pub family: FamilyId,
    /// Its layers in network order, at their real sizes.
    pub modules: Vec<(Component, Module)>,
    /// Where each tensor is.
    pub tensors: Places,
}

impl BaseShapes {
    /// Recognises the model of these files: one single-file model (no component) or the files of
    /// a diffusers folder. None where fewer than half of the tensors belong to a known network.
    pub fn of(files: &[(Option<Component>, &Header)]) -> Option<BaseShapes> {
        let shapes = files.iter().flat_map(|(_, header)| &header.tensors).map(|tensor| (&*tensor.name, &*tensor.shape));
        let candidates = match unet_config(&shapes.collect()) {
            Some((id, config)) => vec![(id, Some(Unet::new(&config)))],
            None => FamilyId::ALL.map(|id| (id, None)).into(),
        };
        let candidates = candidates.into_iter().filter_map(|(id, unet)| Candidate::new(id, unet, files));
        let best = candidates.reduce(|best, next| if next.score() > best.score() { next } else { best })?;
        best.into_base()
    }

    /// The layers, for look-ups.
    pub fn modules(&self) -> Vec<(Component, &Module)> {
        self.modules.iter().map(|(component, module)| (*component, module)).collect()
    }
}

/// A family as a reading of the files.
struct Candidate {
    id: FamilyId,
    family: Family,
    shapes: HashMap<String, Vec<usize>>,
    tensors: Places,
    /// Weights whose kind of layer and whose sizes are the published ones.
    kinds: usize,
    sizes: usize,
}

impl Candidate {
    /// Reads the files as the published family, with another UNet if its blocks are known.
    fn new(id: FamilyId, unet: Option<Unet>, files: &[(Option<Component>, &Header)]) -> Option<Candidate> {
        let mut family = Family::published(id).ok()?;
        if let Some(unet) = unet {
            family.unet = unet;
        }
        let mut candidate =
            Candidate { id, family, shapes: HashMap::new(), tensors: HashMap::new(), kinds: 0, sizes: 0 };
        candidate.look(files);
        Some(candidate)
    }

    /// Finds the family's tensors in the files.
    fn look(&mut self, files: &[(Option<Component>, &Header)]) {
        let family = self.family.clone();
        let modules = family.modules();
        let spellings = Spellings::new(&modules);
        let joined = open_clip_encoder(self.id);
        for (index, (folder, header)) in files.iter().enumerate() {
            for tensor in &header.tensors {
                let Some((stem, part)) = tensor.name.rsplit_once('.') else { continue };
                let Some((component, module)) = spellings.find_weight(stem, *folder) else { continue };
                self.take(component, module, part, index, (Stored::whole(tensor.name.clone()), tensor));
            }
            let Some((encoder, prefix)) = joined.filter(|_| folder.is_none()) else { continue };
            for &(component, module) in modules.iter().filter(|(component, _)| *component == encoder) {
                for part in ["weight", "bias"] {
                    let Some(stored) = open_clip(prefix, module, part) else { continue };
                    let Some(tensor) = header.get(&stored.key) else { continue };
                    self.take(component, module, part, index, (stored, tensor));
                }
            }
        }
    }

    /// Takes in where a layer's tensor was found.
    fn take(
        &mut self,
        component: Component,
        module: &Module,
        part: &str,
        file: usize,
        (stored, tensor): (Stored, &TensorInfo),
    ) {
        let mut shape = stored_part(tensor, &stored).shape;
        if stored.transposed {
            shape.reverse();
        }
        if part == "weight" {
            let published = module.weight_shape();
            self.kinds += usize::from(published.len() == shape.len());
            self.sizes += usize::from(published == shape);
        }
        let name = format!("{component}.{}.{part}", module.path);
        self.shapes.insert(name.clone(), shape);
        self.tensors.insert(name, (file, stored));
    }

    fn score(&self) -> (usize, usize) {
        (self.kinds, self.sizes)
    }

    fn into_base(self) -> Option<BaseShapes> {
        let mut modules = Vec::new();
        for (component, module) in self.family.modules() {
            let path = format!("{component}.{}", module.path);
            let Some(shape) = self.shapes.get(&format!("{path}.weight")) else { continue };
            let bias = self.shapes.contains_key(&format!("{path}.bias"));
            modules.push((component, Module { kind: resized(module.kind, shape)?, bias, ..module.clone() }));
        }
        (modules.len() * 4 >= self.shapes.len()).then_some(BaseShapes {
            family: self.id,
            modules,
            tensors: self.tensors,
        })
    }
}

/// The same kind of layer at the sizes of a weight's shape; none where the axes do not fit.
fn resized(kind: Kind, shape: &[usize]) -> Option<Kind> {
    Some(match (kind, shape) {
        (Kind::Linear { .. } | Kind::Conv { kernel: 1, .. }, &[outputs, inputs]) => Kind::Linear { inputs, outputs },
        (Kind::Linear { .. }, &[outputs, inputs, 1, 1]) => {
            Kind::Conv { inputs, outputs, kernel: 1, stride: 1, padding: 0 }
        }
        (Kind::Conv { stride, padding, .. }, &[outputs, inputs, kernel, _]) => {
            Kind::Conv { inputs, outputs, kernel, stride, padding }
        }
        (Kind::LayerNorm { eps, .. }, &[width]) => Kind::LayerNorm { width, eps },
        (Kind::GroupNorm { groups, eps, .. }, &[channels]) => Kind::GroupNorm { channels, groups, eps },
        (Kind::Embedding { .. }, &[rows, width]) => Kind::Embedding { rows, width },
        _ => return None,
    })
}
