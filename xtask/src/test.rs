//! Turns the project's tests, of Rust, types and the page in a browser, into one verdict.

use std::fmt;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::process::{Error, cargo, node_script, root, run, run_lines, say};
use crate::toolchain::{Target, Toolchain};
use crate::{dist, libraries, setup};

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub struct Options {
    /// The parts to run, with the parts that they need; all but `libraries` when none is named.
    parts: Vec<Part>,
    /// Of the browser's test files, those alone with one of these texts in their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often the browser's test files are run.
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// How many threads keep the machine busy beside the browser's tests.
    #[arg(long, default_value_t = 0)]
    busy: u32,
}

/// How long Node lets one test of a browser run, in milliseconds: the longest take minutes.
const TEST_TIMEOUT: &str = "--test-timeout=1200000";

/// One part of the tests. Parts run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// `cargo fmt --check` and `cargo clippy` with the workspace's lints, every warning an error.
    Lint,
    /// `cargo test` of the workspace.
    Native,
    /// The tests that need no graphics processor on wasm32, whose `usize` has 32 bits as in a browser.
    Wasm32,
    /// The crate built for WebAssembly into pkg/.
    Engine,
    /// The page's and the worker's JavaScript checked by `tsc --noEmit`.
    Types,
    /// The page built into dist/.
    Page,
    /// tests/browser/*.test.mjs against dist/ in Chromium, one of them in Firefox.
    Browser,
    /// Converted files in diffusers, peft and lycoris-lora, where Python is there; only when named.
    Libraries,
}

/// How many checks passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: u32,
}

/// Runs the parts, prints a summary, and fails if anything failed or did not run.
pub fn test(options: &Options) -> Result<(), Error> {
    let mut results: Vec<(Part, Tally, String)> = Vec::new();
    for part in Part::ALL.into_iter().filter(|part| part.is_wanted(&options.parts)) {
        let broken = results.iter().find(|(done, tally, _)| part.needs(*done) && tally.failed > 0);
        let (tally, note) = match broken {
            Some((needed, ..)) => (Tally::FAILED, format!("not run: it needs {needed:?}")),
            None => verdict(part, options),
        };
        results.push((part, tally, note));
    }
    println!("\nSummary");
    let mut total = Tally::default();
    for (part, tally, note) in results {
        println!("{:10}{tally}  {note}", format!("{part:?}"));
        total += tally;
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    match total {
        Tally { failed: 0, .. } => Ok(()),
        Tally { passed, failed } => Err(Error::Tests { failed, total: passed + failed }),
    }
}

/// Runs one part. A bad exit status or no test at all is a failure, whatever was counted.
fn verdict(part: Part, options: &Options) -> (Tally, String) {
    say(&format!("test: {part:?}"));
    let mut tally = Tally::default();
    let result = part.run(options, &mut tally);
    match result {
        Err(error) => {
            eprintln!("{error}");
            tally.failed = tally.failed.max(1);
            (tally, error.to_string().lines().next().unwrap_or_default().to_owned())
        }
        Ok(()) if tally == Tally::default() => (Tally::FAILED, "no test ran".into()),
        Ok(()) => (tally, String::new()),
    }
}

impl Part {
    const ALL: [Part; 8] =
        [Part::Lint, Part::Native, Part::Wasm32, Part::Engine, Part::Types, Part::Page, Part::Browser, Part::Libraries];

    /// Whether the part cannot run where `other` failed.
    fn needs(self, other: Part) -> bool {
        match self {
            Part::Lint | Part::Native | Part::Wasm32 | Part::Engine | Part::Libraries => false,
            Part::Types | Part::Page => other == Part::Engine,
            Part::Browser => other == Part::Page || other == Part::Engine,
        }
    }

    /// Whether the part, or a part that needs it, is among the chosen ones.
    fn is_wanted(self, chosen: &[Part]) -> bool {
        chosen.is_empty() && self != Part::Libraries || chosen.iter().any(|&part| part == self || part.needs(self))
    }

    /// Sets up what the part needs, runs it and counts what it checked.
    fn run(self, options: &Options, tally: &mut Tally) -> Result<(), Error> {
        match self {
            Part::Lint => lint(tally),
            Part::Native => native(tally),
            Part::Wasm32 => wasm32(tally),
            Part::Engine => tally.count(dist::engine()),
            Part::Types => ["web/tsconfig.json", "web/tsconfig.worker.json"]
                .map(|project| {
                    let mut tsc = node_script("typescript/bin/tsc");
                    tally.count(run(tsc.args(["--noEmit", "--project", project])))
                })
                .into_iter()
                .collect(),
            Part::Page => tally.count(dist::page()),
            Part::Browser => browser(options, tally),
            Part::Libraries => tally.count(libraries::check()),
        }
    }
}

fn lint(tally: &mut Tally) -> Result<(), Error> {
    setup::rust_component("rustfmt", "cargo-fmt")?;
    setup::rust_component("clippy", "cargo-clippy")?;
    let formatted = tally.count(run(cargo().args(["fmt", "--all", "--check"])));
    let clean = run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]));
    formatted.and(tally.count(clean))
}

fn native(tally: &mut Tally) -> Result<(), Error> {
    setup::vulkan()?;
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    run_lines(&mut command, |line| *tally += cargo_tally(line))
}

