//! Turns a file into its report: bytes, header, groups, family, deltas, norms, problems.

use super::base::BaseShapes;
use super::blocks::{block, coverage};
use super::family::{Detected, Layers, detect};
use super::loaders::{Evidence, LoaderVerdict, verdicts};
use super::problems;
use super::refusal;
use super::report::{Base, Container, FileKind, LeftoverRow, ModuleRow, Problem, Report};
use super::verdict;
use crate::adapters::{Adapter, Delta, Group, Leftover, PeftConfigs, Why, group, locate, read};
use crate::formats::{Buffered, ByteSource, Content, FormatError, Header, read_header, sniff};
use crate::model::spelling::{Role, Spellings};
use sha2::{Digest, Sha256};

/// Reports on a file. `companion` is the text of the adapter_config.json beside it; `base` the
/// model that it is meant for. Every failure is a problem of the report.
pub async fn inspect(
    file: &str,
    source: &dyn ByteSource,
    companion: Option<&str>,
    base: Option<&BaseShapes>,
) -> Report {
    let mut report = Report::empty(file, source.len());
    match fill(&mut report, source, companion, base).await {
        Ok(()) => {}
        Err(error) => report.problems.push(Problem::refuse(error.class(), sentence(&error.to_string()))),
    }
    report.verdict = verdict::sentence(&report);
    report
}

/// The text with a capital at the start and a full stop at the end.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let start = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{start}{}.", chars.as_str())
}

async fn fill(
    report: &mut Report,
    source: &dyn ByteSource,
    companion: Option<&str>,
    base: Option<&BaseShapes>,
) -> Result<(), FormatError> {
    let size = source.len();
    report.sha256 = sha256(source).await?;
    let start = source.read(0..size.min(sniff::SNIFF_LEN as u64)).await?;
    let content = sniff::sniff(&start);
    if let Some((container, kind, problem)) = refusal::by_content(content, size) {
        (report.container, report.kind) = (container, kind);
        report.problems.push(problem);
        return Ok(());
    }
    (report.container, report.kind) = match content {
        Content::Zip => (Container::PickleZip, FileKind::Pickle),
        Content::Pickle => (Container::PickleLegacy, FileKind::Pickle),
        _ => (Container::Safetensors, FileKind::Unknown),
    };
    let header = read_header(&Buffered::new(source)).await?;
    report.metadata = header.metadata.clone();
    let (groups, _) = group(&header);
    let adapter_groups: Vec<Group> = groups.into_iter().filter(has_change).collect();
    if adapter_groups.is_empty() {
        let (kind, problem) = refusal::by_tensors(&header);
        report.kind = kind;
        report.problems.push(problem);
        return Ok(());
    }
    report.kind = FileKind::Adapter;
    adapter(report, source, &header, &adapter_groups, companion, base).await
}

/// Whether a group holds more than a plain weight or a lone number.
fn has_change(group: &Group) -> bool {
    group.tensors.keys().any(|role| !matches!(role, Role::Weight | Role::Alpha | Role::Scale | Role::Rescale))
}

async fn adapter(
    report: &mut Report,
    source: &dyn ByteSource,
    header: &Header,
    groups: &[Group],
    companion: Option<&str>,
    base: Option<&BaseShapes>,
) -> Result<(), FormatError> {
    let own = base.map(BaseShapes::modules);
    let known = base.zip(own.as_deref()).map(|(base, modules)| (base.family, modules));
    let found = detect(groups, &header.metadata, known);
    let fits_base = found.id.is_some() && found.id == base.map(|base| base.family);
    let (modules, counted) = match (&own, &found.layers) {
        (Some(own), _) if fits_base => (own.clone(), own.clone()),
        (_, Some(layers)) => (layers.modules(), layers.counted()),
        _ => (Vec::new(), Vec::new()),
    };
    let configs = configs(report, header, companion);
    let source = Buffered::new(source);
    let adapter = read(&source, header, &configs, &modules).await?;
    let mut findings = problems::Findings::default();
    report.modules = rows(&adapter, &source, header, &mut findings).await?;
    report.coverage = coverage(&counted, &report.modules);
    report.algorithms = algorithms(&adapter);
    report.leftovers = leftovers(&adapter, &found);
    report.convention = adapter.convention.clone();
    problems::collect(&mut report.problems, &adapter, &findings, &found, base, &configs);
    report.loaders = loaders(report, header, groups, &found, &adapter, companion.is_some());
    report.base = Base { family: found.name.clone(), label: found.label.clone(), evidence: found.evidence.clone() };
    Ok(())
}

