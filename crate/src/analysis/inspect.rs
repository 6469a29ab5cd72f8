//! Inspection of one file: content type, header, groups, family, deltas, norms, problems.

use super::base::BaseShapes;
use super::blocks::coverage;
use super::family::{Detected, detect, own_layers};
use super::hashes::{hashes_with, hex};
use super::loaders::{AppliedLayers, Evidence, Judgement, LoaderVerdict, judgements, weights};
use super::measurements::{Findings, GroupMeasurements};
use super::packed::ArchivedAdapter;
use super::problem_class::ProblemClass;
use super::problems;
use super::progress::{OnProgress, Progress};
use super::refusal;
use super::report::{Container, FileKind, ImportRow, LeftoverRow, Problem, Report};
use super::rows::{self, Located, Share};
use super::training::training;
use super::verdict;
use crate::adapters::{Adapter, Algorithm, Group, Leftover, LeftoverReason, PeftConfigs, Reader, group, locate};
use crate::formats::{
    Archive, Buffered, ByteSource, Content, FormatError, Header, TensorInfo, gguf, imports, read_header, sniff,
};
use crate::model::spelling::{KeyTable, ModuleMatch, Role, algorithm, short};
use crate::model::{Component, Module};
use crate::sentence::{Value, sentence};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Inspects a file. `companion` is the text of the adapter_config.json next to it, `base` the intended
/// base model. Every failure becomes a problem of the report.
pub async fn inspect(
    file: &str,
    source: &dyn ByteSource,
    companion: Option<&str>,
    base: Option<&BaseShapes>,
) -> Report {
    let options = InspectOptions { companion, base, depth: Detail::Numbers(&[]), inside: false };
    inspect_as(file, source, options, &mut |_| ControlFlow::Continue(())).await.0
}

/// Like [`inspect`], and reports every measured layer, then the hashes, to `on_progress`. `known` holds
/// results of [`measure`]. If `on_progress` breaks, the report holds what is known so far, with
/// `headers_only` set if some layers were not measured.
pub async fn inspect_with(
    file: &str,
    source: &dyn ByteSource,
    companion: Option<&str>,
    known: &[GroupMeasurements],
    on_progress: &mut OnProgress<'_>,
) -> Report {
    let options = InspectOptions { companion, base: None, depth: Detail::Numbers(known), inside: false };
    inspect_as(file, source, options, on_progress).await.0
}

/// Measures the groups of a share of a file, for [`inspect_with`]; returns nothing for archives.
pub async fn measure(
    file: &str,
    source: &dyn ByteSource,
    companion: Option<&str>,
    share: Share,
    on_progress: &mut OnProgress<'_>,
) -> Vec<GroupMeasurements> {
    let options = InspectOptions { companion, base: None, depth: Detail::Share(share), inside: false };
    inspect_as(file, source, options, on_progress).await.1
}

/// Inspects only a file's header: no norms, scales, hashes or anything else that needs tensor data.
/// Takes milliseconds, whatever the file's size.
pub async fn inspect_header(file: &str, source: &dyn ByteSource, companion: Option<&str>) -> Report {
    let options = InspectOptions { companion, base: None, depth: Detail::Header, inside: false };
    inspect_as(file, source, options, &mut |_| ControlFlow::Continue(())).await.0
}

/// Inputs other than the file's bytes, and the level of detail.
#[derive(Clone, Copy)]
struct InspectOptions<'a> {
    companion: Option<&'a str>,
    base: Option<&'a BaseShapes>,
    depth: Detail<'a>,
    /// Whether the file is in an archive.
    inside: bool,
}

/// The parts of a file that are read.
#[derive(Clone, Copy)]
enum Detail<'a> {
    Header,
    /// All tensors of a share.
    Share(Share),
    /// All tensors except those of known groups, and all bytes for the hashes.
    Numbers(&'a [GroupMeasurements]),
}

