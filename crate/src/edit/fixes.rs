//! Suggested fixes for a file's problems and for loaders that do not apply all of it: each with a title, a reason, the
//! edit itself and its effect on every loader.
//!
//! A fix never harms: its edit is planned, the planned header is judged by the loaders' rules, and the fix is offered
//! only if every loader still applies each of the original file's layers that it applied, at the same strength, and
//! something is better: a loader applies more of them, or a problem is gone.

use super::apply::Edit;
use super::convert::{AlphaPlace, ConvertOptions, convert};
use super::deeper::{deeper, moved};
use super::error::EditError;
use super::fix_id::FixId;
use super::inert::{half_pairs, inert_keys};
use super::inputs::EditInput;
use super::metadata::MetadataEdit;
use super::names::Target;
use super::open::Opened;
use super::pairs::{RankRule, is_convertible};
use super::planned::planned_report;
use super::resize::ResizeOptions;

use crate::adapters::{Delta, LeftoverClass, Strengths};
use crate::analysis::{
    Container, FileKind, Health, LoaderEffect, LoaderStatus, LoaderVerdict, ProblemClass, Report, effects,
    harms_others, wrong_names,
};
use crate::formats::Dtype;
use crate::model::spelling::Role;
use crate::num::to_f32;
use crate::sentence::{Sentence, Value, rounded, sentence};
use serde::Serialize;
use std::collections::BTreeSet;
use ts_rs::TS;

/// An edit that fixes a problem.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Fix {
    /// Id: `rename_kohya`, `remove_strays`, `repair_hashes`, …
    #[ts(type = "string")]
    pub id: FixId,
    /// Button label.
    pub title: Sentence,
    /// Reason to apply it.
    pub why: Sentence,
    /// Classes of the report's problems that it fixes.
    #[ts(type = "Array<string>")]
    pub problems: Vec<ProblemClass>,
    /// Ids of the loaders that apply the whole file only after the edit.
    pub loaders: Vec<String>,
    /// Layers of the file that each loader applies before and after the edit, by the loaders' rules; empty if the edit
    /// changes no key and was not judged.
    pub effect: Vec<LoaderEffect>,
    /// The edit; its only input is the file.
    pub edit: Edit,
}

/// Rank of LoRAs that approximate changes of full rank.
const LORA_RANK: usize = 64;

/// Returns the fixes for a file, the most useful first. `report` is the file's report; one of its
/// header only yields fewer fixes.
pub async fn fixes(input: &EditInput<'_>, report: &Report) -> Result<Vec<Fix>, EditError> {
    let is_adapter = report.kind == FileKind::Adapter && !report.modules.is_empty();
    let is_archive = report.container == Container::Zip;
    let opened = if is_adapter && !is_archive { input.open().await.ok() } else { None };
    let judge = Judge { input, report, opened: opened.as_ref() };
    let mut candidates = Vec::new();
    match report.container {
        Container::PickleZip | Container::PickleLegacy => {
            candidates.push(fix(FixId::Safetensors, sentence!("fix.safetensors"), Edit::Export));
        }
        Container::Gguf => {
            let why = sentence!("fix_why.gguf");
            candidates.push(Fix { why, ..fix(FixId::Safetensors, sentence!("fix.safetensors"), Edit::Export) });
        }
        Container::Zip if report.kind == FileKind::Adapter => {
            candidates.push(fix(FixId::Unpack, sentence!("fix.unpack"), Edit::Export));
        }
        Container::Safetensors => candidates.extend(header_fixes(report)),
        Container::Zip | Container::Unknown => {}
    }
    let mut list = Vec::new();
    for candidate in candidates {
        list.extend(judge.judged(candidate).await);
    }
    let Some(opened) = &opened else { return Ok(list) };
    let mut candidates = key_removals(opened, report).await;
    candidates.extend(half_removal(opened));
    candidates.extend(without_nan(opened, report));
    candidates.extend(bake_alpha(opened, report));
    for candidate in candidates {
        list.extend(judge.judged(candidate).await);
    }
    list.extend(conversions(opened, report, &judge).await);
    for candidate in other_depths(opened, report).into_iter().chain(rare_dtype(report)).chain(advice(report)) {
        list.extend(judge.judged(candidate).await);
    }
    Ok(list)
}

/// Creates a fix whose effect is unknown.
fn fix(id: FixId, title: Sentence, edit: Edit) -> Fix {
    let problems = id.problems().to_vec();
    Fix { id, title, why: id.why(), problems, loaders: Vec::new(), effect: Vec::new(), edit }
}

