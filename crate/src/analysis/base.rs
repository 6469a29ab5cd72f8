//! A base model's layers at their actual sizes, from the headers of its files.

use crate::adapters::{Places, stored_part};
use crate::formats::{Header, TensorInfo};
use crate::model::single_file::unet_config;
use crate::model::spelling::KeyTable;
use crate::model::stored::{open_clip, open_clip_encoder};
use crate::model::{Component, Family, FamilyId, Kind, Module, TensorLocation, Unet};
use std::collections::HashMap;

/// The layers of a given base model.
#[derive(Debug, Clone)]
pub struct BaseShapes {
    /// The family that defines its layer names.
    pub family: FamilyId,
    /// Its layers in network order, at their actual sizes.
    pub modules: Vec<(Component, Module)>,
    /// Location of each tensor.
    pub tensors: Places,
}

impl BaseShapes {
    /// Recognizes the model in these files: a single-file checkpoint (no component) or the files of a
    /// diffusers folder. `None` if too few tensors match a known network.
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

    /// Returns the layers by reference, for lookups.
    pub fn modules(&self) -> Vec<(Component, &Module)> {
        self.modules.iter().map(|(component, module)| (*component, module)).collect()
    }
}

/// The files interpreted as a model of one family.
struct Candidate {
    id: FamilyId,
    family: Family,
    shapes: HashMap<String, Vec<usize>>,
    tensors: Places,
    /// Number of weights with as many axes as the published ones.
    kinds: usize,
    /// Number of weights with the published shapes.
    sizes: usize,
}

impl Candidate {
    /// Interprets the files as the published family, with `unet` in place of its UNet if given.
    fn new(id: FamilyId, unet: Option<Unet>, files: &[(Option<Component>, &Header)]) -> Option<Candidate> {
        let mut family = Family::published(id).ok()?;
        if let Some(unet) = unet {
            family.unet = unet;
        }
        let mut candidate =
            Candidate { id, family, shapes: HashMap::new(), tensors: HashMap::new(), kinds: 0, sizes: 0 };
        candidate.match_tensors(files);
        Some(candidate)
    }

    /// Finds the family's tensors in the files.
    fn match_tensors(&mut self, files: &[(Option<Component>, &Header)]) {
        let family = self.family.clone();
        let modules = family.modules();
        let spellings = KeyTable::new(&modules);
        let open_clip_text = open_clip_encoder(self.id);
        for (index, (folder, header)) in files.iter().enumerate() {
            for tensor in &header.tensors {
                let Some((stem, part)) = tensor.name.rsplit_once('.') else { continue };
                let Some((component, module)) = spellings.find_weight(stem, *folder) else { continue };
                self.record(component, module, part, index, (TensorLocation::whole(tensor.name.clone()), tensor));
            }
            let Some((encoder, prefix)) = open_clip_text.filter(|_| folder.is_none()) else { continue };
            for &(component, module) in modules.iter().filter(|(component, _)| *component == encoder) {
                for part in ["weight", "bias"] {
                    let Some(stored) = open_clip(prefix, module, part) else { continue };
                    let Some(tensor) = header.get(&stored.key) else { continue };
                    self.record(component, module, part, index, (stored, tensor));
                }
            }
        }
    }

    /// Records where a layer's tensor was found.
    fn record(
        &mut self,
        component: Component,
        module: &Module,
        part: &str,
        file: usize,
        (stored, tensor): (TensorLocation, &TensorInfo),
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

/// Returns the same kind of layer with the sizes of a weight's shape; `None` if the axes do not match.
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
