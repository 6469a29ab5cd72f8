//! Turns a file into its report: bytes, header, groups, family, deltas, norms, problems.

use super::base::BaseShapes;
use super::blocks::coverage;
use super::family::{Detected, detect, own_layers};
use super::hashes::{hashes_with, hex};
use super::loaders::{Evidence, LoaderVerdict, verdicts};
use super::packed;
use super::problems;
use super::refusal;
use super::report::{Base, Container, FileKind, ImportRow, LeftoverRow, ModuleRow, Problem, Report};
use super::rows::{self, GroupNumbers, Located, Share};
use super::training::training;
use super::verdict;
use crate::adapters::{Adapter, ConfigPlace, Group, Leftover, PeftConfigs, Reader, LeftoverReason, group, locate};
use crate::formats::{
    Archive, Buffered, ByteSource, Content, FormatError, Header, TensorInfo, gguf, imports, read_header, sniff,
};
use crate::model::spelling::{ModuleMatch, Role, Spellings, algorithm, short};
use crate::model::{Component, Module};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Something that is known of a file before all is.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A layer's numbers were read.
    Layer {
        /// Bytes that are done.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// The layer, as the report will have it.
        row: &'a ModuleRow,
    },
    /// Part of the file was hashed.
    Hashed {
        /// Bytes that are done.
        done: u64,
        /// The file's length.
        total: u64,
    },
}

/// Who hears what is known, and may stop the rest.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Reports on a file. `companion` is the text of the adapter_config.json beside it; `base` the
/// model that it is meant for. Every failure is a problem of the report.
pub async fn inspect(
    file: &str,
    source: &dyn ByteSource,
    companion: Option<&str>,
    base: Option<&BaseShapes>,
) -> Report {
    let how = InspectOptions { companion, base, depth: Detail::Numbers(&[]), inside: false };
    inspect_as(file, source, how, &mut |_| ControlFlow::Continue(())).await.0
}

/// The same, told piece by piece: every layer's numbers, then the hashes. `known` is what
/// [`measure`] has read. Where `hear` stops it, the report has what was known by then, and says
/// `headers_only` where not all numbers were read.
pub async fn inspect_with(
    file: &str,
    source: &dyn ByteSource,
    companion: Option<&str>,
    known: &[GroupNumbers],
    hear: &mut OnProgress<'_>,
) -> Report {
    let how = InspectOptions { companion, base: None, depth: Detail::Numbers(known), inside: false };
    inspect_as(file, source, how, hear).await.0
}

/// Reads the numbers of a share of a file, for [`inspect_with`]; nothing of files in archives.
pub async fn measure(
    file: &str,
    source: &dyn ByteSource,
    companion: Option<&str>,
    share: Share,
    hear: &mut OnProgress<'_>,
) -> Vec<GroupNumbers> {
    let how = InspectOptions { companion, base: None, depth: Detail::Share(share), inside: false };
    inspect_as(file, source, how, hear).await.1
}

/// Reports on a file by its header alone: no norms, scales, hashes or anything else that needs its
/// numbers. Takes milliseconds, whatever the file's size.
pub async fn inspect_header(file: &str, source: &dyn ByteSource, companion: Option<&str>) -> Report {
    let how = InspectOptions { companion, base: None, depth: Detail::Header, inside: false };
    inspect_as(file, source, how, &mut |_| ControlFlow::Continue(())).await.0
}

/// What is known beside a file's bytes, and how far to go.
#[derive(Clone, Copy)]
pub(super) struct InspectOptions<'a> {
    pub(super) companion: Option<&'a str>,
    pub(super) base: Option<&'a BaseShapes>,
    pub(super) depth: Detail<'a>,
    /// The file lies in an archive.
    pub(super) inside: bool,
}

/// Which of a file's bytes are read.
#[derive(Clone, Copy)]
pub(super) enum Detail<'a> {
    Header,
    /// All of a share's numbers.
    Share(Share),
    /// All numbers but those of groups that are known, and all bytes for the hashes.
    Numbers(&'a [GroupNumbers]),
}

/// A report, with the numbers that it rests on.
pub(super) async fn inspect_as(
    file: &str,
    source: &dyn ByteSource,
    how: InspectOptions<'_>,
    hear: &mut OnProgress<'_>,
) -> (Report, Vec<GroupNumbers>) {
    let headers_only = !matches!(how.depth, Detail::Numbers(_));
    let mut report = Report { headers_only, ..Report::empty(file, source.len()) };
    let (mut filled, mut numbers) = (Ok(()), Vec::new());
    match fill(&mut report, source, how, hear).await {
        Ok(read) => numbers = read,
        Err(error) => filled = Err(error),
    }
    if !report.headers_only && !how.inside {
        filled = filled.and(hashed(&mut report, source, hear).await);
    }
    if let Err(error) = filled {
        report.problems.push(Problem::refuse(error.class(), sentence(&error.to_string())));
    }
    report.verdict = verdict::sentence(&report);
    (report, numbers)
}

