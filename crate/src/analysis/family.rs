//! Turns names and shapes of an adapter's tensors into the family of models it was made for.
//!
//! Layers count before metadata, which is often wrong or missing: names say which networks are possible, the kind of
//! layers and their sizes decide between them, and metadata breaks ties. Metadata is called wrong only where the layers
//! prove it; a file that no network explains is for a model that is not known.

use super::report::Report;
use super::signature::{self, said};
use super::sizes::Sizes;
use crate::adapters::{Group, locate};
use crate::model::spelling::{ModuleMatch, NamingScheme, Role, Spellings};
use crate::model::{Architecture, Component, Family, FamilyId, Kind, Module, ModuleSource};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::{LazyLock, OnceLock};

/// A network's layers under all their names, made once and kept: every report looks its keys up.
struct Listed {
    name: &'static str,
    label: &'static str,
    /// The family, where it can be drawn with.
    id: Option<FamilyId>,
    /// Its layers, counted in diffusers' naming where there are two.
    layers: Layers,
    spellings: &'static Spellings<'static>,
}

/// The families that can be drawn with.
static PUBLISHED: LazyLock<Vec<Listed>> = LazyLock::new(|| {
    let published = FamilyId::ALL.into_iter().filter_map(|id| {
        let family: &'static Family = Box::leak(Box::new(Family::published(id).ok()?));
        let spellings: &'static Spellings = Box::leak(Box::new(Spellings::new(&family.modules())));
        Some(Listed { name: id.name(), label: id.label(), id: Some(id), layers: Layers::Family(family), spellings })
    });
    published.collect()
});

/// The families of architectures/, each made when it is first asked for.
static TABLES: LazyLock<Vec<(&'static str, OnceLock<Vec<Listed>>)>> =
    LazyLock::new(|| Architecture::families().map(|family| (family, OnceLock::new())).collect());

/// The published sizes of a family of architectures/.
fn sizes(family: &str) -> &'static [Listed] {
    let table = TABLES.iter().find(|(name, _)| *name == family);
    table.map_or(&[], |(name, listed)| {
        listed.get_or_init(|| {
            let list = Architecture::of(name).into_iter().map(|architecture| {
                let architecture: &'static Architecture = Box::leak(Box::new(architecture));
                let spellings: &'static Spellings = Box::leak(Box::new(Spellings::new(&architecture.modules())));
                let layers = Layers::Architecture(architecture, ModuleSource::Diffusers);
                Listed { name, label: architecture.label, id: None, layers, spellings }
            });
            list.collect()
        })
    })
}

/// The family of models that a file was made for.
#[derive(Clone)]
pub struct Detected {
    /// `sd15`, …, or `unknown`.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// What says so.
    pub evidence: Vec<String>,
    /// The family, where it can be drawn with.
    pub id: Option<FamilyId>,
    /// The layers of the family, where they are listed.
    pub layers: Option<Layers>,
    /// The layer of each group.
    pub found: Vec<Option<ModuleMatch<'static>>>,
    /// Whether the sizes are those of the published model.
    pub published_sizes: bool,
    /// The family that the metadata names, where it is another one.
    pub contradicted: Option<&'static str>,
}

