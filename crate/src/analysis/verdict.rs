//! The report's verdict: what the file is, its base model and its strength, or why it is refused.

use super::modules::ModuleRow;
use super::report::{FileKind, Report, Severity};
use crate::adapters::Algorithm;
use crate::model::{FamilyId, spelling};
use crate::sentence::{Sentence, Value, sentence};

/// Returns the verdict of a report.
pub fn sentence(report: &Report) -> Sentence {
    let refusal = report.problems.iter().find(|problem| problem.severity == Severity::Refuse);
    let mut list = Vec::new();
    if report.kind == FileKind::Adapter || refusal.is_none() {
        list.push(description(report));
    }
    match (refusal, list.is_empty()) {
        (Some(problem), true) => list.push(problem.message.clone()),
        (Some(problem), false) => list.push(sentence!("verdict.cannot_be_used", problem = &problem.message)),
        (None, _) => {}
    }
    Sentence::joined(list).unwrap_or_default()
}

/// Returns what the file is, with its prediction type if it matters and its first warning.
fn description(report: &Report) -> Sentence {
    let algorithms: Vec<Sentence> = report.algorithms.iter().map(|name| algorithm(name)).collect();
    let items = if algorithms.is_empty() { vec![sentence!("verdict.adapter")] } else { algorithms };
    // H and L are spoken as "aitch" and "el".
    let is_spelled = ["HRA", "LN "].iter().any(|name| items[0].starts_with(name));
    let vowel = is_spelled || items[0].starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'O', '(']);
    let none = || Value::from("");
    let finetune = finetune(report).map_or_else(none, |name| sentence!("verdict.finetune", name = name).into());
    let changes = match report.modules.is_empty() {
        true => none(),
        false => sentence!("verdict.changes", items = layers(&report.modules)).into(),
    };
    let ranks = report.modules.iter().filter_map(|row| row.rank).map(|rank| rank as f64);
    let rank = Value::range(ranks).map_or_else(none, |rank| sentence!("verdict.rank", rank = rank).into());
    let scales = report.modules.iter().filter(|_| !report.headers_only).map(|row| f64::from(row.scale));
    let scale = Value::range(scales).map_or_else(none, |scale| sentence!("verdict.scale", scale = scale).into());
    let kind = sentence!(
        if vowel { "verdict.an" } else { "verdict.a" },
        items = items,
        base = report.base.names(),
        finetune = finetune,
        changes = changes,
        rank = rank,
        scale = scale,
    );
    let warning = report.problems.iter().find(|problem| problem.severity == Severity::Warn);
    let notes = [prediction(report), warning.map(|problem| problem.message.clone())];
    Sentence::joined([kind].into_iter().chain(notes.into_iter().flatten()).collect()).unwrap_or_default()
}

/// Returns the SDXL finetune that a file was trained on, from the base model named in its header.
fn finetune(report: &Report) -> Option<&'static str> {
    const NAMES: [(&str, &str); 4] =
        [("illustrious", "Illustrious"), ("noob", "NoobAI"), ("pony", "Pony"), ("animagine", "Animagine")];
    const KEYS: [&str; 4] = ["ss_sd_model_name", "ss_base_model_version", "modelspec.architecture", "ot_config"];
    let words = KEYS.iter().filter_map(|key| report.metadata.get(*key)).map(|word| word.to_ascii_lowercase());
    let words: Vec<String> = words.filter(|_| report.base.id() == Some(FamilyId::Sdxl)).collect();
    let named = |(part, _): &&(&str, &str)| words.iter().any(|word| word.contains(part));
    NAMES.iter().find(named).map(|(_, name)| *name)
}

/// Returns a note if the file was trained for v-prediction and most models of its family predict noise.
fn prediction(report: &Report) -> Option<Sentence> {
    let has = |key: &str, want: &str| report.metadata.get(key).is_some_and(|value| value.eq_ignore_ascii_case(want));
    let velocity = has("ss_v_parameterization", "true") || has("modelspec.prediction_type", "v");
    if !velocity || !matches!(report.base.id(), Some(FamilyId::Sd15 | FamilyId::Sdxl)) {
        return None;
    }
    let zero_snr = has("ss_zero_terminal_snr", "true");
    Some(if zero_snr { sentence!("verdict.velocity_zero_snr") } else { sentence!("verdict.velocity") })
}

/// Returns "192 UNet layers", "72 text encoder layers".
fn layers(rows: &[ModuleRow]) -> Vec<Sentence> {
    const COMPONENTS: [(&str, &str); 8] = [
        ("unet", "layers.unet"),
        ("transformer", "layers.transformer"),
        ("prior", "layers.prior"),
        ("language_model", "layers.language_model"),
        ("text_encoder", "layers.text_encoder"),
        ("text_encoder_2", "layers.text_encoder_2"),
        ("text_encoder_3", "layers.text_encoder_3"),
        ("model", "layers.model"),
    ];
    let count = |component: &str| rows.iter().filter(|row| row.path.split('.').next() == Some(component)).count();
    let counts = COMPONENTS.iter().map(|(component, id)| (id, count(component)));
    counts.filter(|(_, layers)| *layers > 0).map(|(id, layers)| sentence!(id, n = layers)).collect()
}

/// Returns the display name of an algorithm that is computed, or only recognized.
fn algorithm(name: &str) -> Sentence {
    let label = Algorithm::from_name(name).map(Algorithm::label).or_else(|| spelling::long(name)).unwrap_or(name);
    Sentence::word(format!("algorithm.{name}"), label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finetune_and_its_prediction_type_are_named() {
        let check = |family: &str, metadata: &[(&str, &str)], expect: &str| {
            let mut report = Report::empty("made.safetensors", 0);
            (report.kind, report.base.family) = (FileKind::Adapter, family.into());
            report.metadata = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            assert!(sentence(&report).contains(expect), "{}", sentence(&report));
        };
        let noob = [("ss_sd_model_name", "noobaiXL_vPred10.safetensors"), ("ss_v_parameterization", "True")];
        check("sdxl", &noob, "trained on NoobAI. It was trained for v-prediction: ");
        check("sdxl", &[noob[1], ("ss_zero_terminal_snr", "True")], "v-prediction and zero terminal SNR: ");
        check("sdxl", &[("ss_sd_model_name", "ponyDiffusionV6XL.safetensors")], "trained on Pony.");
        check("flux1", &noob, "for an unknown model.");
    }
}
