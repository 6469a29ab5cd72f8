//! Detection of the base model family from an adapter's keys and shapes.
//!
//! Layers outrank metadata, which is often wrong or missing: keys determine which networks are possible, layer kinds
//! and sizes decide between them, and metadata breaks ties. Metadata is reported as wrong only if the layers disprove
//! it; a file that no network explains is for an unknown model.

use super::report::{Base, Report};
use super::signature::{self, said};
use super::sizes::Sizes;
use crate::adapters::{Group, locate};
use crate::model::spelling::{KeyTable, ModuleMatch, NamingScheme, Role};
use crate::model::{Architecture, Component, Family, FamilyId, Kind, Module, ModuleSource};
use crate::sentence::{Sentence, Value, sentence};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::{LazyLock, OnceLock};

/// A network's layers under all their names, built once: every report looks its keys up in it.
struct Network {
    name: &'static str,
    label: &'static str,
    /// The family, if this program can run it.
    id: Option<FamilyId>,
    /// Its layers, counted in diffusers' naming if there are two namings.
    layers: Layers,
    spellings: &'static KeyTable<'static>,
}

/// The families that this program can run.
static PUBLISHED: LazyLock<Vec<Network>> = LazyLock::new(|| {
    let published = FamilyId::ALL.into_iter().filter_map(|id| {
        let family: &'static Family = Box::leak(Box::new(Family::published(id).ok()?));
        let spellings: &'static KeyTable = Box::leak(Box::new(KeyTable::new(&family.modules())));
        Some(Network { name: id.name(), label: id.label(), id: Some(id), layers: Layers::Family(family), spellings })
    });
    published.collect()
});

/// The families of architectures/, each built on first use.
static TABLES: LazyLock<Vec<(&'static str, OnceLock<Vec<Network>>)>> =
    LazyLock::new(|| Architecture::families().map(|family| (family, OnceLock::new())).collect());

/// Returns the published sizes of a family of architectures/.
fn published_variants(family: &str) -> &'static [Network] {
    let table = TABLES.iter().find(|(name, _)| *name == family);
    table.map_or(&[], |(name, networks)| {
        networks.get_or_init(|| {
            let list = Architecture::of(name).into_iter().map(|architecture| {
                let architecture: &'static Architecture = Box::leak(Box::new(architecture));
                let spellings: &'static KeyTable = Box::leak(Box::new(KeyTable::new(&architecture.modules())));
                let layers = Layers::Architecture(architecture, ModuleSource::Diffusers);
                Network { name, label: architecture.label, id: None, layers, spellings }
            });
            list.collect()
        })
    })
}

/// The detected base model family of a file.
#[derive(Clone)]
pub struct Detected {
    /// `sd15`, …, or `unknown`.
    pub name: String,
    /// Display name.
    pub label: String,
    /// Evidence for the family.
    pub evidence: Vec<Sentence>,
    /// The family, if this program can run it.
    pub id: Option<FamilyId>,
    /// The layers of the family; `None` for an unknown model.
    pub layers: Option<Layers>,
    /// The layer of each group.
    pub found: Vec<Option<ModuleMatch<'static>>>,
    /// Whether the sizes are those of the published model.
    pub published_sizes: bool,
    /// The family named by the metadata, if the layers disprove it.
    pub contradicted: Option<&'static str>,
    /// Other models of the family that explain the file as well, if nothing in it decides.
    pub variants: Vec<&'static str>,
    /// Other families that explain the file as well, if nothing in it decides.
    pub others: Vec<Detected>,
}

impl Detected {
    /// Returns whether a family was detected.
    pub fn is_known(&self) -> bool {
        self.layers.is_some()
    }

    /// Returns the base of a report.
    pub fn base(&self) -> Base {
        let Detected { name, label, evidence, variants, others, .. } = self;
        let variants = variants.iter().map(|&label| label.into()).collect();
        let others = others.iter().map(Detected::base).collect();
        Base { family: name.clone(), label: label.clone(), evidence: evidence.clone(), variants, others }
    }

