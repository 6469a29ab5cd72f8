//! Layers of architectures that are inspected but not run, under their native and diffusers names; loaded
//! from the tables in architectures/.
//!
//! A table line defines a layer, `NATIVE : DIFFUSERS : OUTPUTS INPUTS [KERNEL] : OTHER NAMES`; the table
//! also gives the repetitions. Sizes are a number, a variable or both (`6D`); variables take the values
//! of a published model size. `=` repeats the native name, `-` means no name. Several DIFFUSERS names,
//! with `+` between their output sizes, are parts of one fused native layer. A single size is that of a
//! norm. `~` marks a trainer's names, which are not counted in the coverage: for the part of a layer that is
//! DIFFUSERS there, for another part of a layer, or with several DIFFUSERS names for a fusion of these layers.

use super::module::{Component, Granularity, Kind, Module};
use super::toml_table;
use super::{Clip, ClipConfig, Unet, UnetConfig};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// Placeholder epsilon of norms; these networks are never computed.
const EPS: f32 = 1e-6;

/// Implementation that defines a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModuleSource {
    /// Both: the same layer under two names.
    Both,
    /// The authors' implementation, which fuses layers that diffusers splits.
    Native,
    /// diffusers, which splits a fused layer.
    Diffusers,
    /// A trainer that splits or fuses layers.
    Extra,
}

/// An architecture family at one published size.
#[derive(Debug, Clone)]
pub struct Architecture {
    /// Family id: `flux1`, `sd3`, …
    pub family: &'static str,
    /// Display name of the model size.
    pub label: &'static str,
    /// Whether it has all layers of another size and more: files without these are for the other.
    pub extends: bool,
    layers: Vec<(Component, Module, ModuleSource)>,
    /// The paths of the layers that a trainer fuses, by the path of the fused layer.
    fused: HashMap<String, Vec<String>>,
    /// diffusers' paths of the parts of layers that a trainer names.
    named: HashMap<String, String>,
}

impl Architecture {
    /// Returns all published sizes of a family, most common first; empty for an unknown family.
    pub fn of(family: &str) -> Vec<Architecture> {
        match family {
            "sdxl_refiner" => return refiner().into_iter().collect(),
            "kolors" => return kolors().into_iter().collect(),
            _ => {}
        }
        let Some(table) = TABLES.families.iter().find(|table| table.family == family) else { return Vec::new() };
        table.size.iter().map(|size| table.build(size)).collect()
    }

    /// Iterates over the ids of all families.
    pub fn families() -> impl Iterator<Item = &'static str> {
        TABLES.families.iter().map(|table| table.family.as_str()).chain(["sdxl_refiner", "kolors"])
    }

    /// Returns all layers of all implementations, for lookups.
    pub fn modules(&self) -> Vec<(Component, &Module)> {
        self.layers.iter().map(|(component, module, _)| (*component, module)).collect()
    }

    /// Returns the layers of one implementation, [`ModuleSource::Native`] or [`ModuleSource::Diffusers`].
    pub fn modules_of(&self, source: ModuleSource) -> Vec<(Component, &Module)> {
        let layers = self.layers.iter().filter(|(_, _, of)| matches!(of, ModuleSource::Both) || *of == source);
        layers.map(|(component, module, _)| (*component, module)).collect()
    }

    /// Returns the layers that a trainer fuses in the layer with this path, in order; empty for any other layer.
    pub fn fused_by_trainer(&self, path: &str) -> Vec<&Module> {
        let parts = self.fused.get(path).into_iter().flatten();
        parts
            .filter_map(|part| self.layers.iter().map(|(_, module, _)| module).find(|module| module.path == *part))
            .collect()
    }

    /// Returns diffusers' layer that a trainer's name of a part is for; `None` for any other layer.
    pub fn named_by_trainer(&self, path: &str) -> Option<&Module> {
        let path = self.named.get(path)?;
        self.layers.iter().map(|(_, module, _)| module).find(|module| module.path == *path)
    }

    /// Returns the deeper models of the family that were made from this size by inserting blocks: the number of blocks
    /// of each, and the positions of this size's blocks in it.
    pub fn deeper(&self) -> Vec<(usize, Vec<usize>)> {
        let table = TABLES.families.iter().find(|table| table.family == self.family);
        let sizes = table.into_iter().flat_map(|table| &table.size);
        let mut sizes = sizes.skip_while(|size| size.label != self.label);
        let blocks = |size: &Size| size.values.get("blocks").copied().unwrap_or(0);
        let mut positions: Vec<usize> = (0..sizes.next().map_or(0, blocks)).collect();
        let mut deeper = Vec::new();
        for size in sizes.take_while(|size| !size.inserted.is_empty()) {
            let kept: Vec<usize> = (0..blocks(size)).filter(|at| !size.inserted.contains(at)).collect();
            positions = positions.iter().filter_map(|&at| kept.get(at).copied()).collect();
            deeper.push((blocks(size), positions.clone()));
        }
        deeper
    }

    /// Returns the implementation that defines the layer with this path.
    pub fn naming(&self, path: &str) -> Option<ModuleSource> {
        self.layers.iter().find(|(_, module, _)| module.path == path).map(|&(_, _, source)| source)
    }
}

