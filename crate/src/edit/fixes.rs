//! Suggested fixes for a file's problems and for loaders that ignore it: each with a title, a reason
//! and the edit itself.
//!
//! Whether another key format works in a loader is not guessed: the conversion is planned, and its
//! header is checked against the loaders' rules.

use super::apply::Edit;
use super::convert::{AlphaPlace, ConvertOptions, convert};
use super::draft::head;
use super::error::EditError;
use super::export::export;
use super::inputs::EditInput;
use super::metadata::MetadataEdit;
use super::names::Target;
use super::open::Opened;
use super::pairs::{KeyScheme, PairKeys, RankRule, is_convertible, layer_shape, pair_pieces};
use super::resize::ResizeOptions;

use crate::adapters::{Delta, LeftoverClass, Strengths};
use crate::analysis::{Container, FileKind, Health, LoaderStatus, LoaderVerdict, Report, header_words, inspect_header};
use crate::formats::{ByteSource, Dtype, Header, ReadFuture};
use crate::num::to_f32;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;
use ts_rs::TS;

/// An edit that fixes a problem.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Fix {
    /// Id: `rename_kohya`, `remove_strays`, `repair_hashes`, …
    pub id: String,
    /// Button label.
    pub title: String,
    /// Reason to apply it, as a sentence.
    pub why: String,
    /// Classes of the report's problems that it fixes.
    pub problems: Vec<String>,
    /// Ids of the loaders that apply the whole file only after the edit.
    pub loaders: Vec<String>,
    /// The edit; its only input is the file.
    pub edit: Edit,
}

/// Rank of LoRAs that approximate changes of full rank.
const LORA_RANK: usize = 64;

/// Returns the fixes for a file, the most useful first. `report` is the file's report; one of its
/// header only yields fewer fixes.
pub async fn fixes(input: &EditInput<'_>, report: &Report) -> Result<Vec<Fix>, EditError> {
    let mut list = Vec::new();
    let packed = matches!(report.container, Container::PickleZip | Container::PickleLegacy | Container::Gguf);
    if packed && export(input.name, input.source()?, input.config).await.is_ok() {
        list.push(as_safetensors(report));
    }
    if report.container == Container::Zip && report.kind == FileKind::Adapter {
        let why = "Programs load the file itself, not a zip archive.";
        list.push(fix("unpack", "Unpack to safetensors".into(), why, &["archive"], Edit::Export));
        return Ok(list);
    }
    list.extend(header_fixes(report));
    if report.kind != FileKind::Adapter || report.modules.is_empty() {
        return Ok(list);
    }
    let Ok(opened) = input.open().await else { return Ok(list) };
    list.extend(key_removals(report));
    list.extend(bake_alpha(&opened, report));
    list.extend(renames(&opened, report).await);
    list.extend(rare_dtype(report));
    list.extend(advice(report));
    Ok(list)
}

fn fix(id: &str, title: String, why: &str, problems: &[&str], edit: Edit) -> Fix {
    let problems = problems.iter().map(|class| (*class).to_owned()).collect();
    Fix { id: id.into(), title, why: why.into(), problems, loaders: Vec::new(), edit }
}

fn has(report: &Report, class: &str) -> bool {
    report.problems.iter().any(|problem| problem.class == class)
}

fn as_safetensors(report: &Report) -> Fix {
    let why = match report.container {
        Container::Gguf => "Image generators read safetensors.",
        _ => "A safetensors file contains no code, and every program reads it.",
    };
    fix("safetensors", "Save as safetensors".into(), why, &[], Edit::Export)
}

/// Fixes of hashes and base model in the header.
fn header_fixes(report: &Report) -> Vec<Fix> {
    let mut list = Vec::new();
    if report.container != Container::Safetensors {
        return list;
    }
    let metadata = |edit: MetadataEdit| Edit::Metadata(edit);
    if has(report, "wrong_hash") {
        let edit = metadata(MetadataEdit { repair_hashes: true, ..MetadataEdit::default() });
        let why = "Programs can then identify the file by the hash in its header.";
        list.push(fix("repair_hashes", "Fix the hashes in the header".into(), why, &["wrong_hash"], edit));
    }
    if has(report, "wrong_header") {
        let words = header_words(&report.base.family);
        let mut edit = MetadataEdit::default();
        for (key, word) in ["ss_base_model_version", "modelspec.architecture"].into_iter().zip(words) {
            if report.metadata.contains_key(key) {
                edit.set.push((key.into(), word.clone()));
            }
        }
        if edit.set.is_empty() {
            return list;
        }
        let title = format!("Set the base model in the header to {}", report.base.label);
        let why = "Programs that sort files by their headers then list it under the right base model.";
        list.push(fix("right_header", title, why, &["wrong_header"], metadata(edit)));
    }
    list
}

