//! Turns a command line into a finished process, its output, or an error that repeats the command.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a developer command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A set-up step that this process may not or could not do itself.
    #[error("{what} is missing and could not be set up from here.\nRun this, then try again:\n\n    {by_hand}\n")]
    Missing { what: String, by_hand: String },
    /// A program that ended with a bad exit status.
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: std::process::ExitStatus },
    /// A program that could not be started at all.
    #[error("`{command}` could not be started: {cause}")]
    NotStarted { command: String, cause: std::io::Error },
    /// A file or folder that could not be read, written or moved.
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: std::io::Error },
    /// A .wasm file that wasm-bindgen refused.
    #[error("wasm-bindgen could not turn {} into a JavaScript module: {cause}", wasm.display())]
    Bindgen { wasm: PathBuf, cause: String },
    /// A program that did not print its table.
    #[error("`{command}` printed no table of rows: {cause}")]
    Table { command: String, cause: String },
    /// No TCP port to serve on.
    #[error("ports {first} to {last} are all in use: give another with --port N")]
    NoPort { first: u16, last: u16 },
    /// Tests that failed or did not run; the summary above the message names them.
    #[error("{failed} of {total} failed")]
    Tests { failed: u32, total: u32 },
}

/// The repository's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the repository")
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A script of an npm package, run by Node: `script` is its path under node_modules/.
pub fn node_script(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(root().join("node_modules").join(script));
    command
}

/// Says what is about to run or be done, on stderr.
pub fn say(message: &str) {
    eprintln!("==> {message}");
}

/// Runs a command in the repository's root with this terminal as its own.
pub fn run(command: &mut Command) -> Result<(), Error> {
    let status = command.current_dir(root()).status().map_err(|cause| not_started(command, cause))?;
    if status.success() { Ok(()) } else { Err(failed(command, status)) }
}

/// Runs a command like [`run`], and hands every line of its standard output on to the
/// terminal and to `each_line`.
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

/// A command's standard output without surrounding space; `None` if it fails or is not there.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.current_dir(root()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first file of this name in the folders of `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn not_started(command: &Command, cause: std::io::Error) -> Error {
    Error::NotStarted { command: text(command), cause }
}

fn failed(command: &Command, status: std::process::ExitStatus) -> Error {
    Error::Failed { command: text(command), status }
}

/// The command as one would type it in the repository's root.
fn text(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ").replace(&format!("{}/", root().display()), "")
}
