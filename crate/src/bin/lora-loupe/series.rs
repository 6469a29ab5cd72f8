//! `series` command: the files of a training run, compared in order.

use crate::files::{self, Source};
use crate::table::collect;
use lora_loupe::analysis::{
    Series, SeriesCandidate, SeriesInput, SeriesLayer, SeriesSummary, Share, find_series, measure_series,
};
use lora_loupe::formats::read_header;
use pollster::block_on;
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compare the files that training runs saved, epoch by epoch
///
/// Runs are recognized by their names (cat-000001, cat-step00000500, cat_epoch_3, …) and metadata. For each file: the norm of
/// all its changes, how far it moved from the file before, and its effective rank. Exits with 1 if there is no run
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders or files
    #[arg(value_name = "FOLDER", required = true)]
    paths: Vec<PathBuf>,
    /// Print one JSON object per run, with the norms of its layers
    #[arg(long)]
    json: bool,
}

/// A file that was opened, with its header's metadata.
struct Candidate {
    path: String,
    companion: Option<String>,
    source: Source,
    metadata: BTreeMap<String, String>,
}

/// Prints the runs.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let mut paths = Vec::new();
    arguments.paths.iter().for_each(|path| collect(path, &mut paths));
    paths.sort();
    let candidates: Vec<Candidate> = paths.iter().filter_map(|path| open(path)).collect();
    let named: Vec<SeriesCandidate> = candidates
        .iter()
        .map(|candidate| SeriesCandidate { name: &candidate.path, metadata: &candidate.metadata })
        .collect();
    let runs = find_series(&named);
    if runs.is_empty() {
        say!("no training run among {} files", candidates.len());
        return Ok(ExitCode::FAILURE);
    }
    for run in runs {
        let files: Vec<&Candidate> = run.files.iter().map(|file| &candidates[file.index]).collect();
        let inputs: Vec<SeriesInput> = files
            .iter()
            .map(|file| SeriesInput { name: &file.path, source: &file.source, companion: file.companion.as_deref() })
            .collect();
        let mut layers: Vec<SeriesLayer> = Vec::new();
        block_on(measure_series(&inputs, Share::WHOLE, &mut |measured, _| {
            layers.extend(measured);
            ControlFlow::Continue(())
        }))?;
        let summary = SeriesSummary::of(&run.files, &layers);
        if arguments.json {
            say!("{}", json!({ "series": run, "summary": summary, "layers": layers }));
        } else {
            print(&run, &summary);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens a file whose header can be read.
fn open(path: &Path) -> Option<Candidate> {
    let (file, companion) = files::adapter(path);
    let source = files::source(&file).ok()?;
    let metadata = block_on(read_header(&source)).ok()?.metadata;
    Some(Candidate { path: file.to_string_lossy().into_owned(), companion, source, metadata })
}

fn print(run: &Series, summary: &SeriesSummary) {
    let number = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
    let value = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
    say!("{}: {} files", run.name, run.files.len());
    say!("  {:>6} {:>8} {:>10} {:>10} {:>8} {:>7}  file", "epoch", "step", "norm", "moved", "cosine", "rank");
    for (file, total) in run.files.iter().zip(&summary.totals) {
        say!(
            "  {:>6} {:>8} {:>10.4} {:>10} {:>8} {:>7.2}  {}",
            number(file.epoch),
            number(file.step),
            total.norm,
            value(total.moved),
            value(total.cosine),
            total.effective_rank,
            file.name
        );
    }
    for sentence in &summary.sentences {
        say!("{sentence}");
    }
}
