//! Turns a report into its one sentence: what the file is, for what and how strong, or why it is refused.

use super::report::{FileKind, ModuleRow, Report, Severity};

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
    ];
    let list: Vec<String> = parts
        .iter()
        .filter(|(_, layers)| *layers > 0)
        .map(|(name, layers)| format!("{layers} {name} layer{}", if *layers == 1 { "" } else { "s" }))
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
        other => other,
    }
}
