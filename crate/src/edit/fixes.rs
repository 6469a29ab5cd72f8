//! Turns what is wrong with a file, and where it does not work, into edits that mend it: each with a
//! title, what it mends and the edit itself.
//!
//! That another spelling works in a loader is not guessed: the conversion is planned, and its header
//! is judged by the loaders' rules.

use super::apply::Edit;
use super::convert::{AlphaPlace, ConvertOptions, convert};
use super::draft::head;
use super::error::EditError;
use super::export::export;
use super::inputs::EditInput;
use super::metadata::MetadataEdit;
use super::names::Target;
use super::open::Opened;
use super::pairs::{KeyScheme, PairKeys, RankRule, layer_shape, pair_pieces};
use super::resize::ResizeOptions;

use crate::adapters::{Delta, LeftoverClass, Part, Strengths};
use crate::analysis::{Container, FileKind, Health, LoaderStatus, LoaderVerdict, Report, header_words, inspect_header};
use crate::formats::{ByteSource, Dtype, Header, Reading};
use crate::num::to_f32;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;
use ts_rs::TS;

/// An edit that mends something.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Fix {
    /// Short name: `rename_kohya`, `remove_strays`, `repair_hashes`, …
    pub id: String,
    /// What it does, as on a button.
    pub title: String,
    /// What that is good for, in a sentence.
    pub why: String,
    /// Classes of the report's problems that it mends.
    pub problems: Vec<String>,
    /// Short names of the loaders that then apply all of the file.
    pub loaders: Vec<String>,
    /// The edit, for this file alone.
    pub edit: Edit,
}

/// The rank of LoRAs that are made of changes of full rank.
const RANK: usize = 64;

/// Every edit that mends something of an adapter, the most useful first. `report` is the file's; one by
/// its header alone has fewer.
pub async fn fixes(input: &EditInput<'_>, report: &Report) -> Result<Vec<Fix>, EditError> {
    let mut list = Vec::new();
    let packed = matches!(report.container, Container::PickleZip | Container::PickleLegacy | Container::Gguf);
    if packed && export(input.name, input.source()?, input.config).await.is_ok() {
        list.push(as_safetensors(report));
    }
    if report.container == Container::Zip && report.kind == FileKind::Adapter {
        let why = "Programs load the file itself, not an archive with it.";
        list.push(fix("unpack", "Unpack it as safetensors".into(), why, &["archive"], Edit::Export));
        return Ok(list);
    }
    list.extend(header_fixes(report));
    if report.kind != FileKind::Adapter || report.modules.is_empty() {
        return Ok(list);
    }
    let Ok(opened) = input.open().await else { return Ok(list) };
    list.extend(prunes(report));
    list.extend(alpha(&opened, report));
    list.extend(renames(&opened, report).await);
    list.extend(number_type(report));
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
        Container::Gguf => "Programs for pictures read safetensors.",
        _ => "A safetensors file holds no code, and every program reads it.",
    };
    fix("safetensors", "Save its tensors as safetensors".into(), why, &[], Edit::Export)
}

/// Hashes and claims of the header.
fn header_fixes(report: &Report) -> Vec<Fix> {
    let mut list = Vec::new();
    if report.container != Container::Safetensors {
        return list;
    }
    let metadata = |edit: MetadataEdit| Edit::Metadata(edit);
    if has(report, "wrong_hash") {
        let edit = metadata(MetadataEdit { repair_hashes: true, ..MetadataEdit::default() });
        let why = "Programs then know the file again by the hash in its header.";
        list.push(fix("repair_hashes", "Put the header's hashes right".into(), why, &["wrong_hash"], edit));
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
        let title = format!("Say {} in the header", report.base.label);
        let why = "Programs that sort files by their headers then show it in the right place.";
        list.push(fix("right_header", title, why, &["wrong_header"], metadata(edit)));
    }
    list
}