/// Table in architectures/.
#[derive(Deserialize)]
struct Table {
    family: String,
    #[serde(default = "default_component")]
    component: String,
    #[serde(default = "yes")]
    bias: bool,
    /// Text encoders, in pipeline order.
    #[serde(default)]
    text: Vec<String>,
    size: Vec<Size>,
    layers: Vec<Layers>,
}

fn default_component() -> String {
    Component::Transformer.name().into()
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
struct Size {
    label: String,
    values: BTreeMap<String, usize>,
    /// Whether it has all layers of another size and more: files without these are for the other.
    #[serde(default)]
    extends: bool,
    /// Positions of the blocks that are inserted into those of the size before it.
    #[serde(default)]
    inserted: Vec<usize>,
}

#[derive(Deserialize)]
struct Layers {
    /// Variable with the end index of the repetitions; a single, unnumbered instance if absent.
    count: Option<String>,
    /// Variable that must not be 0 for the list to apply.
    when: Option<String>,
    /// Variable with the first index of the repetitions.
    from: Option<String>,
    /// Block number of a repetition: step · index + offset.
    #[serde(default = "one")]
    step: usize,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    native: String,
    #[serde(default)]
    diffusers: String,
    list: String,
}

#[derive(Deserialize)]
struct Encoder {
    name: String,
    values: BTreeMap<String, usize>,
    prefix: String,
    list: String,
}

#[derive(Deserialize)]
struct Encoders {
    encoder: Vec<Encoder>,
}

struct Tables {
    families: Vec<Table>,
    encoders: Vec<Encoder>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    const FAMILIES: [&str; 31] = [
        embedded!("model/architectures/flux1.toml"),
        embedded!("model/architectures/chroma.toml"),
        embedded!("model/architectures/flux2.toml"),
        embedded!("model/architectures/sd3.toml"),
        embedded!("model/architectures/qwen_image.toml"),
        embedded!("model/architectures/wan.toml"),
        embedded!("model/architectures/hunyuan_video.toml"),
        embedded!("model/architectures/z_image.toml"),
        embedded!("model/architectures/lumina2.toml"),
        embedded!("model/architectures/cascade.toml"),
        embedded!("model/architectures/anima.toml"),
        embedded!("model/architectures/cosmos_predict2.toml"),
        embedded!("model/architectures/hunyuan_video15.toml"),
        embedded!("model/architectures/hunyuan_image.toml"),
        embedded!("model/architectures/hidream.toml"),
        embedded!("model/architectures/hidream_o1.toml"),
        embedded!("model/architectures/krea2.toml"),
        embedded!("model/architectures/auraflow.toml"),
        embedded!("model/architectures/ltxv.toml"),
        embedded!("model/architectures/ltx2.toml"),
        embedded!("model/architectures/pixart.toml"),
        embedded!("model/architectures/hunyuan_dit.toml"),
        embedded!("model/architectures/mochi.toml"),
        embedded!("model/architectures/omnigen2.toml"),
        embedded!("model/architectures/ernie_image.toml"),
        embedded!("model/architectures/kandinsky5.toml"),
        embedded!("model/architectures/sana.toml"),
        embedded!("model/architectures/cogvideox.toml"),
        embedded!("model/architectures/ace_step.toml"),
        embedded!("model/architectures/ace_step15.toml"),
        embedded!("model/architectures/llm.toml"),
    ];
    let families = FAMILIES.iter().map(|text| toml_table::parse(text).expect("the tables are checked by a test"));
    let encoders: Encoders =
        toml_table::parse(embedded!("model/architectures/text.toml")).expect("the tables are checked by a test");
    Tables { families: families.collect(), encoders: encoders.encoder }
});

