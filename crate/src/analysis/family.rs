//! Turns names and shapes of an adapter's tensors into the family of models it was made for.
//!
//! Shapes count before metadata, which is often wrong or missing: names say which networks are
//! possible, the kind of layers and their widths decide between them, and metadata breaks ties.

use super::report::Report;
use super::signature::{self, fitting, said};
use crate::adapters::{Group, locate};
use crate::model::spelling::{Found, Names, Role, Spellings};
use crate::model::{Architecture, Component, Family, FamilyId, Kind, Module, Naming};
use std::collections::BTreeMap;
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
                let layers = Layers::Architecture(architecture, Naming::Diffusers);
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
    pub found: Vec<Option<Found<'static>>>,
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
    Architecture(&'static Architecture, Naming),
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
    let rows = fitting(groups);
    let mut fits: Vec<Fit> = Vec::new();
    for listed in PUBLISHED.iter() {
        let mut fit = Fit::of(listed, groups);
        if let Some((_, modules)) = base.filter(|&(base, _)| Some(base) == listed.id) {
            fit.at_base = Fit::at(listed, groups, &locate(groups, &Spellings::new(modules))).sizes;
        }
        fits.push(fit);
    }
    for (row, evidence) in &rows {
        for listed in sizes(&row.name) {
            let mut fit = Fit::of(listed, groups);
            fit.evidence = evidence.clone();
            if let Layers::Architecture(architecture, _) = listed.layers {
                let naming = if fit.native > fit.diffusers { Naming::Native } else { Naming::Diffusers };
                fit.layers = Layers::Architecture(architecture, naming);
            }
            fits.push(fit);
        }
    }
    for fit in &mut fits {
        fit.said = named == Some(fit.name);
    }
    // Of equals the first counts.
    let best = fits.into_iter().reduce(|best, next| if next.score() > best.score() { next } else { best });
    let mut found = match best.filter(|fit| fit.named > 0 && fit.named * 2 >= groups.len()) {
        Some(fit) => fit.detected(groups.len()),
        None => unlisted(&rows),
    };
    found.evidence.extend(signature::quoted(metadata));
    found.contradicted = named.filter(|named| found.name != "unknown" && *named != found.name);
    found
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

/// A family known by marks alone, or none.
fn unlisted(rows: &[(&'static signature::Signature, Vec<String>)]) -> Detected {
    let (name, label, evidence) = match rows.first() {
        Some((row, evidence)) => (&*row.name, &*row.label, evidence.clone()),
        None => ("unknown", "an unknown model", Vec::new()),
    };
    Detected {
        name: name.into(),
        label: label.into(),
        evidence,
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
    found: Vec<Option<Found<'static>>>,
    /// What led to the family, beside its layers.
    evidence: Vec<String>,
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
    fn of(listed: &Listed, groups: &[Group]) -> Fit {
        let found = locate(groups, listed.spellings);
        Fit { found: found.clone(), ..Fit::at(listed, groups, &found) }
    }

    /// How well a family explains a file whose groups mean these layers.
    fn at(listed: &Listed, groups: &[Group], found: &[Option<Found>]) -> Fit {
        let mut fit = Fit {
            name: listed.name,
            label: listed.label,
            id: listed.id,
            layers: listed.layers,
            found: Vec::new(),
            evidence: Vec::new(),
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
        for (group, found) in groups.iter().zip(found) {
            if let Some(found) = found {
                fit.native += usize::from(found.names == Names::Native);
                fit.diffusers += usize::from(found.names == Names::Diffusers);
                fit.take(group, found.component, found.module);
            }
        }
        fit
    }

    fn take(&mut self, group: &Group, component: Component, module: &Module) {
        self.named += 1;
        match component {
            Component::TextEncoder2 => self.second_encoder += 1,
            Component::TextEncoder => self.last_text_layer = self.last_text_layer.max(layer_number(&module.path)),
            _ => {}
        }
        let Some((found, axes)) = input_width(group) else { return };
        let (wanted, outputs, conv) = match module.kind {
            Kind::Linear { inputs, outputs } => (inputs, outputs, false),
            Kind::Conv { inputs, outputs, .. } => (inputs, outputs, true),
            _ => return,
        };
        self.sized += 1;
        self.sizes += usize::from(found == wanted && output_width(group).is_none_or(|found| found == outputs));
        self.wrong_kind += usize::from(axes.is_some_and(|axes| (axes == 4) != conv));
        if module.path.ends_with("attn2.to_k") || module.path.ends_with("attn2.to_v") {
            self.cross = Some((found, wanted));
        }
        if module.path.ends_with("proj_in") {
            self.proj_in = axes.map(|axes| axes == 4);
        }
    }

    fn score(&self) -> (usize, usize, usize, bool) {
        (self.named - self.wrong_kind.min(self.named), self.at_base, self.sizes, self.said)
    }

    fn detected(self, groups: usize) -> Detected {
        let label = self.label;
        let mut evidence = self.evidence.clone();
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
        let published_sizes = self.sizes * 2 > self.sized;
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

/// Input channels that a group's tensors show, and the axes of the tensor that keeps a kernel.
fn input_width(group: &Group) -> Option<(usize, Option<usize>)> {
    let shape = |role| group.get(role).map(|tensor| tensor.shape.as_slice());
    if let Some(shape) = shape(Role::Down).or(shape(Role::Diff)) {
        return Some((*shape.get(1)?, Some(shape.len())));
    }
    Some((*shape(Role::HadaW1B)?.get(1)?, None))
}

/// Output channels that a group's tensors show.
fn output_width(group: &Group) -> Option<usize> {
    let tensor = group.get(Role::Up).or(group.get(Role::Diff))?;
    tensor.shape.first().copied()
}