/// The text with a capital at the start and a full stop at the end.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let start = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{start}{}.", chars.as_str())
}

/// Adds the hashes, which take one more pass over the file.
async fn hashed(report: &mut Report, source: &dyn ByteSource, hear: &mut OnProgress<'_>) -> Result<(), FormatError> {
    let header = match report.container {
        Container::Safetensors => Header::read(source).await.ok(),
        _ => None,
    };
    let total = source.len();
    let found = hashes_with(source, header.as_ref(), &mut |done| hear(Progress::Hashed { done, total })).await?;
    if let Some(found) = found {
        report.sha256 = found.sha256.clone();
        report.problems.extend(problems::wrong_hashes(&found));
        report.hashes = Some(found);
    }
    Ok(())
}

async fn fill(
    report: &mut Report,
    source: &dyn ByteSource,
    how: InspectOptions<'_>,
    hear: &mut OnProgress<'_>,
) -> Result<Vec<GroupNumbers>, FormatError> {
    let size = source.len();
    let start = source.read(0..size.min(sniff::SNIFF_LEN as u64)).await?;
    let content = sniff::sniff(&start);
    if let Some((container, kind, problem)) = refusal::by_content(content, size) {
        (report.container, report.kind) = (container, kind);
        report.problems.push(problem);
        return Ok(Vec::new());
    }
    (report.container, report.kind) = match content {
        Content::Zip => (Container::PickleZip, FileKind::Pickle),
        Content::Pickle => (Container::PickleLegacy, FileKind::Pickle),
        Content::Gguf => (Container::Gguf, FileKind::Gguf),
        _ => (Container::Safetensors, FileKind::Unknown),
    };
    let buffered = Buffered::new(source);
    // The header of a safetensors file is two reads; everything else takes many small ones.
    let source = if matches!(how.depth, Detail::Header) && content == Content::Safetensors { source } else { &buffered };
    if content == Content::Zip
        && !how.inside
        && let Some(archive) = Archive::open(source).await?
    {
        if !matches!(how.depth, Detail::Share(_)) {
            packed::report(report, source, &archive, how, hear).await?;
        }
        return Ok(Vec::new());
    }
    if matches!(content, Content::Zip | Content::Pickle) {
        report.imports = imports(source).await?.into_iter().map(ImportRow::from).collect();
    }
    if content == Content::Gguf {
        let gguf = gguf::read(source).await?;
        report.metadata = gguf.metadata.clone();
        if !gguf.is_adapter() {
            report.problems.push(refusal::by_gguf(&gguf));
            return Ok(Vec::new());
        }
    }
    let header = read_header(source).await?;
    report.metadata = header.metadata.clone();
    report.training = training(&header.metadata);
    report.header_sha256 = header_sha256(&header, size);
    if let Some((kind, problem)) = refusal::by_names(&header) {
        report.kind = kind;
        report.problems.push(problem);
        return Ok(Vec::new());
    }
    let (groups, others) = group(&header);
    let (changing, idle): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(has_change);
    if changing.is_empty() {
        let (kind, problem) = refusal::by_tensors(&header);
        report.kind = kind;
        report.problems.push(problem);
        return Ok(Vec::new());
    }
    report.kind = FileKind::Adapter;
    adapter(report, source, &header, changing, Rest { idle, others }, how, hear).await
}

/// What a file holds beside the groups that change something.
struct Rest<'a> {
    idle: Vec<Group>,
    others: Vec<&'a TensorInfo>,
}

/// Whether a group holds more than a plain weight or bias, or a lone number.
fn has_change(group: &Group) -> bool {
    let idle = |role: &Role| matches!(role, Role::Weight | Role::Bias | Role::Alpha | Role::Scale | Role::Rescale);
    !group.tensors.keys().all(idle)
}

