//! Turns what is wrong with an adapter into a list of edits that mend it, or into the mended file.

use crate::files;
use crate::output::{Output, size, thinned};
use lora_loupe::analysis::inspect;
use lora_loupe::edit::{EditInput, Fix, apply, fixes, preview};
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

/// List the edits that mend a file, or write the file with one of them
///
/// Each says what it mends: problems that inspect tells, and programs that then apply all of the file.
/// The exit status is 1 when there is nothing to mend.
#[derive(clap::Args)]
pub struct Arguments {
    /// An adapter, or a PEFT folder with adapter_model.safetensors
    file: PathBuf,
    /// The short name of the fix to write; all are listed if left out
    #[arg(long, value_name = "NAME")]
    apply: Option<String>,
    #[command(flatten)]
    output: Output,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why no fix is written.
#[derive(Debug, thiserror::Error)]
enum FixError {
    #[error("`{name}` is no fix for this file; there are: {there}")]
    NoSuchFix { name: String, there: String },
}

/// Lists the fixes, or writes one.
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
            true => say!("{}", json!({ "file": name, "fixes": list })),
            false => crate::say::say(format_args!("{}", text(&list))),
        }
        return Ok(if list.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    };
    let Some(fix) = list.iter().find(|fix| fix.id == *wanted) else {
        let there = list.iter().map(|fix| fix.id.as_str()).collect::<Vec<_>>().join(", ");
        return Err(FixError::NoSuchFix { name: wanted.clone(), there }.into());
    };
    let (inputs, mut hear) = ([input], |_| ControlFlow::Continue(()));
    let planned = block_on(preview(&fix.edit, &inputs, &mut hear))?;
    let outcome = arguments.output.write(|out| Ok(block_on(apply(&fix.edit, &inputs, out, &mut hear))?.outcome))?;
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

/// The fixes for people.
fn text(list: &[Fix]) -> String {
    let one = |fix: &Fix| {
        let mut mends = fix.problems.clone();
        mends.extend(fix.loaders.iter().map(|loader| format!("works in {loader}")));
        let mends = if mends.is_empty() { String::new() } else { format!(" [{}]", mends.join(", ")) };
        format!("  {:<16} {}{mends}\n  {:<16} {}\n", fix.id, fix.title, "", fix.why)
    };
    match list {
        [] => "  nothing to mend\n".into(),
        list => list.iter().map(one).collect(),
    }
}
