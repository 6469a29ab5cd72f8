//! Turns files into reports on the terminal, or into one JSON object a line.

use crate::files;
use lora_loupe::analysis::{Coverage, LoaderStatus, LoaderVerdict, Report, Severity, inspect};
use pollster::block_on;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Say what files are, what they were made for, where they act and what is wrong with them
///
/// The exit status is 1 when a file is refused, 2 when something else fails.
#[derive(clap::Args)]
pub struct Arguments {
    /// Adapter files, or PEFT folders with adapter_model.safetensors
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The model they are meant for: a .safetensors file or a diffusers folder
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Print one JSON object a line and file
    #[arg(long)]
    json: bool,
}

/// Reports on every file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let base = arguments.base.as_deref().map(files::model).transpose()?;
    let mut refused = false;
    for path in &arguments.files {
        let (file, companion) = files::adapter(path);
        let report = match files::source(&file) {
            Ok(source) => block_on(inspect(
                &files::name(&file),
                &source,
                companion.as_deref(),
                base.as_ref().map(|model| &model.shapes),
            )),
            Err(error) => Report::unreadable(&files::name(&file), &error.to_string()),
        };
        refused |= report.refused();
        if arguments.json {
            writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
        } else {
            io::stdout().write_all(text(&report).as_bytes())?;
        }
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The report for people.
fn text(report: &Report) -> String {
    let mut lines = vec![report.file.clone(), format!("  {}", report.verdict)];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<11} {text}"));
    if !report.modules.is_empty() {
        row("spelling", report.convention.clone());
        row("algorithms", report.algorithms.join(", "));
    }
    for line in &report.base.evidence {
        row("base", line.clone());
    }
    for block in report.coverage.iter().filter(|block| block.covered > 0) {
        let Coverage { component, block, covered, total, norm, label } = block;
        row(block, format!("{covered:>3} of {total:>3} layers, norm {norm:.4}  ({component}, {label})"));
    }
    for left in report.leftovers.iter().take(10) {
        row("left over", format!("{}: {}", left.key, left.reason));
    }
    if report.leftovers.len() > 10 {
        row("left over", format!("and {} more keys (--json lists all)", report.leftovers.len() - 10));
    }
    for verdict in &report.loaders {
        row("works in", loader(verdict));
        for note in verdict.strength_note.iter().filter(|_| verdict.applied > 0) {
            row("", format!("  strength: {note}"));
        }
        for line in &verdict.log {
            row("", format!("  it prints: {line}"));
        }
    }
    for problem in &report.problems {
        let severity = if problem.severity == Severity::Refuse { "refused" } else { "warning" };
        row(severity, format!("{}: {}", problem.class, problem.message));
    }
    row("sha256", report.sha256.clone());
    lines.join("\n") + "\n"
}

/// A loader's verdict in a line.
fn loader(verdict: &LoaderVerdict) -> String {
    let LoaderVerdict { label, version, applied, total, reason, .. } = verdict;
    let status = match verdict.status {
        LoaderStatus::Applied => "all applied",
        LoaderStatus::Partly => "partly",
        LoaderStatus::Ignored => "ignored",
        LoaderStatus::Refused => "refused",
    };
    format!("{label} {version}: {status}, {applied} of {total} layers. {reason}").trim_end().to_owned()
}
