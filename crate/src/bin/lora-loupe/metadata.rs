//! `metadata` command: shows or edits a safetensors file's metadata and hashes.

use crate::files;
use crate::output::{Output, size};
use lora_loupe::analysis::{ClaimVerdict, Hashes, hashes};
use lora_loupe::edit::{MetadataEdit, MetadataPreview, edit_metadata};
use lora_loupe::formats::Header;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show or edit a file's metadata and hashes
///
/// The tensors are copied unchanged, so AutoV3 and sshs_model_hash stay the same; AutoV2, the hash of
/// the whole file, changes.
#[derive(clap::Args)]
pub struct Arguments {
    /// A .safetensors file
    file: PathBuf,
    /// Set a key; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Remove a key, or all keys with a prefix (PREFIX*); can be repeated
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    /// Remove private data: paths, datasets, tags, comments, session ids
    #[arg(long)]
    strip_private: bool,
    /// Fix sshs_model_hash, sshs_legacy_hash and modelspec's hash
    #[arg(long)]
    repair_hashes: bool,
    #[command(flatten)]
    output: Output,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no value: give KEY=VALUE"))?;
    Ok((key.into(), value.into()))
}

/// Shows the metadata, or writes the edited file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let file = files::name(&arguments.file);
    let source = files::source(&arguments.file)?;
    let edit = MetadataEdit {
        set: arguments.set.clone(),
        remove: arguments.remove.clone(),
        strip_private: arguments.strip_private,
        repair_hashes: arguments.repair_hashes,
    };
    let is_edit = !edit.set.is_empty() || !edit.remove.is_empty() || edit.strip_private || edit.repair_hashes;
    if is_edit || arguments.output.is_given() {
        arguments.output.check(&[&arguments.file])?;
    }
    let rewrite = block_on(edit_metadata(&file, &source, &edit))?;
    let outcome = arguments.output.write(|out| block_on(rewrite.write(out)))?;
    let preview = &rewrite.preview;
    if is_edit {
        match arguments.json {
            true => say!("{}", json!({ "file": file, "preview": preview, "outcome": outcome })),
            false => say!("{}{}: {}", changes(preview), arguments.output.name(), size(preview.size_after)),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let header = block_on(Header::read(&source))?;
    let hashes = block_on(hashes(&source, Some(&header)))?;
    match arguments.json {
        true => say!("{}", json!({ "file": file, "metadata": preview.metadata, "hashes": hashes })),
        false => crate::say::say(format_args!("{}", listing(preview, &hashes))),
    }
    Ok(ExitCode::SUCCESS)
}

/// Formats the changes of an edit.
fn changes(preview: &MetadataPreview) -> String {
    let line = |(key, before, after): (&str, Option<&str>, Option<&str>)| match (before, after) {
        (None, Some(after)) => format!("  set         {key} = {}\n", short(after)),
        (Some(before), None) => format!("  removed     {key} (was {})\n", short(before)),
        (before, after) => {
            format!("  changed     {key}: {} -> {}\n", short(before.unwrap_or("")), short(after.unwrap_or("")))
        }
    };
    preview
        .changes
        .iter()
        .map(|change| line((&change.key, change.before.as_deref(), change.after.as_deref())))
        .collect()
}

/// Formats metadata and hashes.
fn listing(preview: &MetadataPreview, hashes: &Hashes) -> String {
    let mut text: String =
        preview.metadata.iter().map(|(key, value)| format!("  {key} = {}\n", short(value))).collect();
    let mut row = |name: &str, value: Option<&str>| {
        text += &format!("  {name:<11} {}\n", value.unwrap_or("none: the file is too small"));
    };
    row("sha256", Some(&hashes.sha256));
    row("AutoV1", hashes.auto_v1.as_deref());
    row("AutoV2", Some(&hashes.auto_v2));
    row("AutoV3", hashes.auto_v3.as_deref());
    for claim in &hashes.claims {
        let verdict = match claim.verdict {
            ClaimVerdict::Right => "correct".into(),
            ClaimVerdict::Prefix => format!("correct except for the 0x prefix; expected {}", claim.should_say),
            ClaimVerdict::OfNothing => format!("the hash of empty data; expected {}", claim.should_say),
            ClaimVerdict::Wrong => format!("wrong, expected {}; --repair-hashes fixes it", claim.should_say),
        };
        text += &format!("  {} is {}: {verdict}\n", claim.key, claim.says);
    }
    text
}

/// Truncates a long value.
fn short(value: &str) -> String {
    const MAX_CHARS: usize = 160;
    match value.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}… ({} characters)", &value[..at], value.chars().count()),
        None => value.to_owned(),
    }
}
