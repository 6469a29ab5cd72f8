//! Child processes, and the errors of the developer commands.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Error of a developer command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A dependency that could not be installed automatically, for example without root.
    #[error("{what} is missing and cannot be installed automatically.\nRun this, then try again:\n\n    {by_hand}\n")]
    Missing { what: String, by_hand: String },
    /// A program that exited with a failure status.
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: std::process::ExitStatus },
    /// A program that could not be started.
    #[error("`{command}` could not be started: {cause}")]
    NotStarted { command: String, cause: std::io::Error },
    /// A file or folder that could not be read, written or moved.
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: std::io::Error },
    /// A .wasm file that wasm-bindgen rejected.
    #[error("wasm-bindgen could not generate a JavaScript module from {}: {cause}", wasm.display())]
    Bindgen { wasm: PathBuf, cause: String },
    /// A benchmark whose output is not a table.
    #[error("`{command}` did not print a table of results: {cause}")]
    Table { command: String, cause: String },
    /// A package that is larger than was promised.
    #[error("{} has {size} bytes; it may have {limit}", path.display())]
    TooLarge { path: PathBuf, size: u64, limit: u64 },
    /// A version that is not released.
    #[error(
        "{version} cannot be released: Cargo.toml has {expected}, and CHANGELOG.md needs a section of it without `(unreleased)`"
    )]
    Version { version: String, expected: String },
    /// No free TCP port.
    #[error("ports {first} to {last} are all in use: choose another with --port N")]
    NoPort { first: u16, last: u16 },
    /// Checks that failed or did not run; the summary printed before the message lists them.
    #[error("{failed} of {total} checks failed")]
    Tests { failed: u32, total: u32 },
}

/// Returns the repository's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ is in the repository")
}

/// Returns a command for the cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Returns a command that runs an npm package's script in Node; `script` is its path under node_modules/.
pub fn node_script(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(root().join("node_modules").join(script));
    command
}

/// Prints a progress message to stderr.
pub fn say(message: &str) {
    eprintln!("==> {message}");
}

/// Runs a command in the repository's root with inherited stdio.
pub fn run(command: &mut Command) -> Result<(), Error> {
    let status = command.current_dir(root()).status().map_err(|cause| not_started(command, cause))?;
    if status.success() { Ok(()) } else { Err(failed(command, status)) }
}

/// Runs a command like [`run`] and also passes every line of its standard output to `each_line`.
pub fn run_lines(command: &mut Command, mut each_line: impl FnMut(&str)) -> Result<(), Error> {
    let mut child =
        command.current_dir(root()).stdout(Stdio::piped()).spawn().map_err(|cause| not_started(command, cause))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            each_line(&line);
        }
    }
    let status = child.wait().map_err(|cause| not_started(command, cause))?;
    if status.success() { Ok(()) } else { Err(failed(command, status)) }
}

/// Returns a command's trimmed standard output, or `None` if it fails or does not exist.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.current_dir(root()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the first file of this name in the folders of `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Copies a file, or a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |cause| Error::File { path: from.to_owned(), cause };
    std::fs::create_dir_all(to.parent().unwrap_or(to)).map_err(failed)?;
    if from.is_file() {
        return std::fs::copy(from, to).map(drop).map_err(failed);
    }
    for entry in from.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

fn not_started(command: &Command, cause: std::io::Error) -> Error {
    Error::NotStarted { command: command_line(command), cause }
}

fn failed(command: &Command, status: std::process::ExitStatus) -> Error {
    Error::Failed { command: command_line(command), status }
}

/// Formats a command as typed in the repository's root.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ").replace(&format!("{}/", root().display()), "")
}