/// Builds the SDXL refiner: a UNet of the usual structure, and SDXL's second text encoder.
fn refiner() -> Option<Architecture> {
    let unet = Unet::new(&UnetConfig::parse(include_str!("configs/sdxl_refiner/unet.json")).ok()?);
    let mut layers = encoder("clip_g", Component::TextEncoder2);
    layers.extend(unet.modules().into_iter().map(|module| (Component::Unet, module.clone(), ModuleSource::Both)));
    Some(Architecture {
        family: "sdxl_refiner",
        label: "the SDXL refiner",
        extends: false,
        layers,
        fused: HashMap::new(),
        named: HashMap::new(),
    })
}

/// Builds Kolors: SDXL's UNet with another text encoder, whose hidden states pass through an additional layer.
fn kolors() -> Option<Architecture> {
    let unet = Unet::new(&UnetConfig::parse(include_str!("configs/sdxl/unet.json")).ok()?);
    let hidden = Module::new("encoder_hid_proj", "encoder_hid_proj", Kind::Linear { inputs: 4096, outputs: 2048 });
    let mut layers = vec![(Component::Unet, hidden, ModuleSource::Both)];
    for module in unet.modules() {
        let mut module = module.clone();
        if let Kind::Linear { inputs: inputs @ 2816, .. } = &mut module.kind {
            *inputs = 5632;
        }
        layers.push((Component::Unet, module, ModuleSource::Both));
    }
    Some(Architecture {
        family: "kolors",
        label: "Kolors",
        extends: false,
        layers,
        fused: HashMap::new(),
        named: HashMap::new(),
    })
}

impl Table {
    fn build(&'static self, size: &'static Size) -> Architecture {
        const TEXT: [Component; 3] = [Component::TextEncoder, Component::TextEncoder2, Component::TextEncoder3];
        // A single text encoder takes the first component, even if it is not CLIP.
        let mut layers: Vec<_> =
            self.text.iter().zip(TEXT).flat_map(|(name, component)| encoder(name, component)).collect();
        let component = Component::ALL.into_iter().find(|component| component.name() == self.component);
        let component = component.unwrap_or(Component::Transformer);
        let (mut fused, mut named) = (HashMap::new(), HashMap::new());
        for section in &self.layers {
            let value = |name: &Option<String>, default| match name {
                Some(name) => size.values.get(name).copied().unwrap_or(0),
                None => default,
            };
            if value(&section.when, 1) == 0 {
                continue;
            }
            for index in value(&section.from, 0)..value(&section.count, 1) {
                let number = match &section.count {
                    Some(_) => format!("{}.", section.step * index + section.offset),
                    None => String::new(),
                };
                let native = format!("{}{number}", section.native);
                let diffusers = format!("{}{number}", section.diffusers);
                for line in section.list.lines().filter(|line| !line.trim().is_empty()) {
                    let line = Line::parse(line, &size.values);
                    if line.is_fused_by_trainer() {
                        let parts = line.diffusers.iter().map(|name| format!("{diffusers}{name}"));
                        fused.insert(format!("{diffusers}{}", line.native), parts.collect());
                    }
                    if let Some(part) = line.part_of_trainer() {
                        named.insert(format!("{native}{}", line.native), format!("{diffusers}{part}"));
                    }
                    layers.extend(
                        line.modules(&native, &diffusers, self.bias)
                            .map(|(module, source)| (component, module, source)),
                    );
                }
            }
        }
        Architecture { family: &self.family, label: &size.label, extends: size.extends, layers, fused, named }
    }
}

