//! Turns an edit into a file: beside its place first, then in it, and never over another unasked.

use lora_loupe::edit::{EditError, Outcome};
use lora_loupe::formats::ByteSink;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where a result goes.
#[derive(clap::Args)]
pub struct Output {
    /// The file to write
    #[arg(short, long, value_name = "OUT.safetensors")]
    output: Option<PathBuf>,
    /// Overwrite the output where it exists
    #[arg(long)]
    force: bool,
    /// Say what would change and write nothing
    #[arg(long)]
    pub preview: bool,
}

/// Why a result is not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// There is no output.
    #[error("say where the result goes, with -o OUT.safetensors, or ask for --preview")]
    NoOutput,
    /// The output is an input.
    #[error("{} is one of the files to read; choose another name for the result", .0.display())]
    Overwrites(PathBuf),
    /// The output exists.
    #[error("{} exists; --force overwrites it", .0.display())]
    Exists(PathBuf),
    /// The output cannot be written.
    #[error("{}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    /// The edit fails.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl Output {
    /// Makes sure that the output may be written before any work is done.
    pub fn check(&self, inputs: &[&Path]) -> Result<(), OutputError> {
        let output = match self.output.as_deref() {
            _ if self.preview => return Ok(()),
            None => return Err(OutputError::NoOutput),
            Some(output) => output,
        };
        let same =
            |input: &&&Path| input.canonicalize().ok().zip(output.canonicalize().ok()).is_some_and(|(a, b)| a == b);
        match inputs.iter().find(same) {
            Some(input) => Err(OutputError::Overwrites(input.to_path_buf())),
            None if output.exists() && !self.force => Err(OutputError::Exists(output.into())),
            None => Ok(()),
        }
    }

    /// Writes the result, unless only a preview is asked for.
    pub fn write(
        &self,
        edit: impl FnOnce(&mut dyn ByteSink) -> Result<Outcome, EditError>,
    ) -> Result<Option<Outcome>, OutputError> {
        let Some(output) = self.output.as_deref().filter(|_| !self.preview) else { return Ok(None) };
        let partial = output.with_extension("part");
        let written = write(&partial, edit).and_then(|outcome| {
            let finished = std::fs::rename(&partial, output);
            finished.map_err(|source| OutputError::Write { path: output.into(), source })?;
            Ok(outcome)
        });
        if written.is_err() {
            // The error is the one to report; a partial file that stays is only untidy.
            let _ = std::fs::remove_file(&partial);
        }
        written.map(Some)
    }

    /// Whether a file is to be written.
    pub fn is_given(&self) -> bool {
        self.output.is_some()
    }

    /// The output's name.
    pub fn name(&self) -> String {
        self.output.as_deref().map_or_else(|| "nothing".into(), |path| path.display().to_string())
    }
}

fn write(
    path: &Path,
    edit: impl FnOnce(&mut dyn ByteSink) -> Result<Outcome, EditError>,
) -> Result<Outcome, OutputError> {
    let failed = |source| OutputError::Write { path: path.into(), source };
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    let outcome = edit(&mut out)?;
    let mut file = out.into_inner().map_err(|error| failed(error.into_error()))?;
    file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&outcome.head)).map_err(failed)?;
    Ok(outcome)
}

/// Bytes for people: "912 MB".
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// What numbers were lost to the number type, for people.
pub fn thinned(outcome: &Outcome) -> Vec<String> {
    let line = |key: &str, share: f64| {
        format!("`{key}`: {:.1} % of its numbers are too small for F16 and became 0", 100.0 * share)
    };
    let mut lines: Vec<String> = outcome.thinned.iter().take(10).map(|thin| line(&thin.key, thin.share)).collect();
    if outcome.thinned.len() > 10 {
        lines.push(format!("and {} more tensors (--json lists all)", outcome.thinned.len() - 10));
    }
    lines
}