/// Where a family's layers are listed.
#[derive(Debug, Clone, Copy)]
pub enum Layers {
    /// In the configs of a model that can be drawn with.
    Family(&'static Family),
    /// In a table, counted in one of its two namings.
    Architecture(&'static Architecture, ModuleSource),
}

impl Layers {
    /// Every layer under every name, for look-ups.
    pub fn modules(self) -> Vec<(Component, &'static Module)> {
        match self {
            Layers::Family(family) => family.modules(),
            Layers::Architecture(architecture, _) => architecture.modules(),
        }
    }

    /// The layers as the file counts them.
    pub fn counted(self) -> Vec<(Component, &'static Module)> {
        match self {
            Layers::Family(family) => family.modules(),
            Layers::Architecture(architecture, naming) => architecture.modules_of(naming),
        }
    }
}

/// Names the family of a file's groups. `base` is the model that the file is meant for, if known.
pub fn detect(
    groups: &[Group],
    metadata: &BTreeMap<String, String>,
    base: Option<(FamilyId, &[(Component, &Module)])>,
) -> Detected {
    let named = said(metadata);
    let shown: Vec<Option<Sizes>> = groups.iter().map(Sizes::of).collect();
    let mut fits: Vec<Fit> = Vec::new();
    for listed in PUBLISHED.iter() {
        let mut fit = Fit::of(listed, groups, &shown);
        if let Some((_, modules)) = base.filter(|&(base, _)| Some(base) == listed.id) {
            fit.at_base = Fit::at(listed, groups, &shown, &locate(groups, &Spellings::new(modules))).sizes;
        }
        fits.push(fit);
    }
    for row in signature::fitting(groups, named) {
        let own = sizes(&row.name).iter().map(|listed| Fit::of(listed, groups, &shown));
        // Of a family's sizes, the one with the fewest blocks that has all of the file's, and of equals the first.
        fits.extend(own.reduce(|best, next| if next.size_score() > best.size_score() { next } else { best }));
    }
    for fit in &mut fits {
        fit.said = named == Some(fit.name);
    }
    // Of equals one counts whose blocks the file has all, and the first where there is none.
    let best = fits.iter().map(Fit::score).max();
    let equals: Vec<usize> = (0..fits.len()).filter(|&at| Some(fits[at].score()) == best).collect();
    let at = match equals[..] {
        [at] => Some(at),
        _ => equals.iter().copied().find(|&at| fits[at].has_all_blocks()).or(equals.first().copied()),
    };
    let at = at.filter(|&at| fits[at].is_known(groups.len()));
    let contradicted = named.filter(|named| {
        let said = fits.iter().find(|fit| fit.name == *named);
        at.zip(said).is_some_and(|(at, said)| fits[at].disproves(said, groups.len()))
    });
    let mut found = match at {
        Some(at) => fits.swap_remove(at).detected(groups.len()),
        None => unknown(),
    };
    found.evidence.extend(signature::quoted(metadata));
    found.contradicted = contradicted;
    found
}

/// A layer for each group under the file's own name for it, where no family is known.
pub fn own_layers(groups: &[Group]) -> Vec<Module> {
    let module = |group: &Group| {
        let sizes = Sizes::of(group).unwrap_or_default();
        let (outputs, inputs) = (sizes.outputs.unwrap_or(1), sizes.inputs.unwrap_or(1));
        let kernel = [Role::Down, Role::Diff].iter().find_map(|role| group.get(*role)).map(|tensor| &*tensor.shape);
        let kind = match kernel {
            Some(&[_, _, kernel, _]) => Kind::Conv { inputs, outputs, kernel, stride: 1, padding: 0 },
            _ => Kind::Linear { inputs, outputs },
        };
        Module::new(group.stem.clone(), group.stem.clone(), kind)
    };
    groups.iter().map(module).collect()
}

/// Whether `fits` says so of the layers of any family that can be drawn with.
pub fn any_published(fits: impl Fn(&Spellings) -> bool) -> bool {
    PUBLISHED.iter().any(|listed| fits(listed.spellings))
}

/// The layers of a report's family under all their names.
pub fn spellings_of(report: &Report) -> Option<&'static Spellings<'static>> {
    let base = &report.base;
    let mut listed = PUBLISHED.iter().chain(sizes(&base.family));
    let found = listed.find(|listed| listed.name == base.family && listed.label == base.label)?;
    Some(found.spellings)
}

/// No family that is known.
fn unknown() -> Detected {
    Detected {
        name: "unknown".into(),
        label: "a model that is not known here".into(),
        evidence: Vec::new(),
        id: None,
        layers: None,
        found: Vec::new(),
        published_sizes: false,
        contradicted: None,
    }
}

/// How well a family explains a file.
struct Fit {
    name: &'static str,
    label: &'static str,
    id: Option<FamilyId>,
    layers: Layers,
    found: Vec<Option<ModuleMatch<'static>>>,
    /// Layers that the family has.
    layers_listed: usize,
    /// Whether its names alone show it.
    any_size: bool,
    /// Groups whose layer the family has.
    named: usize,
    /// Of those, under the authors' names of parts that diffusers splits, and the other way round.
    native: usize,
    diffusers: usize,
    /// Of those, with a convolution's tensors for a linear layer or the other way round.
    wrong_kind: usize,
    /// Of those, with the layer's input width.
    sizes: usize,
    sized: usize,
    /// The same, in the base that the file is meant for.
    at_base: usize,
    /// Whether the metadata names the family.
    said: bool,
    cross: Option<(usize, usize)>,
    proj_in: Option<bool>,
    last_text_layer: Option<usize>,
    second_encoder: usize,
}

impl Fit {
    fn of(listed: &Listed, groups: &[Group], shown: &[Option<Sizes>]) -> Fit {
        let found = locate(groups, listed.spellings);
        let mut fit = Fit { found: found.clone(), ..Fit::at(listed, groups, shown, &found) };
        if let Layers::Architecture(architecture, _) = listed.layers {
            let naming = if fit.native > fit.diffusers { ModuleSource::Native } else { ModuleSource::Diffusers };
            fit.layers = Layers::Architecture(architecture, naming);
        }
        fit
    }

    /// How well a family explains a file whose groups, which show these sizes, mean these layers.
    fn at(listed: &Listed, groups: &[Group], shown: &[Option<Sizes>], found: &[Option<ModuleMatch>]) -> Fit {
        let mut fit = Fit {
            name: listed.name,
            label: listed.label,
            id: listed.id,
            layers: listed.layers,
            found: Vec::new(),
            layers_listed: listed.spellings.modules().len(),
            any_size: signature::row(listed.name).is_some_and(|row| row.any_size),
            named: 0,
            native: 0,
            diffusers: 0,
            wrong_kind: 0,
            sizes: 0,
            sized: 0,
            at_base: 0,
            said: false,
            cross: None,
            proj_in: None,
            last_text_layer: None,
            second_encoder: 0,
        };
        for ((group, shown), found) in groups.iter().zip(shown).zip(found) {
            if let Some(found) = found {
                fit.native += usize::from(found.names == NamingScheme::Native);
                fit.diffusers += usize::from(found.names == NamingScheme::Diffusers);
                fit.take(group, *shown, found.component, found.module);
            }
        }
        fit
    }

    fn take(&mut self, group: &Group, shown: Option<Sizes>, component: Component, module: &Module) {
        self.named += 1;
        match component {
            Component::TextEncoder2 => self.second_encoder += 1,
            Component::TextEncoder => self.last_text_layer = self.last_text_layer.max(layer_number(&module.path)),
            _ => {}
        }
        let Some(shown) = shown else { return };
        self.sized += 1;
        self.sizes += usize::from(shown.fit(module));
        self.wrong_kind += usize::from(shown.wrong_kind(module));
        let wanted = match module.kind {
            Kind::Linear { inputs, .. } | Kind::Conv { inputs, .. } => inputs,
            _ => return,
        };
        if module.path.ends_with("attn2.to_k") || module.path.ends_with("attn2.to_v") {
            self.cross = shown.inputs.map(|found| (found, wanted));
        }
        if module.path.ends_with("proj_in") {
            let kernel = group.get(Role::Down).or(group.get(Role::Diff));
            self.proj_in = kernel.map(|tensor| tensor.shape.len() == 4);
        }
    }

    fn score(&self) -> (usize, usize, usize, bool) {
        (self.named - self.wrong_kind.min(self.named), self.at_base, self.sizes, self.said)
    }

    /// Whether the file has its layers in every block of the family that has such layers.
    fn has_all_blocks(&self) -> bool {
        let own: HashSet<&str> = self.found.iter().flatten().map(|found| found.module.path.as_str()).collect();
        let kinds: HashSet<String> = own.iter().map(|path| signature::plain(path)).collect();
        let modules = self.layers.modules();
        let mut alike = modules.iter().filter(|(_, module)| kinds.contains(&signature::plain(&module.path)));
        alike.all(|(_, module)| own.contains(module.path.as_str()))
    }

    /// The order among the sizes of one family.
    fn size_score(&self) -> (usize, usize, Reverse<usize>) {
        (self.named, self.sizes, Reverse(self.layers_listed))
    }

    /// Whether most of the sizes that the file shows are the family's.
    fn has_sizes(&self) -> bool {
        self.sizes * 2 > self.sized || self.sized == 0
    }

    /// Whether the family explains so much of a file that it is said to be its family. The UNets are told by their
    /// names, which no other network has, and come in other sizes; names of transformers are shared by many.
    fn is_known(&self, groups: usize) -> bool {
        let enough =
            if self.id.is_some() || self.said { self.named * 2 >= groups } else { self.named * 4 >= groups * 3 };
        self.named > 0 && enough && (self.id.is_some() || self.said || self.any_size || self.has_sizes())
    }

    /// Whether it shows that a file is not for another family that the header names.
    fn disproves(&self, said: &Fit, groups: usize) -> bool {
        let sure = self.named * 10 >= groups * 9 && self.sized > 0 && self.has_sizes();
        sure && (said.named * 4 < self.named * 3 || said.sizes * 2 < self.sizes)
    }

    fn detected(self, groups: usize) -> Detected {
        let published_sizes = self.has_sizes();
        let row = signature::row(self.name);
        let label = match row {
            Some(row) if self.id.is_none() && !published_sizes => row.label.as_str(),
            _ => self.label,
        };
        let mut evidence = Vec::new();
        evidence.push(format!("{} of {groups} layers have names of {label}", self.named));
        match self.cross {
            Some((found, wanted)) if found == wanted => {
                evidence.push(format!("cross-attention input {found} wide: {label}"));
            }
            Some((found, wanted)) => {
                evidence.push(format!("cross-attention input {found} wide, where {label} has {wanted}"));
            }
            None => {}
        }
        match self.proj_in {
            Some(true) => evidence.push("proj_in is a 1x1 convolution: Stable Diffusion 1.x".into()),
            Some(false) => evidence.push("proj_in is linear: Stable Diffusion 2.x or XL".into()),
            None => {}
        }
        if let Some(last) = self.last_text_layer {
            evidence.push(format!("text encoder layers up to number {last}"));
        }
        if self.second_encoder > 0 {
            evidence.push(format!("{} layers of a second text encoder", self.second_encoder));
        }
        if self.sized > 0 && !published_sizes {
            evidence.push(format!(
                "the sizes are not those of the published {label}: a small or changed model of that family"
            ));
        } else if self.id.is_none() && self.sized > 0 {
            evidence.push(format!("{} of {} layers have the sizes of {label}", self.sizes, self.sized));
        }
        Detected {
            name: self.name.into(),
            label: label.into(),
            evidence,
            id: self.id,
            layers: Some(self.layers),
            found: self.found,
            published_sizes,
            contradicted: None,
        }
    }
}

/// The number in `….layers.7.…`.
fn layer_number(path: &str) -> Option<usize> {
    path.split_once("layers.")?.1.split('.').next()?.parse().ok()
}