/// Returns the layers of a text encoder.
fn encoder(name: &str, component: Component) -> Vec<(Component, Module, ModuleSource)> {
    let clip = match name {
        "clip_l" => Some(include_str!("configs/sd15/text_encoder.json")),
        "clip_g" => Some(include_str!("configs/sdxl/text_encoder_2.json")),
        _ => None,
    };
    if let Some(config) = clip.and_then(|text| ClipConfig::parse(text).ok()) {
        let modules = Clip::new(&config).modules().into_iter().cloned().collect::<Vec<Module>>();
        return modules.into_iter().map(|module| (component, module, ModuleSource::Both)).collect();
    }
    let Some(encoder) = TABLES.encoders.iter().find(|encoder| encoder.name == name) else { return Vec::new() };
    let layers = (0..encoder.values.get("N").copied().unwrap_or(0)).flat_map(|index| {
        let prefix = format!("{}{index}.", encoder.prefix);
        let lines = encoder.list.lines().filter(|line| !line.trim().is_empty());
        lines.flat_map(move |line| {
            Line::parse(line, &encoder.values).modules(&prefix, &prefix, false).collect::<Vec<_>>()
        })
    });
    layers.map(|(module, source)| (component, module, source)).collect()
}

/// A parsed table line with evaluated sizes.
struct Line<'a> {
    extra: bool,
    native: &'a str,
    diffusers: Vec<&'a str>,
    /// Output size of each diffusers layer.
    outputs: Vec<usize>,
    /// Input size and, for convolutions, the kernel size.
    input_and_kernel: Vec<usize>,
    alias: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str, values: &BTreeMap<String, usize>) -> Line<'a> {
        let mut cells = line.split(" : ").map(str::trim);
        let first = cells.next().unwrap_or_default();
        let native = first.trim_start_matches("~ ");
        let diffusers = match cells.next() {
            Some("=") => vec![native],
            Some("-") | None => Vec::new(),
            Some(names) => names.split(' ').collect(),
        };
        let mut sizes = cells.next().unwrap_or_default().split(' ');
        let outputs = sizes.next().unwrap_or_default().split('+').map(|size| parse_size(size, values)).collect();
        let input_and_kernel = sizes.map(|size| parse_size(size, values)).collect();
        Line { extra: first.starts_with('~'), native, diffusers, outputs, input_and_kernel, alias: cells.next() }
    }

    fn is_fused_by_trainer(&self) -> bool {
        self.extra && self.diffusers.len() > 1
    }

    /// Returns diffusers' name of the part of a layer that a trainer names.
    fn part_of_trainer(&self) -> Option<&str> {
        let [name] = self.diffusers[..] else { return None };
        self.extra.then_some(name)
    }

    /// Returns the fused layer and its parts, or the single layer.
    fn modules(&self, native: &str, diffusers: &str, bias: bool) -> impl Iterator<Item = (Module, ModuleSource)> {
        let ldm = format!("{native}{}", self.native);
        let module = |path: String, outputs| {
            let module = Module::new(path, ldm.clone(), kind(outputs, &self.input_and_kernel));
            if bias { module } else { module.without_bias() }
        };
        let full = |path: String, source| {
            let module = module(path, self.outputs.iter().sum());
            let alias = self.alias.map(|alias| format!("{native}{alias}"));
            let whose = match source {
                ModuleSource::Native => Granularity::Authors,
                ModuleSource::Extra => Granularity::Trainer,
                ModuleSource::Both | ModuleSource::Diffusers => Granularity::Common,
            };
            (Module { alias, granularity: whose, ..module }, source)
        };
        let mut list = Vec::new();
        match self.diffusers.as_slice() {
            [] | [_] if self.extra => list.push(full(ldm.clone(), ModuleSource::Extra)),
            [] => list.push(full(ldm.clone(), ModuleSource::Native)),
            [name] => list.push(full(format!("{diffusers}{name}"), ModuleSource::Both)),
            _ if self.is_fused_by_trainer() => {
                let path = format!("{diffusers}{}", self.native);
                let (module, source) = full(path.clone(), ModuleSource::Extra);
                list.push((Module { ldm: path, ..module }, source));
            }
            names => {
                list.push(full(ldm.clone(), ModuleSource::Native));
                let parts = names.iter().zip(&self.outputs);
                list.extend(
                    parts.map(|(name, &outputs)| {
                        (module(format!("{diffusers}{name}"), outputs), ModuleSource::Diffusers)
                    }),
                );
            }
        }
        list.into_iter()
    }
}