/// Returns a report, and the measured groups for [`Detail::Share`].
async fn inspect_as(
    file: &str,
    source: &dyn ByteSource,
    options: InspectOptions<'_>,
    on_progress: &mut OnProgress<'_>,
) -> (Report, Vec<GroupMeasurements>) {
    let headers_only = !matches!(options.depth, Detail::Numbers(_));
    let mut report = Report { headers_only, ..Report::empty(file, source.len()) };
    let (mut result, mut measured) = (Ok(()), Vec::new());
    match fill(&mut report, source, options, on_progress).await {
        Ok(groups) => measured = groups,
        Err(error) => result = Err(error),
    }
    if !report.headers_only && !options.inside {
        result = result.and(add_hashes(&mut report, source, on_progress).await);
    }
    if let Err(error) = result {
        report.problems.push(Problem::refuse(ProblemClass::from(&error), error.sentence()));
    }
    report.verdict = verdict::sentence(&report);
    (report, measured)
}

/// Adds the hashes, which takes another pass over the file.
async fn add_hashes(
    report: &mut Report,
    source: &dyn ByteSource,
    on_progress: &mut OnProgress<'_>,
) -> Result<(), FormatError> {
    let header = match report.container {
        Container::Safetensors => Header::read(source).await.ok(),
        _ => None,
    };
    let total = source.len();
    let found = hashes_with(source, header.as_ref(), &mut |done| on_progress(Progress::Hashed { done, total })).await?;
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
    options: InspectOptions<'_>,
    on_progress: &mut OnProgress<'_>,
) -> Result<Vec<GroupMeasurements>, FormatError> {
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
    // A safetensors header takes two reads; everything else takes many small ones.
    let source =
        if matches!(options.depth, Detail::Header) && content == Content::Safetensors { source } else { &buffered };
    if content == Content::Zip
        && !options.inside
        && let Some(archive) = Archive::open(source).await?
    {
        if !matches!(options.depth, Detail::Share(_)) {
            fill_from_archive(report, source, &archive, options, on_progress).await?;
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
        let named = options.companion.and_then(|config| refusal::by_peft_type(config, &header));
        let (kind, problem) = match named {
            Some(problem) => (FileKind::Unknown, problem),
            None => refusal::by_tensors(&header),
        };
        report.kind = kind;
        report.problems.push(problem);
        return Ok(Vec::new());
    }
    report.kind = FileKind::Adapter;
    fill_adapter(report, source, &header, changing, Rest { idle, others }, options, on_progress).await
}

/// Replaces the report with that on the first adapter of an archive, and adds a problem that says to unpack it.
async fn fill_from_archive(
    report: &mut Report,
    source: &dyn ByteSource,
    archive: &Archive,
    options: InspectOptions<'_>,
    on_progress: &mut OnProgress<'_>,
) -> Result<(), FormatError> {
    (report.container, report.kind) = (Container::Zip, FileKind::Unknown);
    let Some(found) = ArchivedAdapter::of(source, archive).await? else {
        report.problems.push(Problem::refuse(ProblemClass::NotAnAdapter, sentence!("not_lora.zip")));
        return Ok(());
    };
    let options = InspectOptions { companion: found.config.as_deref(), inside: true, ..options };
    let (inside, _) = Box::pin(inspect_as(&found.name, &found.source, options, on_progress)).await;
    let others = match &found.others[..] {
        [] => Value::from(""),
        [other] => sentence!("not_lora.beside_one", file = other).into(),
        more => sentence!("not_lora.beside_more", n = more.len()).into(),
    };
    let message = sentence!("not_lora.inside_zip", file = &found.name, others = others);
    let (file, size) = (report.file.clone(), report.size);
    *report = Report { file, size, container: Container::Zip, ..inside };
    report.problems.push(Problem::refuse(ProblemClass::Archive, message));
    Ok(())
}

/// The tensors of a file that change no layer by themselves.
struct Rest<'a> {
    idle: Vec<Group>,
    others: Vec<&'a TensorInfo>,
}

