//! Norms of every layer in every file of a training run, and how far it moved from file to file.
//!
//! All files are read at the same time, a stretch of layers after the other, so that each byte is read once and two files'
//! factors of a few layers are in memory.

use super::difference::{Scaled, difference_norm};
use crate::adapters::{Group, PeftConfigs, Reader, group, locate};
use crate::analysis::compare::ReadError;
use crate::analysis::family::{detect, own_layers};
use crate::analysis::measurements::is_quick;
use crate::analysis::rows::Share;
use crate::analysis::spectrum::Spectrum;
use crate::formats::{ByteSource, FormatError, Header, ReadFuture, TensorInfo, read_header};
use crate::model::block::block;
use crate::model::spelling::{KeyTable, ModuleMatch};
use crate::model::{Component, Kind, Module};
use crate::num::host_len;
use futures_util::future::join;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use ts_rs::TS;

/// A file of a training run.
pub struct SeriesInput<'a> {
    /// Name, for messages.
    pub name: &'a str,
    /// Bytes.
    pub source: &'a dyn ByteSource,
    /// Text of the adapter_config.json next to it.
    pub companion: Option<&'a str>,
}

/// A layer's changes in all files of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct SeriesLayer {
    /// Layer path.
    pub path: String,
    /// The layer's block, see [`Coverage`](crate::analysis::Coverage).
    pub block: String,
    /// Part of the network.
    pub part: SeriesPart,
    /// One per file, in order; null if the file does not change the layer, or its change depends on the base model.
    pub points: Vec<Option<SeriesPoint>>,
}

/// A layer's change in one file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct SeriesPoint {
    /// Frobenius norm at strength 1.
    pub norm: f64,
    /// Effective rank; null if it takes too long.
    pub effective_rank: Option<f64>,
    /// Frobenius norm of the difference from the file before; null if there is none.
    pub moved: Option<f64>,
}

/// A part of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum SeriesPart {
    /// Text encoders.
    Text,
    /// Attention.
    Attention,
    /// Feed-forward layers.
    FeedForward,
    /// Convolutions.
    Convolution,
    /// Everything else: embeddings, modulation, projections.
    Other,
}

impl SeriesPart {
    /// Every part.
    pub const ALL: [SeriesPart; 5] =
        [SeriesPart::Text, SeriesPart::Attention, SeriesPart::FeedForward, SeriesPart::Convolution, SeriesPart::Other];

    /// Returns the name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            SeriesPart::Text => "text",
            SeriesPart::Attention => "attention",
            SeriesPart::FeedForward => "feed_forward",
            SeriesPart::Convolution => "convolution",
            SeriesPart::Other => "other",
        }
    }

    fn of(component: Component, module: &Module) -> SeriesPart {
        let names: Vec<&str> = module.path.split(['.', '_']).collect();
        let has = |parts: &[&str]| names.iter().any(|name| parts.contains(name));
        if component.name().starts_with("text_encoder") || component == Component::LanguageModel {
            SeriesPart::Text
        } else if matches!(module.kind, Kind::Conv { kernel, .. } if kernel > 1) {
            SeriesPart::Convolution
        } else if has(&["ff", "ffn", "mlp", "feed", "context"]) {
            SeriesPart::FeedForward
        } else if has(&["attn", "attn1", "attn2", "attention", "attentions", "qkv"]) {
            SeriesPart::Attention
        } else {
            SeriesPart::Other
        }
    }
}

/// Bytes of the layers that are read at once from each file: smaller reads leave more to the browser's garbage collector.
const STRETCH: u64 = 4 << 20;
/// The same for the first read, which the first chart waits for.
const FIRST_STRETCH: u64 = 1 << 20;

/// A file with its header's layout: files of one run usually share it.
struct File<'a, 'i> {
    input: &'i SeriesInput<'a>,
    configs: PeftConfigs,
    layout: usize,
}

/// What a header says about the tensors: keys, shapes and places, and the layers that they change.
struct Layout {
    header: Header,
    groups: Vec<Group>,
    own: Vec<Module>,
    known: Option<Vec<(Component, &'static Module)>>,
}

impl Layout {
    fn of(header: Header) -> Layout {
        let (groups, _) = group(&header);
        let known = detect(&groups, &header.metadata, None).layers.map(|layers| layers.modules());
        let own = if known.is_none() { own_layers(&groups) } else { Vec::new() };
        Layout { header, groups, own, known }
    }

