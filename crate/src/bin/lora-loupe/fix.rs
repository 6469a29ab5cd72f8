//! `fix` command: lists the fixes for an adapter's problems, or applies one.

use crate::files;
use crate::output::{Output, size, thinned};
use lora_loupe::analysis::{Report, inspect};
use lora_loupe::edit::{EditInput, Fix, apply, fixes, preview};
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

/// List the fixes for a file's problems, or write the file with one applied
///
/// Each fix lists the problems from `inspect` that it solves, and the programs that then apply the
/// whole file. The exit status is 1 if there is nothing to fix.
#[derive(clap::Args)]
pub struct Arguments {
    /// An adapter, or a PEFT folder with adapter_model.safetensors
    file: PathBuf,
    /// Name of the fix to apply; lists all if omitted
    #[arg(long, value_name = "NAME")]
    apply: Option<String>,
    #[command(flatten)]
    output: Output,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Errors of choosing a fix.
#[derive(Debug, thiserror::Error)]
enum FixError {
    #[error("`{name}` is not a fix for this file; available: {available}")]
    NoSuchFix { name: String, available: String },
    #[error("nothing of this file can be fixed: {verdict}")]
    NoFix { verdict: String },
}

/// Lists the fixes, or applies one.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let (path, companion) = files::adapter(&arguments.file);
    if arguments.apply.is_some() {
        arguments.output.check(&[&path])?;
    }
    let (source, name) = (files::source(&path)?, files::name(&path));
    let report = block_on(inspect(&name, &source, companion.as_deref(), None));
    let input = EditInput::file(&name, &source, companion.as_deref());
    let list = block_on(fixes(&input, &report))?;
    let Some(wanted) = &arguments.apply else {
        match arguments.json {
            true => say!("{}", json!({ "file": name, "verdict": report.verdict, "fixes": list })),
            false => crate::say::say(format_args!("{}", text(&list, &report))),
        }
        return Ok(if list.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    };
    let Some(fix) = list.iter().find(|fix| fix.id.name() == wanted) else {
        if list.is_empty() {
            return Err(FixError::NoFix { verdict: report.verdict.to_string() }.into());
        }
        let available = list.iter().map(|fix| fix.id.name()).collect::<Vec<_>>().join(", ");
        return Err(FixError::NoSuchFix { name: wanted.clone(), available }.into());
    };
    let (inputs, mut on_progress) = ([input], |_| ControlFlow::Continue(()));
    let planned = block_on(preview(&fix.edit, &inputs, &mut on_progress))?;
    let outcome =
        arguments.output.write(|out| Ok(block_on(apply(&fix.edit, &inputs, out, &mut on_progress))?.outcome))?;
    if arguments.json {
        say!("{}", json!({ "files": [name], "fix": fix, "preview": planned, "outcome": outcome }));
        return Ok(ExitCode::SUCCESS);
    }
    for line in outcome.iter().flat_map(thinned) {
        say!("  warning     {line}");
    }
    let written = outcome.as_ref().map_or_else(|| "nothing written".into(), |outcome| size(outcome.size));
    say!("{}: {}, {written}", arguments.output.name(), fix.title);
    Ok(ExitCode::SUCCESS)
}

/// Formats the fixes of a file; without any, what is wrong with a file that cannot be used.
fn text(list: &[Fix], report: &Report) -> String {
    let entry = |fix: &Fix| {
        let gains = fix.effect.iter().filter(|effect| effect.after > effect.before);
        let gains = gains.map(|effect| {
            format!("{}: {} -> {} of {} layers", effect.label, effect.before, effect.after, effect.total)
        });
        let effects: Vec<String> = fix.problems.iter().map(ToString::to_string).chain(gains).collect();
        let effects = if effects.is_empty() { String::new() } else { format!(" [{}]", effects.join(", ")) };
        format!("  {:<16} {}{effects}\n  {:<16} {}\n", fix.id, fix.title, "", fix.why)
    };
    match list {
        [] if report.is_refused() => format!("  no fix for this: {}\n", report.verdict),
        [] => "  nothing to fix\n".into(),
        list => list.iter().map(entry).collect(),
    }
}
