//! The report's verdict: what the file is, its base model and its strength, or why it is refused.

use super::modules::ModuleRow;
use super::report::{FileKind, Report, Severity};
use crate::adapters::Algorithm;
use crate::model::{FamilyId, spelling};

/// Returns the verdict of a report.
pub fn sentence(report: &Report) -> String {
    let refusal = report.problems.iter().find(|problem| problem.severity == Severity::Refuse);
    match (report.kind, refusal) {
        (FileKind::Adapter, Some(problem)) => format!("{} It cannot be used: {}", describe(report), problem.message),
        (_, Some(problem)) => problem.message.clone(),
        (_, None) => describe(report),
    }
}

fn describe(report: &Report) -> String {
    let algorithms: Vec<&str> = report.algorithms.iter().map(|name| display_name(name)).collect();
    let name = if algorithms.is_empty() { "adapter".into() } else { algorithms.join(" and ") };
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u', '(']) { "An" } else { "A" };
    let mut text = format!("{article} {name} for {}", report.base.label);
    if let Some(finetune) = finetune(report) {
        text += &format!(", trained on {finetune}");
    }
    if !report.modules.is_empty() {
        text += &format!(": it changes {}", layers(&report.modules));
    }
    let ranks: Vec<f64> = report.modules.iter().filter_map(|row| row.rank).map(|rank| rank as f64).collect();
    let scales: Vec<f64> = report.modules.iter().map(|row| f64::from(row.scale)).collect();
    text += &range(", rank", &ranks);
    if !report.headers_only {
        text += &range(", scale", &scales);
    }
    text.push('.');
    text += &prediction(report);
    let warnings: Vec<&str> = report
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Warn)
        .map(|problem| problem.message.as_str())
        .collect();
    if let Some(first) = warnings.first() {
        text += &format!(" {first}");
    }
    text
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
fn prediction(report: &Report) -> String {
    let has = |key: &str, want: &str| report.metadata.get(key).is_some_and(|value| value.eq_ignore_ascii_case(want));
    let velocity = has("ss_v_parameterization", "true") || has("modelspec.prediction_type", "v");
    if !velocity || !matches!(report.base.id(), Some(FamilyId::Sd15 | FamilyId::Sdxl)) {
        return String::new();
    }
    let snr = if has("ss_zero_terminal_snr", "true") { " and zero terminal SNR" } else { "" };
    format!(" It was trained for v-prediction{snr}: with an epsilon-prediction model, images look washed out.")
}

/// Formats "192 UNet layers and 72 text encoder layers".
fn layers(rows: &[ModuleRow]) -> String {
    let count = |component: &str| rows.iter().filter(|row| row.path.split('.').next() == Some(component)).count();
    let parts = [
        ("UNet", count("unet")),
        ("transformer", count("transformer")),
        ("prior", count("prior")),
        ("language model", count("language_model")),
        ("text encoder", count("text_encoder")),
        ("second text encoder", count("text_encoder_2")),
        ("third text encoder", count("text_encoder_3")),
        ("", count("model")),
    ];
    let list: Vec<String> = parts
        .iter()
        .filter(|(_, layers)| *layers > 0)
        .map(|(name, layers)| {
            format!("{layers} {name} layer{}", if *layers == 1 { "" } else { "s" }).replace("  ", " ")
        })
        .collect();
    list.join(" and ")
}

/// Formats "{label} 4" or "{label} 1 to 5"; empty without values.
fn range(label: &str, values: &[f64]) -> String {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
    let short = |x: f64| format!("{}", (x * 1000.0).round() / 1000.0);
    match values {
        [] => String::new(),
        _ if low == high => format!("{label} {}", short(low)),
        _ if low < high => format!("{label} {} to {}", short(low), short(high)),
        _ => String::new(),
    }
}

/// Returns the display name of an algorithm that is computed, or only recognized.
fn display_name(name: &str) -> &str {
    Algorithm::from_name(name).map(Algorithm::label).or_else(|| spelling::long(name)).unwrap_or(name)
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
