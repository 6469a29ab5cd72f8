//! `inspect` command: reports on files, as text, JSON lines or a table.

use crate::files::{self, Model};
use crate::table::{self, Style};
use lora_loupe::analysis::{Coverage, ImportVerdict, LoaderStatus, LoaderVerdict, Problem, Report, Severity, inspect};
use lora_loupe::edit::Opened;
use lora_loupe::formats::ByteSource;
use pollster::block_on;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

/// Report what LoRA files are: base model, layers, compatibility and problems
///
/// The exit status is 1 if a file is refused, 2 if something else fails.
#[derive(clap::Args)]
pub struct Arguments {
    /// Adapter files, PEFT folders with adapter_model.safetensors, or https URLs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Base model to compare with: a .safetensors file or a diffusers folder
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Print one JSON object per file, one per line
    #[arg(long)]
    json: bool,
    /// Read headers only and print a table; searches folders recursively, thousands of files take seconds
    #[arg(long, conflicts_with = "base")]
    headers: bool,
    /// With --headers: print comma-separated values
    #[arg(long, requires = "headers", conflicts_with = "json")]
    csv: bool,
}

/// Reports on every file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    if arguments.headers {
        let style = match (arguments.json, arguments.csv) {
            (true, _) => Style::Json,
            (_, true) => Style::Csv,
            _ => Style::Columns,
        };
        let all_readable = table::write(&arguments.files, style)?;
        return Ok(if all_readable { ExitCode::SUCCESS } else { ExitCode::from(2) });
    }
    let base = arguments.base.as_deref().map(files::model).transpose()?;
    let mut refused = false;
    for path in &arguments.files {
        let (file, companion) = files::adapter(path);
        let report = match files::source(&file) {
            Ok(source) => report(&files::name(&file), &source, companion.as_deref(), base.as_ref()),
            Err(error) => Report::unreadable(&files::name(&file), &error.to_string()),
        };
        refused |= report.is_refused();
        if arguments.json {
            say!("{}", serde_json::to_string(&report)?);
        } else {
            crate::say::say(format_args!("{}", text(&report)));
        }
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Returns the report of a file, with norms relative to the base model's weights.
pub fn report(name: &str, source: &dyn ByteSource, companion: Option<&str>, base: Option<&Model>) -> Report {
    let mut report = block_on(inspect(name, source, companion, base.map(|model| &model.shapes)));
    let Some(base) = base.filter(|_| !report.is_refused()) else { return report };
    let files = base.model_files();
    let impacts = block_on(async {
        let opened = Opened::new(name, source, companion).await?;
        let norms = report.modules.iter().filter_map(|row| Some((row.path.as_str(), row.norm?))).collect();
        opened.weigh(base.side("the base model", &files), &norms, &mut |_, _| ControlFlow::Continue(())).await
    });
    match impacts {
        Ok(layers) => report.weigh(&layers),
        Err(error) => report.problems.push(Problem::not_compared(&error.to_string())),
    }
    report
}

/// Formats the report as text.
fn text(report: &Report) -> String {
    let mut lines = vec![report.file.clone(), format!("  {}", report.verdict)];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<11} {text}"));
    if !report.modules.is_empty() {
        row("key format", report.convention.clone());
        row("algorithms", report.algorithms.join(", "));
    }
    for line in &report.base.evidence {
        row("base", line.to_string());
    }
    for block in report.coverage.iter().filter(|block| block.covered > 0) {
        let Coverage { component, block, covered, total, norm, label } = block;
        row(block, format!("{covered:>3} of {total:>3} layers, norm {norm:.4}  ({component}, {label})"));
    }
    if let Some(health) = report.health.as_ref().filter(|health| health.measured) {
        row("strength", format!("{:.2} % of the base model's weights", 100.0 * health.relative));
    }
    for left in report.leftovers.iter().take(10) {
        row("unused", format!("{}: {}", left.key, left.reason));
    }
    if report.leftovers.len() > 10 {
        row("unused", format!("and {} more keys (--json lists all)", report.leftovers.len() - 10));
    }
    for import in &report.imports {
        let verdict = match import.verdict {
            ImportVerdict::Harmless => "harmless",
            ImportVerdict::Unknown => "unknown, not run",
            ImportVerdict::Dangerous => "DANGEROUS, not run",
        };
        row("imports", format!("{} ({}): {verdict}", import.name, import.place));
    }
    if let Some(training) = &report.training {
        for setting in &training.settings {
            row("training", format!("{}: {}", setting.label, setting.value));
        }
        for word in &training.trigger_words {
            row("trigger", format!("{} ({})", word.text, word.source));
        }
        let tags: Vec<String> = training.tags.iter().take(12).map(|tag| format!("{} {}", tag.tag, tag.count)).collect();
        if !tags.is_empty() {
            row("tags", format!("{} (of {})", tags.join(", "), training.tag_total));
        }
    }
    for verdict in &report.loaders {
        row("works in", loader(verdict));
        if let Some(otherwise) = &verdict.otherwise {
            row("", format!("  {otherwise}"));
        }
        if let Some(likely) = &verdict.likely {
            row("", format!("  {likely}"));
        }
        if let Some(note) = &verdict.strength_note {
            row("", format!("  strength: {note}"));
        }
        if let Some(line) = &verdict.log {
            row("", format!("  log: {line}"));
        }
    }
    for problem in &report.problems {
        let severity = if problem.severity == Severity::Refuse { "refused" } else { "warning" };
        row(severity, format!("{}: {}", problem.class, problem.message));
    }
    row("sha256", report.sha256.clone());
    lines.join("\n") + "\n"
}

/// Formats a loader's verdict as one line.
fn loader(verdict: &LoaderVerdict) -> String {
    let LoaderVerdict { label, version, applied, total, .. } = verdict;
    let reason = verdict.reason.as_deref().unwrap_or_default();
    let status = match verdict.status {
        LoaderStatus::Applied => "all applied",
        LoaderStatus::Partly => "partially applied",
        LoaderStatus::Ignored => "ignored",
        LoaderStatus::Refused => "refused",
        LoaderStatus::Unknown => "unknown",
    };
    format!("{label} {version}: {status}, {applied} of {total} layers. {reason}").trim_end().to_owned()
}
