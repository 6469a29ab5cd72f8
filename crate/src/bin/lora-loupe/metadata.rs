//! Turns a safetensors file into its metadata and hashes, or into the same tensors under others.

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

/// Show a file's metadata and hashes, or write the file with other metadata
///
/// The tensors are copied byte by byte, so AutoV3 and sshs_model_hash stay the same and AutoV2,
/// the hash of the whole file, changes.
#[derive(clap::Args)]
pub struct Arguments {
    /// A .safetensors file
    file: PathBuf,
    /// Set a key; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Remove a key, or all that start so if it ends in *; may be given several times
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    /// Remove what tells of the person or the machine: paths, data sets, tags, comments
    #[arg(long)]
    strip_private: bool,
    /// Put sshs_model_hash, sshs_legacy_hash and modelspec's hash right
    #[arg(long)]
    repair_hashes: bool,
    #[command(flatten)]
    output: Output,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` sets nothing: give KEY=VALUE"))?;
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
    let edits = !edit.set.is_empty() || !edit.remove.is_empty() || edit.strip_private || edit.repair_hashes;
    if edits || arguments.output.is_given() {
        arguments.output.check(&[&arguments.file])?;
    }
    let rewrite = block_on(edit_metadata(&file, &source, &edit))?;
    let outcome = arguments.output.write(|out| block_on(rewrite.write(out)))?;
    let preview = &rewrite.preview;
    if edits {
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
        false => crate::say::say(format_args!("{}", shown(preview, &hashes))),
    }
    Ok(ExitCode::SUCCESS)
}

/// What an edit changes, for people.
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

/// Metadata and hashes, for people.
fn shown(preview: &MetadataPreview, hashes: &Hashes) -> String {
    let mut text: String =
        preview.metadata.iter().map(|(key, value)| format!("  {key} = {}\n", short(value))).collect();
    let mut row = |name: &str, value: Option<&str>| {
        text += &format!("  {name:<11} {}\n", value.unwrap_or("none: the file is too short"));
    };
    row("sha256", Some(&hashes.sha256));
    row("AutoV1", hashes.auto_v1.as_deref());
    row("AutoV2", Some(&hashes.auto_v2));
    row("AutoV3", hashes.auto_v3.as_deref());
    for claim in &hashes.claims {
        let verdict = match claim.verdict {
            ClaimVerdict::Right => "right".into(),
            ClaimVerdict::Prefix => format!("right but for 0x; it should be {}", claim.should_say),
            ClaimVerdict::OfNothing => format!("the hash of nothing; it should be {}", claim.should_say),
            ClaimVerdict::Wrong => format!("wrong: it should be {}; --repair-hashes puts it right", claim.should_say),
        };
        text += &format!("  {} says {}: {verdict}\n", claim.key, claim.says);
    }
    text
}

/// The start of a long value.
fn short(value: &str) -> String {
    const MOST: usize = 160;
    match value.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}… ({} characters)", &value[..at], value.chars().count()),
        None => value.to_owned(),
    }
}
