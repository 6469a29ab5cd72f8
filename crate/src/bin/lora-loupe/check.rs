//! `check` command: a table of problems, and an exit status for pull requests and commits.

use crate::files;
use crate::table::collect;
use lora_loupe::analysis::{FileKind, ImportVerdict, Report, Severity, inspect, inspect_header};
use pollster::block_on;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check adapters: print a table in Markdown; the exit status is 1 if one has an error
///
/// Errors are what makes `inspect` refuse a file, and dangerous imports of pickles. Files of other kinds, such as
/// checkpoints, are listed and pass.
#[derive(clap::Args)]
pub struct Arguments {
    /// Adapter files, and folders, which are searched recursively
    files: Vec<PathBuf>,
    /// Read headers only: no invalid values and hashes, but files of any size take milliseconds
    #[arg(long)]
    headers: bool,
    /// Warnings are errors too
    #[arg(long)]
    strict: bool,
}

/// Checks every file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let mut list = Vec::new();
    arguments.files.iter().for_each(|path| collect(path, &mut list));
    list.sort();
    if list.is_empty() {
        say!("No adapter files.");
        return Ok(ExitCode::SUCCESS);
    }
    say!("| | file | base model | layers | problems |\n| --- | --- | --- | --- | --- |");
    let mut errors = 0;
    for path in &list {
        let report = report(path, arguments.headers);
        let state = State::of(&report, arguments.strict);
        errors += usize::from(state == State::Error);
        let layers = report.modules.len();
        let cells = [&path.display().to_string(), &report.base.label, &layers.to_string(), &problems(&report)];
        say!("| {} | {} |", state.word(), cells.map(|cell| cell.replace('|', "\\|").replace('\n', " ")).join(" | "));
    }
    say!("\n{errors} of {} files have errors.", list.len());
    Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(path: &Path, headers: bool) -> Report {
    let (file, companion) = files::adapter(path);
    let (name, companion) = (files::name(&file), companion.as_deref());
    match files::source(&file) {
        Ok(source) if headers => block_on(inspect_header(&name, &source, companion)),
        Ok(source) => block_on(inspect(&name, &source, companion, None)),
        Err(error) => Report::unreadable(&name, &error.to_string()),
    }
}

/// Returns the messages of the problems; a refused file has only those that refuse it.
fn problems(report: &Report) -> String {
    let refused = report.is_refused();
    let shown = report.problems.iter().filter(|problem| !refused || problem.severity == Severity::Refuse);
    let imports = report.imports.iter().filter(|import| import.verdict == ImportVerdict::Dangerous);
    let imports = imports.map(|import| format!("dangerous import: {}", import.name));
    shown.map(|problem| problem.message.to_string()).chain(imports).collect::<Vec<_>>().join(" ")
}

/// The result for a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Good,
    Warning,
    Error,
    OtherKind,
}

impl State {
    fn of(report: &Report, strict: bool) -> State {
        use FileKind::{Checkpoint, ControlNet, Hypernetwork, IpAdapter, MotionModule, TextEncoder};
        use FileKind::{TextualInversion, Upscaler, Vae, VisionModel};
        let is_dangerous = report.imports.iter().any(|import| import.verdict == ImportVerdict::Dangerous);
        let is_warned = !report.problems.is_empty();
        match report.kind {
            _ if is_dangerous => State::Error,
            Checkpoint | ControlNet | Hypernetwork | IpAdapter | MotionModule | TextEncoder | TextualInversion
            | Upscaler | Vae | VisionModel => State::OtherKind,
            _ if report.is_refused() || strict && is_warned => State::Error,
            _ if is_warned => State::Warning,
            _ => State::Good,
        }
    }

    fn word(self) -> &'static str {
        match self {
            State::Good => "ok",
            State::Warning => "warning",
            State::Error => "**error**",
            State::OtherKind => "no adapter",
        }
    }
}
