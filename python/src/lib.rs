//! The native part of the Python package: calls of Python -> calls of the library -> JSON, which lora_loupe/__init__.py
//! returns as dictionaries. Other threads of Python run meanwhile.

#[path = "../../crate/src/bin/lora-loupe.rs"]
#[allow(dead_code, reason = "the program of its own has a `main`")]
mod command_line;

use command_line::*;
use lora_loupe::analysis::{self, Report, inspect_header, signature};
use lora_loupe::edit as edits;
use lora_loupe::edit::{Edit, EditError, EditInput, MetadataEdit, Opened, compare_files, edit_metadata};
use lora_loupe::formats::{ByteSource, Header, ReadFuture};
use lora_loupe::sentence::Sentence;
use pollster::block_on;
use pyo3::exceptions::{PyFileExistsError, PyKeyError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use serde::Serialize;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fmt::Display;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A file as Python passes it.
#[derive(FromPyObject)]
enum Place {
    /// The bytes of a file.
    Bytes(PyBackedBytes),
    /// A path, a folder of PEFT or a URL.
    Path(PathBuf),
}

/// An opened [`Place`].
struct File {
    name: String,
    source: Source,
    config: Option<String>,
}

enum Source {
    Opened(files::Source),
    Bytes(Vec<u8>),
}

impl ByteSource for Source {
    fn len(&self) -> u64 {
        match self {
            Source::Opened(source) => source.len(),
            Source::Bytes(bytes) => ByteSource::len(bytes),
        }
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        match self {
            Source::Opened(source) => source.read(range),
            Source::Bytes(bytes) => bytes.read(range),
        }
    }
}

impl File {
    /// Opens a file; `config` replaces the adapter_config.json next to it.
    fn open(place: &Place, config: Option<String>) -> Result<File, Failure> {
        match place {
            Place::Bytes(bytes) => Ok(File { name: "bytes".into(), source: Source::Bytes(bytes.to_vec()), config }),
            Place::Path(path) => {
                let (path, beside) = files::adapter(path);
                let source = Source::Opened(files::source(&path).map_err(Failure::unreadable)?);
                Ok(File { name: files::name(&path), source, config: config.or(beside) })
            }
        }
    }

    fn input(&self) -> EditInput<'_> {
        EditInput::file(&self.name, &self.source, self.config.as_deref())
    }

    fn adapter(&self) -> Result<Opened<'_>, EditError> {
        block_on(Opened::new(&self.name, &self.source, self.config.as_deref()))
    }
}

/// What becomes a `LoraLoupeError`.
struct Failure(Sentence);