/// Evaluates a size such as "6D", given the value of D.
fn parse_size(size: &str, values: &BTreeMap<String, usize>) -> usize {
    let digits = size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len());
    let (factor, variable) = size.split_at(digits);
    factor.parse().unwrap_or(1) * if variable.is_empty() { 1 } else { values.get(variable).copied().unwrap_or(0) }
}

fn kind(outputs: usize, input_and_kernel: &[usize]) -> Kind {
    match *input_and_kernel {
        [] => Kind::LayerNorm { width: outputs, eps: EPS },
        [inputs] => Kind::Linear { inputs, outputs },
        [inputs, kernel, ..] => Kind::Conv { inputs, outputs, kernel, stride: kernel, padding: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tables_have_valid_shapes_and_unique_paths() {
        for family in Architecture::families() {
            let sizes = Architecture::of(family);
            assert!(!sizes.is_empty(), "{family} has no size");
            for architecture in sizes {
                let mut paths = HashSet::new();
                for (component, module) in architecture.modules() {
                    let shape = module.weight_shape();
                    assert!(!shape.contains(&0), "{} {}: {shape:?}", architecture.label, module.path);
                    assert!(paths.insert((component, &module.path)), "{}: {} twice", architecture.label, module.path);
                }
            }
        }
        assert!(Architecture::of("unknown").is_empty());
    }

    /// Checks the denoiser's linear and convolution layer count, and its parameter count in billions.
    #[test]
    fn layer_and_parameter_counts_match_the_published_ones() {
        let check = |family: &str, size: usize, source, layers: usize, published: f64| {
            let list = Architecture::of(family);
            let modules = list[size].modules_of(source);
            let denoiser = modules.iter().filter(|(component, _)| !component.name().starts_with("text"));
            let layers_and_norms: Vec<&Module> = denoiser.map(|&(_, module)| module).collect();
            let billions = layers_and_norms.iter().map(|module| module.parameters()).sum::<u64>() as f64 / 1e9;
            let layer_count = layers_and_norms.iter().filter(|module| module.weight_shape().len() > 1).count();
            assert_eq!(layer_count, layers, "{}", list[size].label);
            let error = billions / published - 1.0;
            assert!(error.abs() < 0.005, "{}: {billions} billion parameters, not {published}", list[size].label);
        };
        check("flux1", 0, ModuleSource::Native, 8 + 19 * 10 + 38 * 3 + 2, 11.90);
        check("flux1", 0, ModuleSource::Diffusers, 8 + 19 * 14 + 38 * 6 + 2, 11.90);
        check("chroma", 0, ModuleSource::Native, 4 + 10 + 19 * 8 + 38 * 2 + 1, 8.90);
        check("flux2", 0, ModuleSource::Native, 9 + 8 * 8 + 48 * 2 + 2, 32.22);
        check("flux2", 2, ModuleSource::Diffusers, 9 + 5 * 12 + 20 * 2 + 2, 3.88);
        check("sd3", 0, ModuleSource::Native, 6 + 24 * 7 + 23 * 3 + 2, 2.0283);
        check("sd3", 1, ModuleSource::Native, 6 + 24 * 7 + 23 * 3 + 13 * 2 + 2, 2.2432);
        check("sd3", 2, ModuleSource::Native, 6 + 38 * 7 + 37 * 3 + 2, 8.057);
        check("qwen_image", 0, ModuleSource::Native, 4 + 60 * 14 + 2, 20.43);
        check("wan", 0, ModuleSource::Native, 6 + 30 * 10 + 1, 1.419);
        check("wan", 1, ModuleSource::Diffusers, 6 + 40 * 10 + 1, 14.29);
        check("wan", 2, ModuleSource::Native, 6 + 40 * 12 + 2 + 1, 16.40);
        check("wan", 3, ModuleSource::Native, 6 + 30 * 10 + 1, 5.00);
        check("hunyuan_video", 0, ModuleSource::Native, 6 + 2 * 5 + 6 + 20 * 10 + 40 * 3 + 2, 12.82);
        check("z_image", 0, ModuleSource::Native, 4 + 2 * 5 + 2 * 6 + 30 * 6 + 2, 6.155);
        check("lumina2", 0, ModuleSource::Diffusers, 4 + 2 * 7 + 2 * 8 + 26 * 8 + 2, 2.61);
        check("cascade", 0, ModuleSource::Native, 5 + 64 * 10, 3.59);
        check("anima", 0, ModuleSource::Native, 3 + 28 * 16 + 3 + 6 * 10 + 1, 2.06);
        check("sdxl_refiner", 0, ModuleSource::Native, 554, 2.26);
    }

    #[test]
    fn layers_that_a_trainer_fuses_have_the_rows_of_their_parts() {
        for (family, path, parts) in [
            ("krea2", "transformer_blocks.3.attn.to_qkv", [6144, 1536, 1536]),
            ("krea2", "text_fusion.refiner_blocks.1.attn.to_qkv", [2560; 3]),
            ("flux1", "transformer_blocks.0.attn.to_added_qkv", [3072; 3]),
            ("qwen_image", "transformer_blocks.59.attn.to_qkv", [3072; 3]),
        ] {
            let architecture = &Architecture::of(family)[0];
            let rows: Vec<usize> =
                architecture.fused_by_trainer(path).iter().map(|module| module.weight_shape()[0]).collect();
            assert_eq!(rows, parts, "{family} {path}");
            let modules = architecture.modules();
            let whole = modules.iter().find(|(_, module)| module.path == path).expect(path);
            assert_eq!(whole.1.weight_shape()[0], rows.iter().sum::<usize>(), "{family} {path}");
            assert_eq!(architecture.naming(path), Some(ModuleSource::Extra));
        }
        assert!(Architecture::of("krea2")[0].fused_by_trainer("transformer_blocks.3.attn.to_q").is_empty());
    }

    #[test]
    fn parts_that_a_trainer_names_are_those_of_diffusers() {
        let mut parts = 0;
        for architecture in Architecture::families().flat_map(Architecture::of) {
            for (_, module, _) in &architecture.layers {
                let Some(part) = architecture.named_by_trainer(&module.path) else { continue };
                assert_eq!(architecture.naming(&module.path), Some(ModuleSource::Extra), "{}", module.path);
                assert_eq!(architecture.naming(&part.path), Some(ModuleSource::Diffusers), "{}", part.path);
                assert_eq!(module.weight_shape(), part.weight_shape(), "{}", module.path);
                parts += 1;
            }
        }
        assert!(parts > 400, "{parts}");
    }

    #[test]
    fn inserted_blocks_move_those_after_them() {
        let anima = Architecture::of("anima");
        let deeper = anima[0].deeper();
        let (blocks, positions) = &deeper[0];
        assert_eq!((*blocks, positions.len()), (40, 28));
        assert_eq!([0, 2, 14, 27].map(|at| positions[at]), [0, 3, 20, 39]);
        let (blocks, positions) = &deeper[1];
        assert_eq!((*blocks, positions.len(), positions[0], positions[2], positions[27]), (52, 28, 0, 4, 51));
        assert_eq!(anima[1].deeper(), [(52, (0..52).filter(|at| at % 4 != 3 || *at > 47).collect())]);
        assert!(anima[2].deeper().is_empty() && Architecture::of("flux1")[0].deeper().is_empty());
    }

    #[test]
    fn fused_layers_and_their_parts_have_the_right_shapes() {
        let flux = &Architecture::of("flux1")[0];
        let rows = |path: &str| {
            let modules = flux.modules();
            let found = modules.iter().find(|(_, module)| module.path == path).expect(path);
            (found.1.weight_shape()[0], flux.naming(path))
        };
        assert_eq!(rows("single_blocks.7.linear1"), (21504, Some(ModuleSource::Native)));
        assert_eq!(rows("single_transformer_blocks.7.proj_mlp"), (12288, Some(ModuleSource::Diffusers)));
        assert_eq!(rows("single_transformer_blocks.7.proj_out"), (3072, Some(ModuleSource::Both)));
    }
}