fn has(report: &Report, class: ProblemClass) -> bool {
    report.problems.iter().any(|problem| problem.class == class)
}

/// Judges fixes for a file by the reports on their planned results.
struct Judge<'a, 'b> {
    input: &'a EditInput<'b>,
    report: &'a Report,
    opened: Option<&'a Opened<'b>>,
}

impl Judge<'_, '_> {
    /// Returns the report on the original with its layers at the blocks that an edit moves them to, if it moves any.
    fn moved(&self, edit: &Edit) -> Option<Report> {
        let Edit::Convert(ConvertOptions { to_blocks: Some(blocks), .. }) = edit else { return None };
        let (_, positions) = deeper(self.opened?).into_iter().find(|(deeper, _)| deeper == blocks)?;
        let mut report = self.report.clone();
        for weight in report.applied.weights.iter_mut().flatten() {
            *weight = moved(weight, &positions).unwrap_or_else(|| weight.clone());
        }
        Some(report)
    }

    /// Returns a fix with its effect, problems and loaders, or `None` if its edit fails, harms or does not help.
    ///
    /// A fix that moves blocks is compared with the original's layers where they are then.
    async fn judged(&self, candidate: Fix) -> Option<Fix> {
        let after = planned_report(&candidate.edit, self.input, self.opened).await.ok()?;
        let effect = match self.moved(&candidate.edit) {
            Some(before) => effects(&before, &after),
            None => effects(self.report, &after),
        };
        let verdict =
            |report: &Report, loader: &str| report.loaders.iter().find(|verdict| verdict.loader == loader).cloned();
        let note = |verdict: Option<LoaderVerdict>| verdict.and_then(|verdict| verdict.strength_note);
        let harms = effect.iter().any(|effect| {
            let (before, after) = (verdict(self.report, &effect.loader), verdict(&after, &effect.loader));
            effect.lost > 0 || effect.before > 0 && note(before).is_none() && note(after).is_some()
        });
        let mends = |class: &ProblemClass| has(self.report, *class) && !has(&after, *class);
        let problems: Vec<ProblemClass> = candidate.problems.iter().copied().filter(mends).collect();
        let gains = effect.iter().any(|effect| effect.after > effect.before);
        if harms || harms_others(self.report, &after) || !(gains || !problems.is_empty() || candidate.id.is_advice()) {
            return None;
        }
        let is_whole = |effect: &&LoaderEffect| {
            let verdict = verdict(&after, &effect.loader);
            let applied = verdict.is_some_and(|verdict| verdict.status == LoaderStatus::Applied);
            effect.before < effect.total && effect.after == effect.total && applied
        };
        let whole = effect.iter().filter(is_whole).map(|effect| effect.loader.clone());
        let loaders: BTreeSet<String> = whole.chain(candidate.loaders).collect();
        Some(Fix { problems, loaders: loaders.into_iter().collect(), effect, ..candidate })
    }
}

/// Fixes for models that were made deeper by inserting blocks.
fn other_depths(opened: &Opened, report: &Report) -> Vec<Fix> {
    let depths = deeper(opened).into_iter().filter(|_| report.base.others.is_empty());
    let fix_to = |(blocks, _): (usize, Vec<usize>)| {
        let id = if blocks == 40 { FixId::Blocks40 } else { FixId::Blocks52 };
        let options = ConvertOptions { to_blocks: Some(blocks), keep_leftovers: true, ..ConvertOptions::default() };
        fix(id, sentence!("fix.blocks", blocks = blocks), Edit::Convert(options))
    };
    depths.map(fix_to).collect()
}

/// Fixes of hashes and base model in the header. Values of the header are replaced only if the file disproves them.
fn header_fixes(report: &Report) -> Vec<Fix> {
    let mut list = Vec::new();
    if has(report, ProblemClass::WrongHash) {
        let edit = MetadataEdit { repair_hashes: true, ..MetadataEdit::default() };
        list.push(fix(FixId::RepairHashes, sentence!("fix.repair_hashes"), Edit::Metadata(edit)));
    }
    let wrong = wrong_names(&report.metadata, &report.base.family);
    if has(report, ProblemClass::WrongHeader) && !wrong.is_empty() {
        let set = wrong.into_iter().map(|(key, word)| (key.to_owned(), word.to_owned())).collect();
        let title = sentence!("fix.right_header", base = report.base.name());
        list.push(fix(FixId::RightHeader, title, Edit::Metadata(MetadataEdit { set, ..MetadataEdit::default() })));
    }
    list
}