    /// Returns the layer of each group.
    fn located(&self) -> Vec<Option<ModuleMatch<'_>>> {
        let own = self.own.iter().map(|module| (Component::Model, module));
        let modules: Vec<(Component, &Module)> = self
            .known
            .as_ref()
            .map_or_else(|| own.collect(), |known| known.iter().map(|&(c, module)| (c, module)).collect());
        locate(&self.groups, &KeyTable::new(&modules))
    }
}

/// Measures a share of the layers of a run's files. `on_layers` receives them as they are measured, with the share that is
/// done; breaking stops.
pub async fn measure_series(
    inputs: &[SeriesInput<'_>],
    share: Share,
    on_layers: &mut dyn FnMut(Vec<SeriesLayer>, f64) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let (mut files, mut layouts): (Vec<File>, Vec<Layout>) = (Vec::new(), Vec::new());
    for input in inputs {
        let header = read_header(input.source).await.map_err(|source| failed(input, source))?;
        // A scale that cannot be read is that of a file without a config, as in a report.
        let configs = PeftConfigs::resolve(&header, input.companion).unwrap_or_default();
        let layout = layouts.iter().position(|known| known.header.tensors == header.tensors).unwrap_or_else(|| {
            layouts.push(Layout::of(header));
            layouts.len() - 1
        });
        files.push(File { input, configs, layout });
    }
    let located: Vec<Vec<Option<ModuleMatch>>> = layouts.iter().map(Layout::located).collect();
    let path = |found: &ModuleMatch| format!("{}.{}", found.component, found.module.path);
    let indices: Vec<HashMap<String, usize>> = located
        .iter()
        .map(|found| found.iter().enumerate().filter_map(|(at, found)| Some((path(found.as_ref()?), at))).collect())
        .collect();
    let mut seen = HashSet::new();
    let all = located.iter().flatten().flatten().map(|found| (path(found), found));
    let order: Vec<(String, &ModuleMatch)> = all.filter(|(path, _)| seen.insert(path.clone())).collect();
    let sizes: Vec<u64> = order.iter().map(|(path, _)| layer_bytes(&layouts, &indices, path)).collect();
    let stretches = stretches(&sizes, share);
    let window = async |stretch: &Range<usize>, file: usize| {
        let file = &files[file];
        let (layout, index) = (&layouts[file.layout], &indices[file.layout]);
        let groups = order[stretch.clone()].iter().map(|(path, _)| index.get(path).copied()).collect();
        Window::read(file.input.source, layout, groups).await.map_err(|source| failed(file.input, source.into()))
    };
    let mut visits = stretches.iter().flat_map(|stretch| (0..files.len()).map(move |file| (stretch, file))).peekable();
    let mut ahead = match visits.peek() {
        Some(&(stretch, file)) => Some(window(stretch, file).await?),
        None => None,
    };
    for (done, stretch) in stretches.iter().enumerate() {
        let mut measured: Vec<Measured> =
            order[stretch.clone()].iter().map(|(path, found)| Measured::none(path, found)).collect();
        for file in &files {
            visits.next();
            let Some(read) = ahead.take() else { break };
            // The next window is read while this one's numbers are computed.
            let next = async {
                match visits.peek() {
                    Some(&(stretch, file)) => window(stretch, file).await.map(Some),
                    None => Ok(None),
                }
            };
            let (layout, found) = (&layouts[file.layout], &located[file.layout]);
            let (next, added) = join(next, add_file(&mut measured, &read, file, layout, found)).await;
            added.map_err(|source| failed(file.input, source))?;
            ahead = next?;
        }
        let layers = measured.into_iter().map(|Measured { layer, .. }| layer);
        let layers = layers.filter(|layer| layer.points.iter().any(Option::is_some)).collect();
        if on_layers(layers, (done + 1) as f64 / stretches.len() as f64).is_break() {
            break;
        }
    }
    Ok(())
}

/// A layer's numbers so far, and its last change.
struct Measured {
    layer: SeriesLayer,
    last: Option<Scaled>,
}

impl Measured {
    fn none(path: &str, found: &ModuleMatch) -> Measured {
        let (block, part) = (block(found.component, found.module), SeriesPart::of(found.component, found.module));
        Measured { layer: SeriesLayer { path: path.into(), block, part, points: Vec::new() }, last: None }
    }
}

/// Adds a file's numbers to those of a stretch's layers.
async fn add_file(
    measured: &mut [Measured],
    window: &Window<'_>,
    file: &File<'_, '_>,
    layout: &Layout,
    found: &[Option<ModuleMatch<'_>>],
) -> Result<(), FormatError> {
    for (Measured { layer, last }, &at) in measured.iter_mut().zip(&window.groups) {
        let mut change = match at {
            Some(at) => change(window, layout, &file.configs, at, found[at]).await?,
            None => None,
        };
        layer.points.push(change.as_mut().map(|change| point(last.as_ref(), change)));
        *last = change.or(last.take());
    }
    Ok(())
}

fn failed(input: &SeriesInput, source: FormatError) -> ReadError {
    ReadError { file: input.name.into(), source }
}

/// Returns the bytes of a layer in the first layout that has it.
fn layer_bytes(layouts: &[Layout], indices: &[HashMap<String, usize>], path: &str) -> u64 {
    let group = layouts.iter().zip(indices).find_map(|(layout, index)| Some(&layout.groups[*index.get(path)?]));
    group.map_or(0, |group| group.tensors.values().map(TensorInfo::byte_len).sum())
}

/// Divides the layers into stretches of about [`STRETCH`] bytes, the first of them smaller, and returns those of a share, in
/// an order that soon has some from everywhere: every eighth, then the rest.
fn stretches(sizes: &[u64], share: Share) -> Vec<Range<usize>> {
    const STRIDE: usize = 8;
    let (mut all, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, size) in sizes.iter().enumerate() {
        bytes += size;
        if bytes >= if all.is_empty() { FIRST_STRETCH } else { STRETCH } || at + 1 == sizes.len() {
            all.push(start..at + 1);
            (start, bytes) = (at + 1, 0);
        }
    }
    let spread = (0..STRIDE).flat_map(|first| (first..all.len()).step_by(STRIDE));
    spread
        .map(|at| all[at].clone())
        .enumerate()
        .filter(|(at, _)| at % share.parts == share.part)
        .map(|(_, range)| range)
        .collect()
}

/// The bytes of a stretch of layers, read at once if they are adjacent.
struct Window<'a> {
    /// Groups of a layout that change these layers.
    groups: Vec<Option<usize>>,
    inner: &'a dyn ByteSource,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    async fn read(
        inner: &'a dyn ByteSource,
        layout: &Layout,
        groups: Vec<Option<usize>>,
    ) -> std::io::Result<Window<'a>> {
        let tensors = || groups.iter().flatten().flat_map(|&at| layout.groups[at].tensors.values());
        let start = tensors().map(|tensor| tensor.bytes.start).min().unwrap_or(0);
        let end = tensors().map(|tensor| tensor.bytes.end).max().unwrap_or(0);
        let wanted: u64 = tensors().map(TensorInfo::byte_len).sum();
        let is_adjacent = end.saturating_sub(start) <= 2 * wanted && end <= inner.len();
        let bytes = if is_adjacent { inner.read(start..end).await? } else { Vec::new() };
        Ok(Window { groups, inner, start, bytes })
    }
}