    /// Returns the display name, as a value of sentences.
    pub fn named(&self) -> Value {
        Value::label("family", &self.label)
    }
}

/// Source of a family's layers.
#[derive(Debug, Clone, Copy)]
pub enum Layers {
    /// The configs of a model that this program can run.
    Family(&'static Family),
    /// A table of layers, counted in one of its two namings.
    Architecture(&'static Architecture, ModuleSource),
}

impl Layers {
    /// Returns every layer under every name, for lookups.
    pub fn modules(self) -> Vec<(Component, &'static Module)> {
        match self {
            Layers::Family(family) => family.modules(),
            Layers::Architecture(architecture, _) => architecture.modules(),
        }
    }

    /// Returns the layers in the naming that the file uses, for counting.
    pub fn counted(self) -> Vec<(Component, &'static Module)> {
        match self {
            Layers::Family(family) => family.modules(),
            Layers::Architecture(architecture, naming) => architecture.modules_of(naming),
        }
    }
}

/// Detects the family of a file's groups. `base` is the intended base model, if known.
pub fn detect(
    groups: &[Group],
    metadata: &BTreeMap<String, String>,
    base: Option<(FamilyId, &[(Component, &Module)])>,
) -> Detected {
    let claimed = said(metadata);
    let shown: Vec<Option<Sizes>> = groups.iter().map(Sizes::of).collect();
    let mut fits: Vec<Fit> = Vec::new();
    for network in PUBLISHED.iter() {
        let mut fit = Fit::of(network, groups, &shown);
        if let Some((_, modules)) = base.filter(|&(base, _)| Some(base) == network.id) {
            fit.at_base = Fit::at(network, groups, &shown, &locate(groups, &KeyTable::new(modules))).sizes;
        }
        fits.push(fit);
    }
    for row in signature::fitting(groups, claimed) {
        let variants = published_variants(&row.name).iter().map(|network| Fit::of(network, groups, &shown));
        fits.extend(best_variant(variants.collect()));
    }
    for fit in &mut fits {
        fit.in_metadata = claimed == Some(fit.name);
    }
    // Ties go to a family whose names follow their prefix as usual, or whose blocks the file has completely, else to the
    // first.
    let best = fits.iter().map(Fit::score).max();
    let mut tied: Vec<usize> = (0..fits.len()).filter(|&at| Some(fits[at].score()) == best).collect();
    let least = tied.iter().map(|&at| fits[at].unusual).min();
    tied.retain(|&at| Some(fits[at].unusual) == least);
    let at = match tied[..] {
        [at] => Some(at),
        _ => tied.iter().copied().find(|&at| fits[at].has_all_blocks()).or(tied.first().copied()),
    };
    let at = at.filter(|&at| fits[at].is_known(groups.len()));
    let contradicted = claimed.filter(|claimed| {
        let other = fits.iter().find(|fit| fit.name == *claimed);
        at.zip(other).is_some_and(|(at, other)| fits[at].disproves(other, groups.len()))
    });
    let mut found = at.map_or_else(unknown, |at| decided(fits, at, groups.len()));
    found.evidence.extend(signature::quoted(metadata));
    found.contradicted = contradicted;
    found
}

/// Returns the smallest variant of a family that has all of the file's blocks, the first of equal ones, with the other ones
/// that the file may be for as well: it changes every block of these, too.
fn best_variant(variants: Vec<Fit>) -> Option<Fit> {
    let better =
        |best: usize, next: usize| if variants[next].size_score() > variants[best].size_score() { next } else { best };
    let at = (0..variants.len()).reduce(better)?;
    let best = &variants[at];
    let is_twin =
        |fit: &&Fit| !fit.extends() && fit.label != best.label && (fit.named, fit.sizes) == (best.named, best.sizes);
    let mut twins = variants.iter().filter(is_twin).peekable();
    let is_whole = twins.peek().is_some() && best.has_all_blocks();
    let twins = twins.filter(|fit| is_whole && fit.has_all_blocks()).map(|fit| fit.label).collect();
    variants.into_iter().nth(at).map(|best| Fit { twins, ..best })
}

/// Returns the family of the best fit, with the others that explain a file of so many groups as well: as rivals if
/// nothing in the file decides, else as evidence with the reason why they are less likely.
fn decided(mut fits: Vec<Fit>, at: usize, groups: usize) -> Detected {
    let best = fits.swap_remove(at);
    let rivals: Vec<Fit> = fits.into_iter().filter(|fit| fit.equals(&best) && fit.is_known(groups)).collect();
    let whole = !rivals.is_empty() && best.has_all_blocks();
    let (mut evidence, mut others) = (Vec::new(), Vec::new());
    for rival in rivals {
        let [name, base] = [rival.label, best.label].map(|label| Value::label("family", label));
        if signature::row(rival.name).is_some_and(|row| row.rare) {
            evidence.push(sentence!("evidence.rare", other = name));
        } else if whole && !rival.has_all_blocks() {
            evidence.push(sentence!("evidence.all_blocks", other = name, base = base));
        } else {
            evidence.push(sentence!("evidence.undecided", other = name));
            others.push(rival.detected(groups));
        }
    }
    let mut found = best.detected(groups);
    found.evidence.extend(evidence);
    found.others = others;
    found
}

/// Returns one layer per group under the file's own name for it, for files of unknown models.
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

/// Returns whether `fits` holds for the layers of any family that this program can run.
pub fn any_published(fits: impl Fn(&KeyTable) -> bool) -> bool {
    PUBLISHED.iter().any(|network| fits(network.spellings))
}

/// Returns the layers of a report's family under all their names.
pub fn spellings_of(report: &Report) -> Option<&'static KeyTable<'static>> {
    let base = &report.base;
    let mut networks = PUBLISHED.iter().chain(published_variants(&base.family));
    let network = networks.find(|network| network.name == base.family && network.label == base.label)?;
    Some(network.spellings)
}

/// Returns the result for an unknown model.
fn unknown() -> Detected {
    let Base { family: name, label, evidence, .. } = Base::unknown();
    Detected {
        name,
        label,
        evidence,
        id: None,
        layers: None,
        found: Vec::new(),
        published_sizes: false,
        contradicted: None,
        variants: Vec::new(),
        others: Vec::new(),
    }
}

/// Measures how well a family explains a file.
struct Fit {
    name: &'static str,
    label: &'static str,
    id: Option<FamilyId>,
    layers: Layers,
    found: Vec<Option<ModuleMatch<'static>>>,
    /// Number of the family's layers.
    layer_count: usize,
    /// Whether keys alone identify the family, at any sizes.
    any_size: bool,
    /// Number of groups whose layer the family has.
    named: usize,
    /// Of those, groups with native names, where diffusers splits or fuses layers differently.
    native: usize,
    /// Of those, groups with diffusers names.
    diffusers: usize,
    /// Of those, groups with diffusers names of a layer after the prefix of original ones.
    unusual: usize,
    /// Of those, groups with a convolution's tensors for a linear layer or vice versa.
    wrong_kind: usize,
    /// Of those, groups with matrices for a 1x1 convolution, as some programs store its change.
    flat_points: usize,
    /// Of those, groups whose sizes are the layer's.
    sizes: usize,
    /// Of those, groups that imply sizes.
    sized: usize,
    /// Like `sizes`, for the intended base model.
    at_base: usize,
    /// Whether the metadata names the family.
    in_metadata: bool,
    /// Cross-attention input width: the file's and the family's.
    cross: Option<(usize, usize)>,
    proj_in: Option<bool>,
    /// Whether kernels of convolutions are stored as matrices (ComfyUI's training node, AdaLoRA).
    has_flat_kernels: bool,
    last_text_layer: Option<usize>,
    second_encoder: usize,
    /// Other models of the family that the file may be for as well.
    twins: Vec<&'static str>,
}

impl Fit {
    fn of(network: &Network, groups: &[Group], shown: &[Option<Sizes>]) -> Fit {
        let found = locate(groups, network.spellings);
        let mut fit = Fit { found: found.clone(), ..Fit::at(network, groups, shown, &found) };
        if let Layers::Architecture(architecture, _) = network.layers {
            let naming = if fit.native > fit.diffusers { ModuleSource::Native } else { ModuleSource::Diffusers };
            fit.layers = Layers::Architecture(architecture, naming);
        }
        fit
    }

    /// Scores a family for a file whose groups match the modules in `found` and imply the sizes in `shown`.
    fn at(network: &Network, groups: &[Group], shown: &[Option<Sizes>], found: &[Option<ModuleMatch>]) -> Fit {
        let mut fit = Fit {
            name: network.name,
            label: network.label,
            id: network.id,
            layers: network.layers,
            found: Vec::new(),
            layer_count: network.spellings.modules().len(),
            any_size: signature::row(network.name).is_some_and(|row| row.any_size),
            named: 0,
            native: 0,
            diffusers: 0,
            unusual: 0,
            wrong_kind: 0,
            flat_points: 0,
            sizes: 0,
            sized: 0,
            at_base: 0,
            in_metadata: false,
            cross: None,
            proj_in: None,
            last_text_layer: None,
            second_encoder: 0,
            has_flat_kernels: false,
            twins: Vec::new(),
        };
        let is_flat = |(group, found): (&Group, &Option<ModuleMatch>)| {
            let kernel = group.get(Role::Down).filter(|tensor| tensor.shape.len() == 2);
            let module = found.as_ref().map(|found| found.module);
            kernel.is_some() && module.is_some_and(|module| matches!(module.kind, Kind::Conv { kernel: 2.., .. }))
        };
        fit.has_flat_kernels = groups.iter().zip(found).any(|(group, found)| is_flat((group, found)));
        for ((group, shown), found) in groups.iter().zip(shown).zip(found) {
            if let Some(found) = found {
                fit.native += usize::from(found.names == NamingScheme::Native);
                fit.diffusers += usize::from(found.names == NamingScheme::Diffusers);
                let is_renamed = found.names == NamingScheme::Diffusers && found.module.path != found.module.ldm;
                fit.unusual += usize::from(is_renamed && found.prefix == "diffusion_model.");
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
        let is_flat_point = shown.wrong_kind(module) && matches!(module.kind, Kind::Conv { kernel: 1, .. });
        self.flat_points += usize::from(is_flat_point && !self.has_flat_kernels);
        self.wrong_kind += usize::from(shown.wrong_kind(module) && !is_flat_point);
        let wanted = match module.kind {
            Kind::Linear { inputs, .. } | Kind::Conv { inputs, .. } => inputs,
            _ => return,
        };
        if module.path.ends_with("attn2.to_k") || module.path.ends_with("attn2.to_v") {
            self.cross = shown.inputs.map(|found| (found, wanted));
        }
        if module.path.ends_with("proj_in") {
            let is_flat = self.has_flat_kernels || is_flat_point || group.get(Role::LoraE).is_some();
            let kernel = group.get(Role::Down).or(group.get(Role::Diff)).filter(|_| !is_flat);
            self.proj_in = kernel.map(|tensor| tensor.shape.len() == 4);
        }
    }

    fn score(&self) -> (usize, usize, usize, Reverse<usize>, bool) {
        let named = self.named - self.wrong_kind.min(self.named);
        (named, self.at_base, self.sizes, Reverse(self.flat_points), self.in_metadata)
    }

    /// Returns whether another family's layers explain the file as well. A family that the header names has none.
    fn equals(&self, best: &Fit) -> bool {
        let (mine, theirs) = (self.score(), best.score());
        !best.in_metadata && (mine.0, mine.1, mine.2, mine.3) == (theirs.0, theirs.1, theirs.2, theirs.3)
    }

    /// Returns whether the file changes a layer in every block of the family that has such a layer.
    fn has_all_blocks(&self) -> bool {
        let paths: HashSet<&str> = self.found.iter().flatten().map(|found| found.module.path.as_str()).collect();
        let kinds: HashSet<String> = paths.iter().map(|path| signature::plain(path)).collect();
        let modules = self.layers.modules();
        let mut alike = modules.iter().filter(|(_, module)| kinds.contains(&signature::plain(&module.path)));
        alike.all(|(_, module)| paths.contains(module.path.as_str()))
    }

    /// Returns whether the model has all layers of another one and more, so that a file without these is for the other.
    fn extends(&self) -> bool {
        matches!(self.layers, Layers::Architecture(architecture, _) if architecture.extends)
    }

    /// Returns the ranking key among the variants of one family.
    fn size_score(&self) -> (usize, usize, Reverse<usize>) {
        (self.named, self.sizes, Reverse(self.layer_count))
    }

    /// Returns whether most of the sizes that the file implies are the family's.
    fn has_sizes(&self) -> bool {
        self.sizes * 2 > self.sized || self.sized == 0
    }

    /// Returns whether the family explains enough of a file to be reported. UNets are identified by their layer names,
    /// which no other network has, and come in various sizes; transformers share their names with many others.
    fn is_known(&self, groups: usize) -> bool {
        let enough =
            if self.id.is_some() || self.in_metadata { self.named * 2 >= groups } else { self.named * 4 >= groups * 3 };
        self.named > 0 && enough && (self.id.is_some() || self.in_metadata || self.any_size || self.has_sizes())
    }

    /// Returns whether this fit proves that a file is not for the family that its header claims.
    fn disproves(&self, claimed: &Fit, groups: usize) -> bool {
        let certain = self.named * 10 >= groups * 9 && self.sized > 0 && self.has_sizes();
        certain && (claimed.named * 4 < self.named * 3 || claimed.sizes * 2 < self.sizes)
    }

    /// Returns what speaks for the family, named `base`, of a file with so many groups.
    fn evidence(&self, base: &Value, groups: usize, published_sizes: bool) -> Vec<Sentence> {
        let base = || base.clone();
        let mut list = vec![sentence!("evidence.keys", n = self.named, groups = groups, base = base())];
        list.extend(self.cross.map(|(width, expected)| match width == expected {
            true => sentence!("evidence.cross_attention", width = width, base = base()),
            false => {
                sentence!("evidence.other_cross_attention", width = width, base = base(), expected = expected)
            }
        }));
        list.extend(self.proj_in.map(|is_conv| match is_conv {
            true => sentence!("evidence.proj_in_conv"),
            false => sentence!("evidence.proj_in_linear"),
        }));
        list.extend(self.last_text_layer.map(|last| sentence!("evidence.text_layers", last = last)));
        if self.second_encoder > 0 {
            list.push(sentence!("evidence.second_encoder", n = self.second_encoder));
        }
        if self.sized > 0 && !published_sizes {
            list.push(sentence!("evidence.other_sizes", base = base()));
        } else if self.id.is_none() && self.sized > 0 {
            list.push(sentence!("evidence.sizes", n = self.sizes, sized = self.sized, base = base()));
        }
        list
    }

    fn detected(self, groups: usize) -> Detected {
        let published_sizes = self.has_sizes();
        let row = signature::row(self.name);
        let label = match row {
            Some(row) if self.id.is_none() && !published_sizes => row.label.as_str(),
            _ => self.label,
        };
        let mut evidence = self.evidence(&Value::label("family", label), groups, published_sizes);
        let variants = if published_sizes { self.twins } else { Vec::new() };
        let undecided = |label: &&str| sentence!("evidence.undecided", other = Value::label("family", label));
        evidence.extend(variants.iter().map(undecided));
        Detected {
            name: self.name.into(),
            label: label.into(),
            evidence,
            id: self.id,
            layers: Some(self.layers),
            found: self.found,
            published_sizes,
            contradicted: None,
            variants,
            others: Vec::new(),
        }
    }
}

/// Returns the number in `….layers.7.…`.
fn layer_number(path: &str) -> Option<usize> {
    path.split_once("layers.")?.1.split('.').next()?.parse().ok()
}