/// Returns whether a group holds more than a plain weight or bias, or a scalar.
fn has_change(group: &Group) -> bool {
    let idle = |role: &Role| matches!(role, Role::Weight | Role::Bias | Role::Alpha | Role::Scale | Role::Rescale);
    !group.tensors.keys().all(idle)
}

async fn fill_adapter(
    report: &mut Report,
    source: &dyn ByteSource,
    header: &Header,
    groups: Vec<Group>,
    rest: Rest<'_>,
    options: InspectOptions<'_>,
    on_progress: &mut OnProgress<'_>,
) -> Result<Vec<GroupMeasurements>, FormatError> {
    let InspectOptions { companion, base, depth, .. } = options;
    let base_modules = base.map(BaseShapes::modules);
    let known = base.zip(base_modules.as_deref()).map(|(base, modules)| (base.family, modules));
    let found = detect(&groups, &header.metadata, known);
    let fits_base = found.id.is_some() && found.id == base.map(|base| base.family);
    let base_layers = base_modules.as_deref().filter(|_| fits_base);
    let counted = match (base_layers, found.layers) {
        (Some(modules), _) => modules.to_vec(),
        (None, Some(layers)) => layers.counted(),
        (None, None) => Vec::new(),
    };
    let resolved = PeftConfigs::resolve(header, companion);
    let bad_config = resolved.as_ref().err().map(|error| Problem::refuse(ProblemClass::BadConfig, error.sentence()));
    let lacks_config = resolved.as_ref().is_ok_and(|configs| configs.place().is_none());
    report.problems.extend(bad_config);
    let configs = resolved.unwrap_or_default();
    let changing = groups.len();
    let mut groups = groups;
    groups.extend(rest.idle);
    let file_modules = if found.layers.is_none() { own_layers(&groups[..changing]) } else { Vec::new() };
    let file_modules: Vec<(Component, &Module)> =
        file_modules.iter().map(|module| (Component::Model, module)).collect();
    let layers = match (base_layers, found.layers) {
        (Some(modules), _) => locate(&groups, &KeyTable::new(modules)),
        (None, None) => locate(&groups, &KeyTable::new(&file_modules)),
        (None, Some(layers)) if groups.len() > changing => locate(&groups, &KeyTable::new(&layers.modules())),
        _ => padded(&found.found, groups.len()),
    };
    let mut reader = Reader::new(header, &configs, &rest.others);
    reader.locate(&groups, &layers);
    let located = Located { groups: &mut groups, layers: &layers, family: &found.name };
    let measured = match depth {
        Detail::Header => {
            rows::unread(&mut reader, located);
            None
        }
        Detail::Share(share) => {
            return Ok(rows::measured(&mut reader, located, source, header, (share, &[]), on_progress).await?.groups);
        }
        Detail::Numbers(known) => {
            Some(rows::measured(&mut reader, located, source, header, (Share::WHOLE, known), on_progress).await?)
        }
    };
    let adapter = reader.finish(&groups);
    let groups = &groups[..changing];
    let mut findings = Findings::unread(&adapter);
    match measured {
        None => report.modules = rows::bare(&adapter),
        Some(measured) => {
            report.headers_only = !measured.whole;
            report.signature = measured.sketch.signature().filter(|_| measured.whole);
            (report.modules, report.health, findings) = (measured.rows, measured.health, measured.findings);
        }
    }
    report.coverage = coverage(&counted, &report.modules);
    report.algorithms = algorithms(&adapter);
    report.leftovers = leftovers(&adapter, &found);
    report.convention = adapter.convention.clone();
    let config = problems::ConfigState { is_missing: lacks_config, metadata: &header.metadata };
    problems::collect(&mut report.problems, &adapter, &findings, &found, base, config);
    let evidence = Evidence {
        file: &report.file,
        header,
        groups,
        found: &padded(&found.found, groups.len()),
        family: &found,
        adapter: &adapter,
        problems: &report.problems,
        zero_alpha: &findings.zero_alpha,
        configs: &configs,
    };
    (report.loaders, report.applied) = judged(evidence);
    report.base = found.base();
    Ok(Vec::new())
}