/// Fixes that remove unused keys which change nothing in any network.
async fn key_removals(opened: &Opened<'_>, report: &Report) -> Vec<Fix> {
    let inert = inert_keys(opened).await.unwrap_or_default();
    let leftovers = opened.adapter.leftovers.iter().filter(|left| inert.contains(&left.key));
    let keys: Vec<String> = leftovers.map(|left| left.key.clone()).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    let broken = LeftoverClass::ALL.into_iter().filter(|class| !class.is_foreign()).map(ProblemClass::from);
    let id = if broken.into_iter().any(|class| has(report, class)) { FixId::RemoveBroken } else { FixId::RemoveStrays };
    let title = sentence!("fix.remove", n = keys.len());
    let options = ConvertOptions { without_keys: keys, keep_leftovers: true, ..ConvertOptions::default() };
    let problems = [FixId::RemoveBroken.problems(), FixId::RemoveStrays.problems()].concat();
    vec![Fix { problems, ..fix(id, title, Edit::Convert(options)) }]
}

/// Fix that removes halves of pairs: other programs refuse a file for them, or fill the other half with anything.
fn half_removal(opened: &Opened) -> Option<Fix> {
    let keys = half_pairs(opened);
    let title = sentence!("fix.halves", n = keys.len());
    let is_some = !keys.is_empty() && !opened.adapter.deltas.is_empty();
    let options = ConvertOptions { without_keys: keys, keep_leftovers: true, ..ConvertOptions::default() };
    is_some.then(|| fix(FixId::RemoveHalves, title, Edit::Convert(options)))
}

/// Fix for NaN and infinite values, if 0 in their place means no change of the weights.
fn without_nan(opened: &Opened, report: &Report) -> Option<Fix> {
    let broken = report.problems.iter().filter(|problem| problem.class == ProblemClass::NanInf);
    let paths: BTreeSet<&String> = broken.flat_map(|problem| &problem.modules).collect();
    let deltas = opened.adapter.deltas.iter().filter(|delta| paths.contains(&delta.path()));
    let is_mendable = |delta: &Delta| !delta.algorithm.needs_base() && delta.scale.is_finite();
    if paths.is_empty() || !deltas.clone().all(is_mendable) {
        return None;
    }
    let title = sentence!("fix.without_nan", n = paths.len());
    let options = ConvertOptions { zero_non_finite: true, keep_leftovers: true, ..ConvertOptions::default() };
    Some(fix(FixId::WithoutNan, title, Edit::Convert(options)))
}

/// Fix for alphas that are stored outside the tensors, where not every loader reads them.
fn bake_alpha(opened: &Opened, report: &Report) -> Option<Fix> {
    let stored = |delta: &Delta| {
        let group = opened.group(delta);
        group.is_some_and(|group| group.get(Role::Alpha).is_some())
    };
    let hidden = opened.adapter.deltas.iter().filter(|delta| delta.scale != 1.0 && !stored(delta)).count();
    let is_noted =
        |verdict: &&LoaderVerdict| verdict.strength_note.is_some() && verdict.status == LoaderStatus::Applied;
    let loaders: Vec<String> = report.loaders.iter().filter(is_noted).map(|verdict| verdict.loader.clone()).collect();
    if hidden == 0 || loaders.is_empty() {
        return None;
    }
    let options = ConvertOptions { alpha: AlphaPlace::Baked, keep_leftovers: true, ..ConvertOptions::default() };
    let title = sentence!("fix.bake_alpha", n = hidden);
    Some(Fix { loaders, ..fix(FixId::BakeAlpha, title, Edit::Convert(options)) })
}

/// Conversions to key formats or plain LoRA of which loaders apply more: a greedy small set that covers all of these
/// loaders.
async fn conversions(opened: &Opened<'_>, report: &Report, judge: &Judge<'_, '_>) -> Vec<Fix> {
    let mut candidates: Vec<Fix> = Vec::new();
    let convertible = opened.adapter.deltas.iter().any(is_convertible);
    for target in Target::ALL.into_iter().filter(|_| opened.layers.is_some()) {
        for as_lora in [false, true] {
            if !as_lora || convertible {
                candidates.extend(judge.judged(conversion(report, target, as_lora)).await);
            }
        }
    }
    let mut open: BTreeSet<String> = report.loaders.iter().map(|verdict| verdict.loader.clone()).collect();
    let mut chosen = Vec::new();
    while let Some(at) = most_useful(&candidates, &open) {
        let best = candidates.remove(at);
        open.retain(|loader| gain(&best, loader) == 0);
        chosen.push(best);
    }
    chosen
}

/// Returns the number of the file's layers that a loader applies only after a fix.
fn gain(fix: &Fix, loader: &str) -> usize {
    let effect = fix.effect.iter().find(|effect| effect.loader == loader);
    effect.map_or(0, |effect| effect.after.saturating_sub(effect.before))
}