/// What every loader does with the file, by the layers of its own family.
fn loaders(
    report: &Report,
    header: &Header,
    groups: &[Group],
    family: &Detected,
    adapter: &Adapter,
    has_config: bool,
) -> Vec<LoaderVerdict> {
    let modules = family.layers.as_ref().map(Layers::modules).unwrap_or_default();
    let found = locate(groups, &Spellings::new(&modules));
    let (file, problems) = (report.file.as_str(), report.problems.as_slice());
    verdicts(&Evidence { file, header, groups, found: &found, family, adapter, problems, has_config })
}

/// The PEFT configs that speak for the file: its companion, else its header.
fn configs(report: &mut Report, header: &Header, companion: Option<&str>) -> PeftConfigs {
    let (text, place) = match (companion, header.metadata.get("lora_adapter_metadata")) {
        (Some(text), _) => (PeftConfigs::parse(text), "adapter_config.json"),
        (None, Some(text)) => (PeftConfigs::parse_metadata(text), "the header's lora_adapter_metadata"),
        (None, None) => return PeftConfigs::default(),
    };
    text.unwrap_or_else(|error| {
        let message = format!("{place} cannot be read ({error}), so alpha is not known and scale 1 is used.");
        report.problems.push(Problem::warn("bad_config", message));
        PeftConfigs::default()
    })
}

/// One row a layer; reads every factor once and notes what is odd about the numbers.
async fn rows(
    adapter: &Adapter,
    source: &dyn ByteSource,
    header: &Header,
    findings: &mut problems::Findings,
) -> Result<Vec<ModuleRow>, FormatError> {
    let mut rows: Vec<ModuleRow> = Vec::new();
    for delta in &adapter.deltas {
        let numbers = delta.read(source, header).await?;
        let norm = delta.norm(&numbers);
        findings.look(delta, &numbers, norm);
        match rows.last_mut().filter(|row| row.path == delta.path()) {
            Some(row) => row.norm = row.norm.zip(norm).map(|(a, b)| a.hypot(b)),
            None => rows.push(row(delta, norm)),
        }
    }
    Ok(rows)
}

fn row(delta: &Delta, norm: Option<f64>) -> ModuleRow {
    let dtype = delta.change.factors().first().map(|factor| factor.dtype.to_string());
    ModuleRow {
        path: delta.path(),
        algorithm: delta.algorithm.into(),
        rank: delta.change.rank(),
        alpha: delta.alpha,
        scale: delta.scale,
        dtype: dtype.unwrap_or_default(),
        norm,
        shape: delta.change.shape(),
        block: block(delta.component, &delta.module),
    }
}

/// The algorithms of all deltas, once each. A LoCon with cores counts as one algorithm, although
/// its linear layers have none.
fn algorithms(adapter: &Adapter) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for delta in &adapter.deltas {
        if !names.contains(&delta.algorithm) {
            names.push(delta.algorithm);
        }
    }
    if names.contains(&"locon_tucker") {
        names.retain(|name| !matches!(*name, "lora" | "locon"));
    }
    names.into_iter().map(str::to_owned).collect()
}

fn leftovers(adapter: &Adapter, found: &Detected) -> Vec<LeftoverRow> {
    let reason = |why: &Why| match why {
        Why::NoSuchLayer(_) if found.layers.is_none() && found.name != "unknown" => {
            format!("made for {}", found.label)
        }
        Why::NoSuchLayer(stem) if found.layers.is_some() => {
            format!("{} has no layer `{stem}`", found.label)
        }
        why => why.to_string(),
    };
    let row = |left: &Leftover| LeftoverRow { key: left.key.clone(), reason: reason(&left.why) };
    adapter.leftovers.iter().map(row).collect()
}

/// SHA-256 of the whole file, read in blocks.
pub async fn sha256(source: &dyn ByteSource) -> Result<String, FormatError> {
    const BLOCK: u64 = 4 << 20;
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < source.len() {
        let end = (at + BLOCK).min(source.len());
        hash.update(source.read(at..end).await?);
        at = end;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