/// Fixes that remove keys and layers that break loaders.
fn key_removals(report: &Report) -> Vec<Fix> {
    let mut list = Vec::new();
    let count = report.leftovers.len();
    let keys = if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
    let drop = ConvertOptions { drop: true, ..ConvertOptions::default() };
    let broken = LeftoverClass::ALL.into_iter().filter(|class| !class.is_foreign()).map(LeftoverClass::name);
    let broken: Vec<&str> = broken.filter(|class| has(report, class)).collect();
    if count > 0 && !broken.is_empty() {
        let why = "The rest works; the removed layers could not be used anyway.";
        list.push(fix(
            "remove_broken",
            format!("Remove {keys} that cannot be used"),
            why,
            &broken,
            Edit::Convert(drop),
        ));
    } else if count > 0 && report.base.family != "unknown" {
        let why = "They have no effect, and some programs warn about them or refuse the file.";
        let title = format!("Remove {keys} that match no layer");
        list.push(fix("remove_strays", title, why, &[LeftoverClass::UnmatchedKeys.name()], Edit::Convert(drop)));
    }
    let non_finite: Vec<String> = report
        .problems
        .iter()
        .filter(|problem| problem.class == "nan_inf")
        .flat_map(|problem| problem.modules.clone())
        .collect();
    if !non_finite.is_empty() && non_finite.len() < report.modules.len() {
        let title = format!("Remove {} layers with NaN or Inf values", non_finite.len());
        let why = "Images are no longer black; the removed layers have no effect.";
        let edit = Edit::Convert(ConvertOptions { without: non_finite, ..ConvertOptions::default() });
        list.push(fix("without_nan", title, why, &["nan_inf"], edit));
    }
    list
}

/// Fix for alphas that are stored outside the tensors, where not every loader reads them.
fn bake_alpha(opened: &Opened, report: &Report) -> Option<Fix> {
    let stored = |delta: &Delta| {
        let group = opened.group(delta);
        group.is_some_and(|group| group.get(crate::model::spelling::Role::Alpha).is_some())
    };
    let hidden = opened.adapter.deltas.iter().filter(|delta| delta.scale != 1.0 && !stored(delta)).count();
    let loaders: Vec<String> = report
        .loaders
        .iter()
        .filter(|verdict| verdict.strength_note.is_some() && verdict.status == LoaderStatus::Applied)
        .map(|verdict| verdict.loader.clone())
        .collect();
    if hidden == 0 || loaders.is_empty() {
        return None;
    }
    let why = "Not every program reads alpha from outside the tensors. Baked in, the strength is the same everywhere.";
    let edit =
        Edit::Convert(ConvertOptions { alpha: AlphaPlace::Baked, keep_leftovers: true, ..ConvertOptions::default() });
    let title = format!("Bake alpha into {hidden} layers");
    Some(Fix { loaders, ..fix("bake_alpha", title, why, &["ambiguous_alpha"], edit) })
}

/// A conversion to another key format.
struct Candidate {
    /// Loaders that apply the whole file only after it.
    loaders: BTreeSet<String>,
    /// Whether other algorithms become plain LoRA.
    as_lora: bool,
    fix: Fix,
}

/// Conversions to key formats or plain LoRA that more loaders apply: a greedy minimal set that
/// covers all of those loaders.
async fn renames(opened: &Opened<'_>, report: &Report) -> Vec<Fix> {
    const TARGETS: [Target; 5] = [Target::Kohya, Target::Peft, Target::Diffusers, Target::Comfy, Target::Onetrainer];
    let mut candidates: Vec<Candidate> = Vec::new();
    if opened.layers.is_some() {
        for target in TARGETS {
            for as_lora in [false, true] {
                if as_lora && !opened.adapter.deltas.iter().any(is_convertible) {
                    continue;
                }
                let options = ConvertOptions {
                    to: Some(target),
                    as_lora,
                    rank: as_lora.then_some(LORA_RANK),
                    drop: as_lora,
                    ..ConvertOptions::default()
                };
                let header = match as_lora {
                    false => convert(opened, &options).await.ok().map(|planned| planned.draft().header().clone()),
                    true => lora_header(opened, target),
                };
                let Some(header) = header else { continue };
                let loaders = newly_applied(report, &header).await;
                candidates.push(Candidate { loaders, as_lora, fix: rename(report, target, as_lora, options) });
            }
        }
    }
    let mut chosen = Vec::new();
    // On ties the first candidate wins: exact before lossy, kohya before other formats.
    while let Some(best) =
        (0..candidates.len()).rev().max_by_key(|&index| (candidates[index].loaders.len(), !candidates[index].as_lora))
    {
        let Candidate { loaders, fix, .. } = candidates.remove(best);
        if loaders.is_empty() {
            break;
        }
        candidates.iter_mut().for_each(|other| other.loaders.retain(|loader| !loaders.contains(loader)));
        chosen.push(Fix { loaders: loaders.into_iter().collect(), ..fix });
    }
    chosen
}