/// Pads a list with `None` to a length.
fn padded<'a>(found: &[Option<ModuleMatch<'a>>], len: usize) -> Vec<Option<ModuleMatch<'a>>> {
    let mut list = found.to_vec();
    list.resize(len, None);
    list
}

/// Returns what every loader does with the file, judged by the layers of its family; and of each other family that the
/// file fits, where that differs.
fn judged(evidence: Evidence) -> (Vec<LoaderVerdict>, AppliedLayers) {
    let of = |judgements: &[Judgement], family: &Detected| AppliedLayers {
        family: family.name.clone(),
        weights: weights(evidence.groups, family),
        by_loader: judgements.iter().map(|judgement| judgement.applied.clone()).collect(),
        others: Vec::new(),
    };
    let mut list = judgements(&evidence);
    let mut applied = of(&list, evidence.family);
    for family in &evidence.family.others {
        let found = padded(&family.found, evidence.groups.len());
        let judged = judgements(&Evidence { family, found: &found, ..evidence });
        for (judgement, other) in list.iter_mut().zip(&judged) {
            judgement.verdict.compare(&other.verdict, family.named());
        }
        applied.others.push(of(&judged, family));
    }
    (list.into_iter().map(|judgement| judgement.verdict).collect(), applied)
}

/// Returns the distinct algorithms: of all deltas, of the changes that DoRA is combined with, unless they are LoRA, and
/// those that are only recognized. A LoCon with Tucker cores counts as one algorithm, although its linear layers have no
/// cores.
fn algorithms(adapter: &Adapter) -> Vec<String> {
    let named: BTreeSet<&str> = adapter.leftovers.iter().filter_map(|leftover| algorithm(&leftover.key)).collect();
    let mut distinct: Vec<Algorithm> = Vec::new();
    for algorithm in adapter.deltas.iter().flat_map(|delta| [Some(delta.algorithm), delta.change.decomposed()]) {
        distinct.extend(algorithm.filter(|algorithm| !distinct.contains(algorithm)));
    }
    if distinct.contains(&Algorithm::LoconTucker) {
        distinct.retain(|algorithm| !matches!(algorithm, Algorithm::Lora | Algorithm::Locon));
    }
    let mut names: Vec<String> = distinct.into_iter().map(|algorithm| algorithm.to_string()).collect();
    for name in named.into_iter().map(short) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn leftovers(adapter: &Adapter, found: &Detected) -> Vec<LeftoverRow> {
    let reason = |reason: &LeftoverReason| match reason {
        LeftoverReason::NoSuchLayer(stem) if found.layers.is_some() => {
            sentence!("leftover.no_layer_of", base = found.named(), layer = stem)
        }
        reason => reason.sentence(),
    };
    let row = |leftover: &Leftover| LeftoverRow { key: leftover.key.clone(), reason: reason(&leftover.reason) };
    adapter.leftovers.iter().map(row).collect()
}

/// Returns the SHA-256 of the file size, the metadata, and each tensor's name, dtype, shape, offsets and view.
fn header_sha256(header: &Header, size: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(size.to_le_bytes());
    for (key, value) in &header.metadata {
        hash.update(format!("{key}\n{value}\n"));
    }
    for tensor in &header.tensors {
        hash.update(format!("{} {} {:?} {:?}\n", tensor.name, tensor.dtype, tensor.shape, tensor.bytes));
        if let Some(view) = &tensor.view {
            hash.update(format!("{view:?}\n"));
        }
    }
    hex(&hash.finalize())
}