/// Removal of what programs choke on.
fn prunes(report: &Report) -> Vec<Fix> {
    let mut list = Vec::new();
    let count = report.leftovers.len();
    let keys = if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
    let drop = ConvertOptions { drop: true, ..ConvertOptions::default() };
    let broken = LeftoverClass::ALL.into_iter().filter(|class| !class.is_foreign()).map(LeftoverClass::name);
    let broken: Vec<&str> = broken.filter(|class| has(report, class)).collect();
    if count > 0 && !broken.is_empty() {
        let why = "What is left works; the layers that are removed could not be used anyway.";
        list.push(fix(
            "remove_broken",
            format!("Remove {keys} that cannot be used"),
            why,
            &broken,
            Edit::Convert(drop),
        ));
    } else if count > 0 && report.base.family != "unknown" {
        let why = "They change nothing, and some programs complain about them or refuse the file.";
        let title = format!("Remove {keys} that change no layer");
        list.push(fix("remove_strays", title, why, &[LeftoverClass::UnmatchedKeys.name()], Edit::Convert(drop)));
    }
    let infinite: Vec<String> = report
        .problems
        .iter()
        .filter(|problem| problem.class == "nan_inf")
        .flat_map(|problem| problem.modules.clone())
        .collect();
    if !infinite.is_empty() && infinite.len() < report.modules.len() {
        let title = format!("Leave out {} layers with NaN or infinite numbers", infinite.len());
        let why = "The picture is no longer black; these layers have no effect.";
        let edit = Edit::Convert(ConvertOptions { without: infinite, ..ConvertOptions::default() });
        list.push(fix("without_nan", title, why, &["nan_inf"], edit));
    }
    list
}

/// A scale that stands beside the tensors, where not every loader looks.
fn alpha(opened: &Opened, report: &Report) -> Option<Fix> {
    let stored = |delta: &Delta| {
        let group = opened.group(delta);
        group.is_some_and(|group| group.get(crate::model::spelling::Role::Alpha).is_some())
    };
    let hidden = opened.adapter.deltas.iter().filter(|delta| delta.scale != 1.0 && !stored(delta)).count();
    let noted: Vec<String> = report
        .loaders
        .iter()
        .filter(|verdict| verdict.strength_note.is_some() && verdict.status == LoaderStatus::Applied)
        .map(|verdict| verdict.loader.clone())
        .collect();
    if hidden == 0 || noted.is_empty() {
        return None;
    }
    let why = "alpha stands beside the tensors, where not every program looks: baked in, the strength is the same everywhere.";
    let edit =
        Edit::Convert(ConvertOptions { alpha: AlphaPlace::Baked, keep_leftovers: true, ..ConvertOptions::default() });
    let title = format!("Multiply alpha into {hidden} layers");
    Some(Fix { loaders: noted, ..fix("bake_alpha", title, why, &["ambiguous_alpha"], edit) })
}

/// Other spellings, and plain LoRA, that more loaders apply: the fewest that help all.
async fn renames(opened: &Opened<'_>, report: &Report) -> Vec<Fix> {
    const TARGETS: [Target; 5] = [Target::Kohya, Target::Peft, Target::Diffusers, Target::Comfy, Target::Onetrainer];
    let mut candidates: Vec<(BTreeSet<String>, Fix)> = Vec::new();
    if opened.layers.is_some() {
        for target in TARGETS {
            for as_lora in [false, true] {
                if as_lora && !opened.adapter.deltas.iter().any(becomes_lora) {
                    continue;
                }
                let options = ConvertOptions {
                    to: Some(target),
                    as_lora,
                    rank: as_lora.then_some(RANK),
                    drop: as_lora,
                    ..ConvertOptions::default()
                };
                let header = match as_lora {
                    false => convert(opened, &options).await.ok().map(|planned| planned.draft().header().clone()),
                    true => plain(opened, target),
                };
                let Some(header) = header else { continue };
                let mended = mended(report, &header).await;
                candidates.push((mended, rename(report, target, as_lora, options)));
            }
        }
    }
    let mut chosen = Vec::new();
    // Of equals the first: without loss before with, kohya's before others.
    while let Some(best) = (0..candidates.len())
        .rev()
        .max_by_key(|&index| (candidates[index].0.len(), !candidates[index].1.id.starts_with("lora")))
    {
        let (mended, fix) = candidates.remove(best);
        if mended.is_empty() {
            break;
        }
        candidates.iter_mut().for_each(|(others, _)| others.retain(|loader| !mended.contains(loader)));
        chosen.push(Fix { loaders: mended.into_iter().collect(), ..fix });
    }
    chosen
}

/// Whether a change that is no plain LoRA can become one without the base model.
fn becomes_lora(delta: &Delta) -> bool {
    matches!(delta.algorithm, "loha" | "loha_tucker" | "lokr" | "lokr_tucker" | "locon_tucker")
        || delta.algorithm == "full" && delta.part == Part::Weight && delta.change.shape().len() > 1
}

