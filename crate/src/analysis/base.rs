//! Turns the headers of a base model into its layers at their real sizes.

use crate::formats::Header;
use crate::model::single_file::unet_config;
use crate::model::spelling::Spellings;
use crate::model::{Component, Family, FamilyId, Kind, Module, Unet};
use std::collections::HashMap;

/// The layers of a base model that one has.
#[derive(Debug, Clone)]
pub struct BaseShapes {
    /// The family whose layer names it has.
    pub family: FamilyId,
    /// Its layers in network order, at their real sizes.
    pub modules: Vec<(Component, Module)>,
    /// Where each tensor is: full name (`unet.conv_in.weight`) to the index of its file and its
    /// name there.
    pub tensors: HashMap<String, (usize, String)>,
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
    tensors: HashMap<String, (usize, String)>,
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
        let modules = family.modules();
        let spellings = Spellings::new(&modules);
        let (mut shapes, mut tensors) = (HashMap::new(), HashMap::new());
        let (mut kinds, mut sizes) = (0, 0);
        for (index, (folder, header)) in files.iter().enumerate() {
            for tensor in &header.tensors {
                let Some((stem, part)) = tensor.name.rsplit_once('.') else { continue };
                let Some((component, module)) = spellings.find_weight(stem, *folder) else { continue };
                if part == "weight" {
                    let published = module.weight_shape();
                    kinds += usize::from(published.len() == tensor.shape.len());
                    sizes += usize::from(published == tensor.shape);
                }
                let name = format!("{component}.{}.{part}", module.path);
                shapes.insert(name.clone(), tensor.shape.clone());
                tensors.insert(name, (index, tensor.name.clone()));
            }
        }
        drop(spellings);
        drop(modules);
        Some(Candidate { id, family, shapes, tensors, kinds, sizes })
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
