//! `verify` command: whether a merged model is its base model with adapters merged in.

use crate::files::{self, Model, Source};
use crate::lora::Lora;
use lora_loupe::edit::{EditInput, MergePart, MergeVerdict, Verification, verify};
use lora_loupe::formats::ByteSource;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Verify that a merged model holds adapters at the given strengths
///
/// Merges the adapters into the base model in f32 and compares the result with the merged model, one tensor at a time.
/// Prints the share of bit-exact tensors, the largest error, and whether all other tensors are those of the base model.
/// Exits with 1 if the merged model does not hold the adapters.
#[derive(clap::Args)]
pub struct Arguments {
    /// Merged model: a .safetensors model or a diffusers folder
    merged: PathBuf,
    /// Base model that it was merged from
    base: PathBuf,
    /// Adapters, their strengths (default 1) and optional block weights
    #[arg(value_name = "FILE=STRENGTH[:IN04=0.2,MID=0]", required = true)]
    loras: Vec<Lora>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Compares the models.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let (merged, base) = (files::model(&arguments.merged)?, files::model(&arguments.base)?);
    let paths: Vec<(PathBuf, Option<String>)> = arguments.loras.iter().map(|lora| files::adapter(&lora.path)).collect();
    let sources = paths.iter().map(|(path, _)| files::source(path)).collect::<Result<Vec<Source>, _>>()?;
    let [merged_name, base_name] = [&arguments.merged, &arguments.base].map(|path| files::name(path));
    let names: Vec<String> = paths.iter().map(|(path, _)| files::name(path)).collect();
    let loras = names.iter().zip(&sources).zip(&paths);
    let inputs: Vec<EditInput> =
        loras.map(|((name, source), (_, config))| EditInput::file(name, source, config.as_deref())).collect();
    let part = |lora: &Lora| MergePart { strength: lora.strength, strengths: lora.strengths().unwrap_or_default() };
    let parts: Vec<MergePart> = arguments.loras.iter().map(part).collect();
    let verification = block_on(verify(&input(&merged_name, &merged), &input(&base_name, &base), &inputs, &parts))?;
    if arguments.json {
        let files: Vec<&String> = [&merged_name, &base_name].into_iter().chain(&names).collect();
        say!("{}", json!({ "files": files, "verification": verification }));
    } else {
        print(&merged_name, &base_name, &verification);
    }
    Ok(if verification.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn input<'a>(name: &'a str, model: &'a Model) -> EditInput<'a> {
    let parts = model.files.iter().map(|file| (file.component, &file.source as &dyn ByteSource));
    EditInput { name, files: parts.collect(), config: None }
}

fn print(merged: &str, base: &str, proof: &Verification) {
    let share = 100.0 * proof.exact_elements as f64 / proof.elements.max(1) as f64;
    say!("touched     {} tensors: {} bit-exact, {} equal up to rounding", proof.touched, proof.exact, proof.rounded);
    say!("elements    {} of {} are bit-exact ({share:.4} %)", proof.exact_elements, proof.elements);
    let worst = proof.worst.as_ref().map(|name| format!(", in {name}")).unwrap_or_default();
    let (ulps, error) = (proof.largest_ulps, proof.largest_error);
    say!("error       at most {ulps} ulps of the stored dtype; at most {error:.3e} of a tensor's change{worst}");
    if let Some(factor) = proof.factor {
        say!("strength    the difference of the models is {factor:.4} times the expected change");
    }
    say!("untouched   {} of {} tensors are equal", proof.equal, proof.untouched);
    for (what, names) in [("changed", &proof.changed), ("missing", &proof.missing), ("added", &proof.added)] {
        for name in names.iter().take(5) {
            say!("  {what}: {name}");
        }
        if names.len() > 5 {
            say!("  {what}: {} more", names.len() - 5);
        }
    }
    say!(
        "{}",
        match proof.verdict {
            MergeVerdict::Exact => format!("{merged} is {base} with the adapters merged in, bit for bit."),
            MergeVerdict::Rounded => format!("{merged} holds the adapters at these strengths, up to rounding."),
            MergeVerdict::Different => format!("{merged} does not hold the adapters at these strengths."),
        }
    );
}