/// On WASI, which has files and a main function for the tests, under Node (`runner` in .cargo/config.toml).
fn wasm32(tally: &mut Tally) -> Result<(), Error> {
    setup::node()?;
    let mut command = Toolchain::get(Target::Wasi)?.cargo("test");
    command.args([
        "--package",
        "lora-loupe",
        "--package",
        "lora-loupe-tests",
        "--lib",
        "--test",
        "*",
        "--no-fail-fast",
    ]);
    // A panic ends the program there, so that a message which libtest holds back would be lost.
    command.args(["--", "--nocapture"]);
    run_lines(&mut command, |line| *tally += cargo_tally(line))
}

/// Runs the browser's test files one after another, so that none waits for another's pages, and says what each took.
fn browser(options: &Options, tally: &mut Tally) -> Result<(), Error> {
    let mut files = browser_tests()?;
    files.retain(|file| is_chosen(file, &options.only));
    let (chromium, firefox) = (setup::chromium()?, setup::firefox()?);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..options.busy {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let mut times = Vec::new();
        let mut results = Vec::new();
        for file in (0..options.repeat).flat_map(|_| &files) {
            let started = Instant::now();
            let mut of_file = Tally::default();
            let mut node = Command::new("node");
            node.env("CHROME_PATH", &chromium).env("FIREFOX_PATH", &firefox);
            node.args(["--test", TEST_TIMEOUT, "--test-reporter=spec"]).arg(file);
            results.push(run_lines(&mut node, |line| of_file += node_tally(line)));
            times.push(format!("{:5.0} s  {of_file}  {}", started.elapsed().as_secs_f64(), name_of(file)));
            *tally += of_file;
        }
        done.store(true, Ordering::Relaxed);
        println!("\nBrowser\n{}", times.join("\n"));
        results.into_iter().collect()
    })
}

/// Whether a test file's name has one of the texts; every file where there are none.
fn is_chosen(file: &Path, texts: &[String]) -> bool {
    texts.is_empty() || texts.iter().any(|text| name_of(file).contains(text.as_str()))
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The test files of tests/browser/, by name.
fn browser_tests() -> Result<Vec<PathBuf>, Error> {
    let folder = root().join("tests").join("browser");
    let entries = folder.read_dir().map_err(|cause| Error::File { path: folder.clone(), cause })?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(".test.mjs"));
    files.sort();
    Ok(files)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6} passed{:6} failed", self.passed, self.failed)
    }
}

impl Tally {
    const FAILED: Tally = Tally { passed: 0, failed: 1 };

    /// Counts a check that has only one result, and hands the result on.
    fn count(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Ok(()) => self.passed += 1,
            Err(_) => self.failed += 1,
        }
        result
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What a line of `cargo test` adds: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn cargo_tally(line: &str) -> Tally {
    let Some(result) = line.strip_prefix("test result: ") else { return Tally::default() };
    let words: Vec<&str> = result.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
    let before = |unit: &str| {
        let number = words.windows(2).find(|pair| pair[1] == unit).and_then(|pair| pair[0].parse().ok());
        number.unwrap_or(0)
    };
    Tally { passed: before("passed"), failed: before("failed") }
}

/// What a line of Node's test summary adds: `ℹ pass 3`, `ℹ fail 0`, `ℹ cancelled 0`, `ℹ skipped 0`.
/// A test that was skipped did not pass, so it counts as failed.
fn node_tally(line: &str) -> Tally {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["ℹ", kind, number] = words[..] else { return Tally::default() };
    let number = number.parse().unwrap_or(0);
    match kind {
        "pass" => Tally { passed: number, failed: 0 },
        "fail" | "cancelled" | "skipped" => Tally { passed: 0, failed: number },
        _ => Tally::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_summaries_are_counted_and_other_lines_are_not() {
        let summary =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.10s";
        assert_eq!(cargo_tally(summary), Tally { passed: 12, failed: 3 });
        assert_eq!(cargo_tally("test nine passed ... ok"), Tally::default());
        assert_eq!(cargo_tally("running 9 tests"), Tally::default());
    }

    #[test]
    fn node_summaries_are_counted_and_other_lines_are_not() {
        assert_eq!(node_tally("ℹ pass 4"), Tally { passed: 4, failed: 0 });
        assert_eq!(node_tally("ℹ fail 2"), Tally { passed: 0, failed: 2 });
        assert_eq!(node_tally("ℹ skipped 1"), Tally { passed: 0, failed: 1 });
        assert_eq!(node_tally("ℹ tests 7"), Tally::default());
        assert_eq!(node_tally("✔ pass 4 (3ms)"), Tally::default());
    }

    #[test]
    fn files_are_chosen_by_a_text_in_their_names() {
        let [app, links] = ["tests/browser/app.test.mjs", "tests/browser/links.test.mjs"].map(Path::new);
        assert!(is_chosen(app, &[]) && is_chosen(links, &[]));
        assert!(is_chosen(app, &["app".into()]) && !is_chosen(links, &["app".into()]));
        assert!(is_chosen(links, &["app".into(), "link".into()]));
        assert!(!is_chosen(app, &["tests".into()]), "folders are no part of a name");
    }

    #[test]
    fn a_part_brings_what_it_needs() {
        assert!(Part::Page.is_wanted(&[Part::Browser]));
        assert!(Part::Engine.is_wanted(&[Part::Types]));
        assert!(!Part::Native.is_wanted(&[Part::Browser]));
        assert!(Part::Native.is_wanted(&[]));
        assert!(!Part::Libraries.is_wanted(&[]) && Part::Libraries.is_wanted(&[Part::Libraries]));
    }
}