async fn adapter(
    report: &mut Report,
    source: &dyn ByteSource,
    header: &Header,
    groups: Vec<Group>,
    rest: Rest<'_>,
    how: InspectOptions<'_>,
    hear: &mut OnProgress<'_>,
) -> Result<Vec<GroupNumbers>, FormatError> {
    let InspectOptions { companion, base, depth, .. } = how;
    let own = base.map(BaseShapes::modules);
    let known = base.zip(own.as_deref()).map(|(base, modules)| (base.family, modules));
    let found = detect(&groups, &header.metadata, known);
    let fits_base = found.id.is_some() && found.id == base.map(|base| base.family);
    let at_base = own.as_deref().filter(|_| fits_base);
    let counted = match (at_base, found.layers) {
        (Some(own), _) => own.to_vec(),
        (None, Some(layers)) => layers.counted(),
        (None, None) => Vec::new(),
    };
    let resolved = PeftConfigs::resolve(header, companion);
    let unread = resolved.as_ref().err().map(|error| Problem::refuse("bad_config", sentence(&error.to_string())));
    let lacks_config = resolved.as_ref().is_ok_and(|configs| configs.place().is_none());
    report.problems.extend(unread);
    let configs = resolved.unwrap_or_default();
    let changing = groups.len();
    let mut groups = groups;
    groups.extend(rest.idle);
    let unlisted = if found.layers.is_none() { own_layers(&groups[..changing]) } else { Vec::new() };
    let unlisted: Vec<(Component, &Module)> = unlisted.iter().map(|module| (Component::Model, module)).collect();
    let layers = match (at_base, found.layers) {
        (Some(own), _) => locate(&groups, &Spellings::new(own)),
        (None, None) => locate(&groups, &Spellings::new(&unlisted)),
        (None, Some(layers)) if groups.len() > changing => locate(&groups, &Spellings::new(&layers.modules())),
        _ => padded(&found.found, groups.len()),
    };
    let mut reader = Reader::new(header, &configs, &rest.others);
    let located = Located { groups: &mut groups, layers: &layers };
    let measured = match depth {
        Detail::Header => {
            rows::unread(&mut reader, located);
            None
        }
        Detail::Share(share) => {
            return Ok(rows::measured(&mut reader, located, source, header, (share, &[]), hear).await?.groups);
        }
        Detail::Numbers(known) => {
            Some(rows::measured(&mut reader, located, source, header, (Share::WHOLE, known), hear).await?)
        }
    };
    let adapter = reader.finish(&groups);
    let groups = &groups[..changing];
    let mut findings = problems::Findings::unread(&adapter);
    match measured {
        None => report.modules = rows::bare(&adapter),
        Some(measured) => {
            report.headers_only = !measured.whole;
            (report.modules, report.health, findings) = (measured.rows, measured.health, measured.findings);
        }
    }
    report.coverage = coverage(&counted, &report.modules);
    report.algorithms = algorithms(&adapter, groups);
    report.leftovers = leftovers(&adapter, &found);
    report.convention = adapter.convention.clone();
    problems::collect(&mut report.problems, &adapter, &findings, &found, base, lacks_config);
    report.loaders = loaders(report, header, groups, &found, &adapter, configs.place());
    report.base = Base { family: found.name.clone(), label: found.label.clone(), evidence: found.evidence.clone() };
    Ok(Vec::new())
}

/// A list brought to a length.
fn padded<'a>(found: &[Option<ModuleMatch<'a>>], len: usize) -> Vec<Option<ModuleMatch<'a>>> {
    let mut list = found.to_vec();
    list.resize(len, None);
    list
}

/// What every loader does with the file, by the layers of its own family.
fn loaders(
    report: &Report,
    header: &Header,
    groups: &[Group],
    family: &Detected,
    adapter: &Adapter,
    config: Option<ConfigPlace>,
) -> Vec<LoaderVerdict> {
    let found = padded(&family.found, groups.len());
    let (file, problems) = (report.file.as_str(), report.problems.as_slice());
    verdicts(&Evidence { file, header, groups, found: &found, family, adapter, problems, config })
}

/// The algorithms of all deltas, once each. A LoCon with cores counts as one algorithm, although
/// its linear layers have none.
fn algorithms(adapter: &Adapter, groups: &[Group]) -> Vec<String> {
    let named = groups.iter().flat_map(|group| group.tensors.values()).filter_map(|tensor| algorithm(&tensor.name));
    let named: BTreeSet<&str> = named.collect();
    let named: Vec<String> = named.into_iter().map(short).collect();
    let mut names: Vec<&str> = Vec::new();
    for delta in &adapter.deltas {
        if !names.contains(&delta.algorithm) {
            names.push(delta.algorithm);
        }
    }
    if names.contains(&"locon_tucker") {
        names.retain(|name| !matches!(*name, "lora" | "locon"));
    }
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    names.extend(named);
    names.dedup();
    names
}

fn leftovers(adapter: &Adapter, found: &Detected) -> Vec<LeftoverRow> {
    let reason = |why: &LeftoverReason| match why {
        LeftoverReason::NoSuchLayer(stem) if found.layers.is_some() => {
            format!("{} has no layer `{stem}`", found.label)
        }
        why => why.to_string(),
    };
    let row = |left: &Leftover| LeftoverRow { key: left.key.clone(), reason: reason(&left.reason) };
    adapter.leftovers.iter().map(row).collect()
}

/// SHA-256 of what a header says: metadata, and each tensor with type, shape and place.
fn header_sha256(header: &Header, size: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(size.to_le_bytes());
    for (key, value) in &header.metadata {
        hash.update(format!("{key}\n{value}\n"));
    }
    for tensor in &header.tensors {
        hash.update(format!("{} {} {:?} {:?}\n", tensor.name, tensor.dtype, tensor.shape, tensor.bytes));
    }
    hex(&hash.finalize())
}