impl ByteSource for Window<'_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        let from = range.start.checked_sub(self.start).map(host_len);
        let to = range.end.checked_sub(self.start).map(host_len);
        match from.zip(to).and_then(|(from, to)| self.bytes.get(from..to)) {
            Some(bytes) => Box::pin(std::future::ready(Ok(bytes.to_vec()))),
            None => self.inner.read(range),
        }
    }
}

/// Reads the change of a group's layer; `None` if it is no matrix that the file alone determines.
async fn change(
    window: &Window<'_>,
    layout: &Layout,
    configs: &PeftConfigs,
    at: usize,
    found: Option<ModuleMatch<'_>>,
) -> Result<Option<Scaled>, FormatError> {
    let mut group = layout.groups[at].clone();
    group.read_scalars(window).await?;
    let mut reader = Reader::new(&layout.header, configs, &[]);
    // A second change of the layer, such as that of its bias, is left out.
    let Some(delta) = reader.add(&group, found).first() else { return Ok(None) };
    let factors = delta.read(window, &layout.header).await?;
    Ok(delta.change.form(&factors).map(|form| Scaled { form, scale: delta.scale, grams: None }))
}

/// Computes the numbers of a change; keeps its Gram matrices for the difference from the next.
fn point(before: Option<&Scaled>, change: &mut Scaled) -> SeriesPoint {
    let scale = f64::from(change.scale);
    let spectrum = is_quick(&change.form).then(|| {
        let (values, grams) = change.form.singular_values_and_grams();
        change.grams = grams;
        Spectrum::scaled(values, scale)
    });
    let norm = spectrum
        .as_ref()
        .map_or_else(|| change.form.dot(&change.form).max(0.0).sqrt() * scale.abs(), Spectrum::frobenius);
    SeriesPoint {
        norm,
        effective_rank: spectrum.map(|spectrum| spectrum.effective_rank()),
        moved: before.and_then(|before| difference_norm(before, change)),
    }
}