impl Failure {
    /// A file that cannot be opened, or read.
    fn unreadable(error: impl Display) -> Failure {
        Failure(Report::unreadable("", &error.to_string()).verdict)
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Failure {
        Failure(error.sentence())
    }
}

impl From<Failure> for PyErr {
    fn from(Failure(sentence): Failure) -> PyErr {
        Python::attach(|py| {
            let create = || -> PyResult<PyErr> {
                let values = json!(sentence.values).to_string();
                let values = py.import("json")?.call_method1("loads", (values,))?;
                let class = py.import("lora_loupe._errors")?.getattr("LoraLoupeError")?;
                Ok(PyErr::from_value(class.call1((sentence.text, sentence.id, values))?))
            };
            create().unwrap_or_else(|error| error)
        })
    }
}

/// Returns a value as JSON, with as many digits as the command line prints.
fn json_of(value: &impl Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Returns a report as JSON; a file that cannot be opened has one too, as in the command line.
#[pyfunction]
fn inspect(
    py: Python<'_>,
    file: Place,
    base: Option<PathBuf>,
    config: Option<String>,
    headers: bool,
) -> PyResult<String> {
    py.detach(|| {
        let base = base.map(|path| files::model(&path)).transpose().map_err(Failure::unreadable)?;
        let report = match File::open(&file, config) {
            Ok(file) if headers => block_on(inspect_header(&file.name, &file.source, file.config.as_deref())),
            Ok(file) => command_line::inspect::report(&file.name, &file.source, file.config.as_deref(), base.as_ref()),
            Err(Failure(Sentence { values, .. })) => {
                let name = if let Place::Path(path) = &file { files::name(path) } else { String::new() };
                Report::unreadable(&name, &values.get("reason").map(ToString::to_string).unwrap_or_default())
            }
        };
        json_of(&report)
    })
}

/// Returns the fixes for a file as JSON.
#[pyfunction]
fn fixes(py: Python<'_>, file: Place, config: Option<String>) -> PyResult<String> {
    py.detach(|| {
        let file = File::open(&file, config)?;
        let report = block_on(analysis::inspect(&file.name, &file.source, file.config.as_deref(), None));
        json_of(&block_on(edits::fixes(&file.input(), &report)).map_err(Failure::from)?)
    })
}

/// Applies an edit, as JSON, to files, the last of which is the base model if there is one; returns the preview and what
/// was written, as JSON. Without an output nothing is written.
#[pyfunction]
fn edit(
    py: Python<'_>,
    edit: &str,
    files: Vec<Place>,
    base: Option<PathBuf>,
    output: Option<PathBuf>,
    overwrite: bool,
) -> PyResult<String> {
    let edit: Edit = serde_json::from_str(edit).map_err(|error| PyValueError::new_err(error.to_string()))?;
    py.detach(|| {
        let paths: Vec<PathBuf> = files.iter().filter_map(Place::path).collect();
        let target = output::Output { preview: output.is_none(), output, force: overwrite };
        let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        target.check(&inputs).map_err(not_written)?;
        let files = files.iter().map(|file| File::open(file, None)).collect::<Result<Vec<File>, Failure>>()?;
        let base = base.map(|path| Ok((files::name(&path), files::model(&path)?))).transpose();
        let base = base.map_err(|error: files::FileError| Failure::unreadable(error))?;
        let mut inputs: Vec<EditInput> = files.iter().map(File::input).collect();
        inputs.extend(base.as_ref().map(|(name, model)| {
            let files = model.files.iter().map(|file| (file.component, &file.source as &dyn ByteSource));
            EditInput { name, files: files.collect(), config: None }
        }));
        let mut on_progress = |_| ControlFlow::Continue(());
        if target.preview {
            let preview = block_on(edits::preview(&edit, &inputs, &mut on_progress)).map_err(Failure::from)?;
            return Ok(json!({ "preview": preview, "outcome": Value::Null }).to_string());
        }
        let mut preview = None;
        let outcome = target.write(|out| {
            let edited = block_on(edits::apply(&edit, &inputs, out, &mut on_progress))?;
            preview = Some(edited.preview);
            Ok(edited.outcome)
        });
        Ok(json!({ "preview": preview, "outcome": outcome.map_err(not_written)? }).to_string())
    })
}

fn not_written(error: output::OutputError) -> PyErr {
    match error {
        output::OutputError::Edit(error) => Failure::from(error).into(),
        output::OutputError::Exists(path) => {
            PyFileExistsError::new_err(format!("{} exists; pass overwrite=True", path.display()))
        }
        output::OutputError::Write { path, source } => PyOSError::new_err(format!("{}: {source}", path.display())),
        other => PyValueError::new_err(other.to_string()),
    }
}

impl Place {
    fn path(&self) -> Option<PathBuf> {
        match self {
            Place::Bytes(_) => None,
            Place::Path(path) => Some(files::adapter(path).0),
        }
    }
}

/// Returns the comparison of two adapters as JSON.
#[pyfunction]
fn compare(py: Python<'_>, a: Place, b: Place) -> PyResult<String> {
    py.detach(|| {
        let (a, b) = (File::open(&a, None)?, File::open(&b, None)?);
        let (a, b) = (a.adapter().map_err(Failure::from)?, b.adapter().map_err(Failure::from)?);
        let comparison = block_on(compare_files(&a, &b)).map_err(Failure::from)?;
        let sentence = comparison.relation.sentence(&a.file, &b.file);
        Ok(json!({ "files": [a.file, b.file], "sentence": sentence, "comparison": comparison }).to_string())
    })
}

/// Returns the metadata and hashes of a safetensors file as JSON.
#[pyfunction]
fn metadata(py: Python<'_>, file: Place) -> PyResult<String> {
    py.detach(|| {
        let file = File::open(&file, None)?;
        let unchanged = MetadataEdit::default();
        let rewrite = block_on(edit_metadata(&file.name, &file.source, &unchanged)).map_err(Failure::from)?;
        let header = block_on(Header::read(&file.source)).map_err(Failure::unreadable)?;
        let hashes = block_on(analysis::hashes(&file.source, Some(&header)));
        let hashes = hashes.map_err(Failure::unreadable)?;
        Ok(json!({ "file": file.name, "metadata": rewrite.preview.metadata, "hashes": hashes }).to_string())
    })
}

/// Returns the signature of an adapter as JSON.
#[pyfunction(name = "signature")]
fn signature_of(py: Python<'_>, file: Place) -> PyResult<String> {
    py.detach(|| {
        let file = File::open(&file, None)?;
        let opened = file.adapter().map_err(Failure::from)?;
        json_of(&block_on(signature(opened.compared())).map_err(Failure::unreadable)?)
    })
}

/// Returns the layers that an adapter changes.
#[pyfunction]
fn layers(py: Python<'_>, file: Place) -> PyResult<Vec<String>> {
    py.detach(|| {
        let file = File::open(&file, None)?;
        let opened = file.adapter().map_err(Failure::from)?;
        let mut layers: Vec<String> = opened.adapter.deltas.iter().map(|delta| opened.layer(delta)).collect();
        layers.dedup();
        Ok(layers)
    })
}

/// Returns the change of a layer's weight, little-endian f32, and its shape.
#[pyfunction]
fn delta<'py>(py: Python<'py>, file: Place, layer: &str) -> PyResult<(Bound<'py, PyBytes>, Vec<usize>)> {
    let (bytes, shape) = py.detach(|| -> PyResult<_> {
        let file = File::open(&file, None)?;
        let opened = file.adapter().map_err(Failure::from)?;
        let found = opened.adapter.deltas.iter().find(|delta| opened.layer(delta) == layer || delta.tensor() == layer);
        let delta = found.ok_or_else(|| PyKeyError::new_err(layer.to_owned()))?;
        let factors = block_on(opened.read_factors(delta)).map_err(Failure::from)?;
        let no_matrix = || EditError::NoMatrix { layer: layer.into(), algorithm: delta.algorithm };
        let form = delta.change.form(&factors).ok_or_else(no_matrix).map_err(Failure::from)?;
        let values = form.matrix().data.into_iter().flat_map(|value| (value * delta.scale).to_le_bytes());
        Ok((values.collect::<Vec<u8>>(), delta.change.shape()))
    })?;
    Ok((PyBytes::new(py, &bytes), shape))
}

/// Runs the command line and returns its exit status.
#[pyfunction(name = "run")]
fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let status = py.detach(|| command_line::run(arguments));
    (0..=u8::MAX).find(|&code| ExitCode::from(code) == status).unwrap_or(1)
}

/// The native module of the package.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{compare, delta, edit, fixes, inspect, layers, metadata, run_command, signature_of};
}