fn rename(report: &Report, target: Target, as_lora: bool, options: ConvertOptions) -> Fix {
    let people = match target {
        Target::Kohya => "kohya's",
        Target::Peft => "PEFT's",
        Target::Diffusers => "old diffusers'",
        Target::Comfy => "ComfyUI's",
        Target::Onetrainer => "OneTrainer's",
    };
    let (id, title, why) = if as_lora {
        let from = report.algorithms.join(", ");
        let why = "Layers that are no plain LoRA become one, without loss where that is possible; the preview says how near the others come.";
        (format!("lora_{}", target.name()), format!("Turn {from} into plain LoRA with {people} names"), why)
    } else {
        let why = "Only names change; the effect is the same.";
        (format!("rename_{}", target.name()), format!("Rename its keys to {people}"), why)
    };
    fix(&id, title, why, &[], Edit::Convert(options))
}

/// The header of plain LoRAs for every layer that can have one.
fn plain(opened: &Opened, target: Target) -> Option<Header> {
    let naming = KeyScheme::new(Some(target), opened).ok()?;
    let lora = |delta: &&Delta| becomes_lora(delta) || matches!(delta.algorithm, "lora" | "locon" | "dylora");
    let mut pieces = Vec::new();
    for (index, delta) in opened.adapter.deltas.iter().filter(lora).enumerate() {
        let keys = PairKeys::of(naming, opened, delta).ok()?;
        pieces.extend(pair_pieces(keys, &layer_shape(opened, delta), 1, Dtype::F16, index));
    }
    (!pieces.is_empty()).then(|| super::draft::Draft::new(pieces, Default::default()).header().clone())
}

/// The loaders that do not apply all of the file now and would apply all of one with this header.
async fn mended(report: &Report, header: &Header) -> BTreeSet<String> {
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

/// Number types that few programs read.
fn number_type(report: &Report) -> Option<Fix> {
    let rare = |dtype: &str| dtype.starts_with("F8") || matches!(dtype, "F64" | "I64" | "I32" | "I8" | "U8");
    let rows = report.modules.iter().filter(|row| rare(&row.dtype)).count();
    let edit =
        Edit::Convert(ConvertOptions { dtype: Some(Dtype::F16), keep_leftovers: true, ..ConvertOptions::default() });
    let why = "Every program reads F16; numbers that it cannot hold are told in the preview.";
    (rows > 0).then(|| fix("as_f16", format!("Store {rows} layers as F16"), why, &[], edit))
}

/// Edits that nothing forces, and that make the file better.
fn advice(report: &Report) -> Vec<Fix> {
    let mut list = Vec::new();
    let Some(health) = report.health.as_ref().filter(|_| !has(report, "nan_inf")) else { return list };
    if health.rank_98 * 2 <= health.rank && !report.refused() {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let (before, after) = (megabytes(health.bytes), megabytes(health.bytes_98));
        let title = format!("Make it rank {}: {before} becomes {after}", health.rank_98);
        let rule = RankRule::Fixed(health.rank_98);
        let edit = Edit::Resize(ResizeOptions { rule, most: None, to: None, dtype: None, drop: false });
        list.push(fix("smaller", title, "It keeps 98 % of the energy of its changes.", &[], edit));
    }
    list.extend(usual_strength(health));
    list
}

/// What makes strength 1 of a strong file what it is of most files.
pub fn usual_strength(health: &Health) -> Option<Fix> {
    let strength = ((1.0 / health.times_usual) * 100.0).round() / 100.0;
    let title = format!("Multiply the file by {strength}");
    let why = "Strength 1 then is as strong as most people's files are.";
    let edit = Edit::Convert(ConvertOptions {
        strengths: Strengths::all(to_f32(strength)),
        keep_leftovers: true,
        ..ConvertOptions::default()
    });
    (health.times_usual > 1.2).then(|| fix("usual_strength", title, why, &[], edit))
}

/// A file that is not written yet: its header, and zeros.
struct Planned {
    head: Vec<u8>,
    len: u64,
}

impl ByteSource for Planned {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        let byte = |at: u64| usize::try_from(at).ok().and_then(|at| self.head.get(at)).copied().unwrap_or(0);
        let inside = range.start <= range.end && range.end <= self.len;
        let read = if inside { Ok(range.map(byte).collect()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
        Box::pin(std::future::ready(read))
    }
}
