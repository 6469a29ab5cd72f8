//! Turns a report into its one sentence: what the file is, for what and how strong, or why it is refused.

use super::report::{FileKind, ModuleRow, Report, Severity};
use crate::model::spelling;

/// The sentence.
pub fn sentence(report: &Report) -> String {
    let refusal = report.problems.iter().find(|problem| problem.severity == Severity::Refuse);
    match (report.kind, refusal) {
        (FileKind::Adapter, Some(problem)) => format!("{} It is refused: {}", what(report), problem.message),
        (_, Some(problem)) => problem.message.clone(),
        (_, None) => what(report),
    }
}

fn what(report: &Report) -> String {
    let algorithms: Vec<&str> = report.algorithms.iter().map(|name| spelled(name)).collect();
    let name = if algorithms.is_empty() { "adapter".into() } else { algorithms.join(" and ") };
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u', '(']) { "An" } else { "A" };
    let mut text = format!("{article} {name} for {}", report.base.label);
    if let Some(relative) = relative(report) {
        text += &format!(", trained on {relative}");
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

/// The relative of SDXL that a file was trained on, by what its header calls the base model.
fn relative(report: &Report) -> Option<&'static str> {
    const NAMES: [(&str, &str); 4] =
        [("illustrious", "Illustrious"), ("noob", "NoobAI"), ("pony", "Pony"), ("animagine", "Animagine")];
    const KEYS: [&str; 4] = ["ss_sd_model_name", "ss_base_model_version", "modelspec.architecture", "ot_config"];
    let words = KEYS.iter().filter_map(|key| report.metadata.get(*key)).map(|word| word.to_ascii_lowercase());
    let words: Vec<String> = words.filter(|_| report.base.family == "sdxl").collect();
    let named = |(part, _): &&(&str, &str)| words.iter().any(|word| word.contains(part));
    NAMES.iter().find(named).map(|(_, name)| *name)
}

/// What a file says of a prediction that most models of its family do not make.
fn prediction(report: &Report) -> String {
    let says = |key: &str, what: &str| report.metadata.get(key).is_some_and(|word| word.eq_ignore_ascii_case(what));
    let velocity = says("ss_v_parameterization", "true") || says("modelspec.prediction_type", "v");
    if !velocity || !matches!(report.base.family.as_str(), "sd15" | "sdxl") {
        return String::new();
    }
    let snr = if says("ss_zero_terminal_snr", "true") { " and zero terminal SNR" } else { "" };
    format!(" It was trained for v-prediction{snr}: on a model that predicts noise its pictures look washed out.")
}

/// "192 UNet layers and 72 text encoder layers".
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

/// "{what} 4" or "{what} 1 to 5"; nothing where there are no numbers.
fn range(what: &str, numbers: &[f64]) -> String {
    let (low, high) =
        numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
    let short = |x: f64| format!("{}", (x * 1000.0).round() / 1000.0);
    match numbers {
        [] => String::new(),
        _ if low == high => format!("{what} {}", short(low)),
        _ if low < high => format!("{what} {} to {}", short(low), short(high)),
        _ => String::new(),
    }
}

/// The algorithm's name for people.
fn spelled(name: &str) -> &str {
    match name {
        "lora" => "LoRA",
        "dylora" => "DyLoRA",
        "locon" => "LoCon",
        "locon_tucker" => "LoCon with cores",
        "loha" => "LoHa",
        "loha_tucker" => "LoHa with cores",
        "lokr" => "LoKr",
        "lokr_tucker" => "LoKr with cores",
        "glora" | "glora_old" => "GLoRA",
        "ia3" => "(IA)³",
        "full" => "full difference",
        "norm" => "norm difference",
        "oft" => "OFT",
        "diag_oft" => "Diag-OFT",
        "boft" => "BOFT",
        "dora" => "DoRA",
        other => spelling::long(other).unwrap_or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_and_its_prediction_are_said() {
        let check = |family: &str, metadata: &[(&str, &str)], says: &str| {
            let mut report = Report::empty("made.safetensors", 0);
            (report.kind, report.base.family) = (FileKind::Adapter, family.into());
            report.metadata = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            assert!(sentence(&report).contains(says), "{}", sentence(&report));
        };
        let noob = [("ss_sd_model_name", "noobaiXL_vPred10.safetensors"), ("ss_v_parameterization", "True")];
        check("sdxl", &noob, "trained on NoobAI. It was trained for v-prediction: ");
        check("sdxl", &[noob[1], ("ss_zero_terminal_snr", "True")], "v-prediction and zero terminal SNR: ");
        check("sdxl", &[("ss_sd_model_name", "ponyDiffusionV6XL.safetensors")], "trained on Pony.");
        check("flux1", &noob, "for an unknown model.");
    }
}