/// Returns the index of the fix with which the most of these loaders apply the whole file, then the most layers, if any
/// helps. On ties the first wins: exact before lossy, kohya before other formats.
fn most_useful(candidates: &[Fix], loaders: &BTreeSet<String>) -> Option<usize> {
    let use_of = |fix: &Fix| {
        let whole = fix.loaders.iter().filter(|loader| loaders.contains(*loader)).count();
        (whole, loaders.iter().map(|loader| gain(fix, loader)).sum::<usize>(), fix.id.keeps_deltas())
    };
    let helping = (0..candidates.len()).rev().filter(|&at| use_of(&candidates[at]).1 > 0);
    helping.max_by_key(|&at| use_of(&candidates[at]))
}

fn conversion(report: &Report, target: Target, as_lora: bool) -> Fix {
    let format = match target {
        Target::Kohya => "kohya".into(),
        Target::Peft => "PEFT".into(),
        Target::Diffusers => Value::from(sentence!("fix.old_diffusers")),
        Target::Comfy => "ComfyUI".into(),
        Target::Onetrainer => "OneTrainer".into(),
        Target::Aitoolkit => "ai-toolkit".into(),
    };
    let title = match as_lora {
        true => sentence!("fix.convert", algorithms = report.algorithms.join(", "), format = format),
        false => sentence!("fix.rename", format = format),
    };
    let rank = as_lora.then_some(LORA_RANK);
    let options = ConvertOptions { to: Some(target), as_lora, rank, keep_leftovers: true, ..ConvertOptions::default() };
    fix(FixId::conversion(target, as_lora), title, Edit::Convert(options))
}

/// Fix for dtypes that few programs read.
fn rare_dtype(report: &Report) -> Option<Fix> {
    let is_narrow = |dtype: &str| dtype.starts_with("F8") || matches!(dtype, "I8" | "U8");
    let is_wide = |dtype: &str| matches!(dtype, "F64" | "I64" | "I32");
    let count = |is_rare: &dyn Fn(&str) -> bool| report.modules.iter().filter(|row| is_rare(&row.dtype)).count();
    let (narrow, wide) = (count(&is_narrow), count(&is_wide));
    let (id, dtype) = if wide > 0 { (FixId::AsF32, Dtype::F32) } else { (FixId::AsF16, Dtype::F16) };
    let options = ConvertOptions { dtype: Some(dtype), keep_leftovers: true, ..ConvertOptions::default() };
    let rows = narrow + wide;
    (rows > 0).then(|| fix(id, sentence!("fix.dtype", n = rows, dtype = dtype.to_string()), Edit::Convert(options)))
}

/// Optional improvements of a file without problems.
fn advice(report: &Report) -> Vec<Fix> {
    let mut list = Vec::new();
    let Some(health) = report.health.as_ref().filter(|_| !has(report, ProblemClass::NanInf)) else { return list };
    let is_trained = health.untrained < 1.0 && !report.is_refused() && report.leftovers.is_empty();
    if health.rank_98 * 2 <= health.rank && is_trained {
        let megabytes = |bytes: u64| rounded(bytes as f64 / 1e6, 1);
        let (before, after) = (megabytes(health.bytes), megabytes(health.bytes_98));
        let title = sentence!("fix.resize", rank = health.rank_98, before = before, after = after);
        let rule = RankRule::Fixed(health.rank_98);
        let edit = Edit::Resize(ResizeOptions { rule, most: None, to: None, dtype: None, drop: false });
        list.push(fix(FixId::Smaller, title, edit));
    }
    list.extend(scaled_to_usual(health));
    list
}

/// Returns a fix that scales a strong file so that strength 1 is typical, if its algorithms can be scaled.
pub async fn usual_strength(opened: &Opened<'_>, health: &Health) -> Option<Fix> {
    let fix = scaled_to_usual(health)?;
    let Edit::Convert(options) = &fix.edit else { return None };
    convert(opened, options).await.is_ok().then_some(fix)
}

fn scaled_to_usual(health: &Health) -> Option<Fix> {
    let times = health.times_usual?;
    let strength = ((1.0 / times) * 100.0).round() / 100.0;
    let title = sentence!("fix.scale", strength = strength);
    let edit = Edit::Convert(ConvertOptions {
        strengths: Strengths::all(to_f32(strength)),
        keep_leftovers: true,
        ..ConvertOptions::default()
    });
    (times > 1.2).then(|| fix(FixId::UsualStrength, title, edit))
}
