//! `compare` command: the relation of two adapters.

use crate::files;
use lora_loupe::analysis::{Comparison, LayerComparison};
use lora_loupe::edit::{Opened, compare_files};
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare two adapters: identical, rescaled, resized, or one merged into the other
///
/// Compares the weight changes layer by layer, independent of keys, ranks and algorithms.
#[derive(clap::Args)]
pub struct Arguments {
    /// First adapter
    a: PathBuf,
    /// Second adapter
    b: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Compares the files.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let (paths, companions): (Vec<PathBuf>, Vec<Option<String>>) =
        [&arguments.a, &arguments.b].into_iter().map(|path| files::adapter(path)).unzip();
    let sources = [files::source(&paths[0])?, files::source(&paths[1])?];
    let open =
        |side: usize| block_on(Opened::new(&files::name(&paths[side]), &sources[side], companions[side].as_deref()));
    let (a, b) = (open(0)?, open(1)?);
    let comparison = block_on(compare_files(&a, &b))?;
    let sentence = comparison.relation.sentence(&a.file, &b.file);
    if arguments.json {
        let files = [&a.file, &b.file];
        say!("{}", json!({ "files": files, "sentence": sentence, "comparison": comparison }));
        return Ok(ExitCode::SUCCESS);
    }
    crate::say::say(format_args!("{}", text(&comparison)));
    say!("{sentence}");
    Ok(ExitCode::SUCCESS)
}

/// Formats the differences of layers and metadata.
fn text(comparison: &Comparison) -> String {
    let norm = |side: &Option<_>| match side {
        Some(lora_loupe::analysis::SideOfLayer { norm, rank, .. }) => format!("{norm:.4} r{rank}"),
        None => "-".into(),
    };
    let line = |row: &LayerComparison| {
        let cosine = match (row.cosine, row.identical) {
            (_, true) => "identical".into(),
            (Some(cosine), _) => format!("{cosine:.4}"),
            (None, _) => "-".into(),
        };
        format!("  cosine {cosine:>9}  {:>14} {:>14}  {}\n", norm(&row.a), norm(&row.b), row.tensor)
    };
    let mut text: String = comparison.layers.iter().map(line).collect();
    for difference in &comparison.metadata {
        let value = |side: &Option<String>| side.as_deref().unwrap_or("-").chars().take(60).collect::<String>();
        text += &format!("  metadata {}: {} | {}\n", difference.key, value(&difference.a), value(&difference.b));
    }
    text
}
