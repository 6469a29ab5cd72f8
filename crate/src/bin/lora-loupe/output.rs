//! Output file options and atomic writing: to a temporary file first, then renamed.

use lora_loupe::edit::{EditError, Outcome};
use lora_loupe::formats::ByteSink;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Options of the output file.
#[derive(clap::Args)]
pub struct Output {
    /// Output file
    #[arg(short, long, value_name = "OUT.safetensors")]
    pub output: Option<PathBuf>,
    /// Overwrite the output file if it exists
    #[arg(long)]
    pub force: bool,
    /// Print the changes without writing a file
    #[arg(long)]
    pub preview: bool,
}

/// Errors of writing the output.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// No output file was given.
    #[error("no output file: give -o OUT.safetensors, or use --preview")]
    NoOutput,
    /// The output is an input.
    #[error("{} is also an input; choose another output file", .0.display())]
    Overwrites(PathBuf),
    /// The output exists.
    #[error("{} already exists; use --force to overwrite it", .0.display())]
    Exists(PathBuf),
    /// The output cannot be written.
    #[error("{}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    /// The edit failed.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl Output {
    /// Checks that the output may be written, before any work is done.
    pub fn check(&self, inputs: &[&Path]) -> Result<(), OutputError> {
        let output = match self.output.as_deref() {
            _ if self.preview => return Ok(()),
            None => return Err(OutputError::NoOutput),
            Some(output) => output,
        };
        let is_output =
            |input: &&&Path| input.canonicalize().ok().zip(output.canonicalize().ok()).is_some_and(|(a, b)| a == b);
        match inputs.iter().find(is_output) {
            Some(input) => Err(OutputError::Overwrites(input.to_path_buf())),
            None if output.exists() && !self.force => Err(OutputError::Exists(output.into())),
            None => Ok(()),
        }
    }

    /// Writes the result; does nothing for a preview.
    pub fn write(
        &self,
        edit: impl FnOnce(&mut dyn ByteSink) -> Result<Outcome, EditError>,
    ) -> Result<Option<Outcome>, OutputError> {
        let Some(output) = self.output.as_deref().filter(|_| !self.preview) else { return Ok(None) };
        let partial = output.with_extension("part");
        let result = write(&partial, edit).and_then(|outcome| {
            let renamed = std::fs::rename(&partial, output);
            renamed.map_err(|source| OutputError::Write { path: output.into(), source })?;
            Ok(outcome)
        });
        if result.is_err() {
            // Report the original error even if the partial file cannot be removed.
            let _ = std::fs::remove_file(&partial);
        }
        result.map(Some)
    }

    /// Returns whether an output file was given.
    pub fn is_given(&self) -> bool {
        self.output.is_some()
    }

    /// Returns the output path, for display.
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

/// Formats a size in bytes: "912.0 MB".
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Formats the tensors with elements that underflowed to zero in F16.
pub fn thinned(outcome: &Outcome) -> Vec<String> {
    let line = |key: &str, share: f64| {
        format!("`{key}`: {:.1} % of its values are too small for F16 and became 0", 100.0 * share)
    };
    let mut lines: Vec<String> = outcome.thinned.iter().take(10).map(|thin| line(&thin.key, thin.share)).collect();
    if outcome.thinned.len() > 10 {
        lines.push(format!("and {} more tensors (--json lists all)", outcome.thinned.len() - 10));
    }
    lines
}