fn rename(report: &Report, target: Target, as_lora: bool, options: ConvertOptions) -> Fix {
    let format = match target {
        Target::Kohya => "kohya",
        Target::Peft => "PEFT",
        Target::Diffusers => "legacy diffusers",
        Target::Comfy => "ComfyUI",
        Target::Onetrainer => "OneTrainer",
    };
    let (id, title, why) = if as_lora {
        let from = report.algorithms.join(", ");
        let why = "Other algorithms become plain LoRA, exactly where possible; the preview shows the error otherwise.";
        (format!("lora_{}", target.name()), format!("Convert {from} to plain LoRA with {format} keys"), why)
    } else {
        let why = "Only the keys change; the effect is the same.";
        (format!("rename_{}", target.name()), format!("Rename keys to {format} format"), why)
    };
    fix(&id, title, why, &[], Edit::Convert(options))
}

/// Returns the header of a conversion to plain LoRA, with every layer that can be converted.
fn lora_header(opened: &Opened, target: Target) -> Option<Header> {
    let scheme = KeyScheme::new(Some(target), opened).ok()?;
    let lora = |delta: &&Delta| is_convertible(delta) || delta.algorithm.is_pair();
    let mut pieces = Vec::new();
    for (index, delta) in opened.adapter.deltas.iter().filter(lora).enumerate() {
        let keys = PairKeys::of(scheme, opened, delta).ok()?;
        pieces.extend(pair_pieces(keys, &layer_shape(opened, delta), 1, Dtype::F16, index));
    }
    (!pieces.is_empty()).then(|| super::draft::Draft::new(pieces, Default::default()).header().clone())
}

/// Returns the loaders that apply the whole of a file with this header but not of the file as it is.
async fn newly_applied(report: &Report, header: &Header) -> BTreeSet<String> {
    let head = head(header);
    let data = header.tensors.last().map_or(0, |tensor| tensor.bytes.end);
    let source = Planned { len: head.len() as u64 + data, head };
    let after = inspect_header(&report.file, &source, None).await;
    let is_whole = |verdict: &&LoaderVerdict| verdict.status == LoaderStatus::Applied;
    let before: BTreeSet<&str> =
        report.loaders.iter().filter(is_whole).map(|verdict| verdict.loader.as_str()).collect();
    let whole = after.loaders.iter().filter(is_whole).map(|verdict| verdict.loader.clone());
    whole.filter(|loader| !before.contains(loader.as_str()) && loader != "this_page").collect()
}

/// Fix for dtypes that few programs read.
fn rare_dtype(report: &Report) -> Option<Fix> {
    let rare = |dtype: &str| dtype.starts_with("F8") || matches!(dtype, "F64" | "I64" | "I32" | "I8" | "U8");
    let rows = report.modules.iter().filter(|row| rare(&row.dtype)).count();
    let edit =
        Edit::Convert(ConvertOptions { dtype: Some(Dtype::F16), keep_leftovers: true, ..ConvertOptions::default() });
    let why = "Every program reads F16; values outside its range are reported.";
    (rows > 0).then(|| fix("as_f16", format!("Store {rows} layers as F16"), why, &[], edit))
}

/// Optional improvements of a file without problems.
fn advice(report: &Report) -> Vec<Fix> {
    let mut list = Vec::new();
    let Some(health) = report.health.as_ref().filter(|_| !has(report, "nan_inf")) else { return list };
    if health.rank_98 * 2 <= health.rank && !report.is_refused() {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let (before, after) = (megabytes(health.bytes), megabytes(health.bytes_98));
        let title = format!("Resize to rank {}: {before} becomes {after}", health.rank_98);
        let rule = RankRule::Fixed(health.rank_98);
        let edit = Edit::Resize(ResizeOptions { rule, most: None, to: None, dtype: None, drop: false });
        list.push(fix("smaller", title, "Keeps 98% of the energy of its changes.", &[], edit));
    }
    list.extend(usual_strength(health));
    list
}

/// Returns a fix that scales a strong file so that strength 1 is typical.
pub fn usual_strength(health: &Health) -> Option<Fix> {
    let strength = ((1.0 / health.times_usual) * 100.0).round() / 100.0;
    let title = format!("Multiply the weights by {strength}");
    let why = "Strength 1 is then as strong as in a typical LoRA.";
    let edit = Edit::Convert(ConvertOptions {
        strengths: Strengths::all(to_f32(strength)),
        keep_leftovers: true,
        ..ConvertOptions::default()
    });
    (health.times_usual > 1.2).then(|| fix("usual_strength", title, why, &[], edit))
}

/// A planned file: its header, followed by zeros.
struct Planned {
    head: Vec<u8>,
    len: u64,
}

impl ByteSource for Planned {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        let byte = |at: u64| usize::try_from(at).ok().and_then(|at| self.head.get(at)).copied().unwrap_or(0);
        let inside = range.start <= range.end && range.end <= self.len;
        let read = if inside { Ok(range.map(byte).collect()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
        Box::pin(std::future::ready(read))
    }
}
