//! `cargo xtask test`: Rust tests, type checks and browser tests of the page, with one summary.

use std::fmt;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::process::{Error, cargo, node_script, root, run, run_lines, say};
use crate::toolchain::{Target, Toolchain};
use crate::{dist, libraries, packages, setup};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Options {
    /// Parts to run, together with those they depend on; by default all except `libraries`, `packages` and `scale`.
    parts: Vec<Part>,
    /// Run only the browser test files whose names contain one of these strings.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Number of times to run the browser test files.
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Number of busy-looping threads during the browser tests.
    #[arg(long, default_value_t = 0)]
    busy: u32,
}

/// Node's timeout for one browser test, in milliseconds; the longest take minutes.
const TEST_TIMEOUT: &str = "--test-timeout=1200000";

/// Browser test files that measure times on the GPU, which is all cores on a software rasterizer.
const MEASURING: [&str; 3] = ["bench", "engine", "webgpu"];

/// JavaScript that prettier formats; .prettierignore excepts the texts.
const SCRIPTS: [&str; 4] = ["*.js", "web/**/*.js", "npm/*.js", "tests/{browser,page,bench,packages}/*.{js,mjs}"];

/// A part of the tests. Parts run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// `cargo fmt --check` and `cargo clippy` with the workspace's lints; prettier and eslint for the page and its tests.
    /// Warnings are errors.
    Lint,
    /// `cargo test` of the workspace.
    Native,
    /// The tests that need no GPU, on wasm32, where `usize` has 32 bits as in a browser.
    Wasm32,
    /// The crate built for WebAssembly into pkg/.
    Engine,
    /// Type checks of the page's and the worker's JavaScript with `tsc --noEmit`.
    Types,
    /// tests/page/*.test.mjs: the page's state and effects in Node, with an engine that the tests answer for.
    Logic,
    /// The page built into dist/.
    Page,
    /// tests/browser/*.test.mjs against dist/ in Chromium, one of them in Firefox and one in WebKit.
    Browser,
    /// Converted files loaded with diffusers, peft and lycoris-lora; needs Python and runs only if named.
    Libraries,
    /// The Python wheel, the npm package and the action as they are published; needs Python and runs only if named.
    Packages,
    /// The jobs of examples/at_scale/ with Spark and Ray; needs Python and Java and runs only if named.
    Scale,
}

/// Numbers of checks that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: u32,
}

/// Runs the selected parts, prints a summary, and fails if anything failed or did not run.
pub fn test(options: &Options) -> Result<(), Error> {
    let mut results: Vec<(Part, Tally, String)> = Vec::new();
    for part in Part::ALL.into_iter().filter(|part| part.is_wanted(&options.parts)) {
        let failed = results.iter().find(|(done, tally, _)| part.needs(*done) && tally.failed > 0);
        let (tally, note) = match failed {
            Some((needed, ..)) => (Tally::FAILED, format!("not run: {needed:?} failed")),
            None => run_part(part, options),
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

/// Runs one part. A failing exit status or a run without tests counts as a failure.
fn run_part(part: Part, options: &Options) -> (Tally, String) {
    say(&format!("test: {part:?}"));
    let mut tally = Tally::default();
    let result = part.run(options, &mut tally);
    match result {
        Err(error) => {
            eprintln!("{error}");
            tally.failed = tally.failed.max(1);
            (tally, error.to_string().lines().next().unwrap_or_default().to_owned())
        }
        Ok(()) if tally == Tally::default() => (Tally::FAILED, "no tests ran".into()),
        Ok(()) => (tally, String::new()),
    }
}

impl Part {
    const ALL: [Part; 11] = [
        Part::Lint,
        Part::Native,
        Part::Wasm32,
        Part::Engine,
        Part::Types,
        Part::Logic,
        Part::Page,
        Part::Browser,
        Part::Libraries,
        Part::Packages,
        Part::Scale,
    ];
    /// Parts that run only if they are named.
    const NAMED: [Part; 3] = [Part::Libraries, Part::Packages, Part::Scale];

    /// Returns whether the part depends on `other`.
    fn needs(self, other: Part) -> bool {
        match self {
            Part::Types | Part::Page => other == Part::Engine,
            Part::Browser => other == Part::Page || other == Part::Engine,
            _ => false,
        }
    }

    /// Returns whether the part, or one that depends on it, is selected.
    fn is_wanted(self, chosen: &[Part]) -> bool {
        chosen.is_empty() && !Part::NAMED.contains(&self) || chosen.iter().any(|&part| part == self || part.needs(self))
    }

    /// Installs what the part needs, runs it and adds its counts to `tally`.
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
            Part::Logic => logic(tally),
            Part::Page => tally.count(dist::page()),
            Part::Browser => browser(options, tally),
            Part::Libraries => tally.count(libraries::check()),
            Part::Packages => tally.count(packages::check()),
            Part::Scale => tally.count(packages::scale()),
        }
    }
}

fn lint(tally: &mut Tally) -> Result<(), Error> {
    setup::rust_component("rustfmt", "cargo-fmt")?;
    setup::rust_component("clippy", "cargo-clippy")?;
    let formatted = tally.count(run(cargo().args(["fmt", "--all", "--check"])));
    let clean = run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]));
    setup::npm_packages()?;
    let pretty = tally
        .count(run(node_script("prettier/bin/prettier.cjs").args(["--check", "--log-level", "warn"]).args(SCRIPTS)));
    let linted = tally.count(run(node_script("eslint/bin/eslint.js").args(["--max-warnings", "0"])));
    formatted.and(tally.count(clean)).and(pretty).and(linted)
}

fn native(tally: &mut Tally) -> Result<(), Error> {
    setup::vulkan()?;
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    run_lines(&mut command, |line| *tally += cargo_tally(line))
}

/// Runs the tests on WASI, which has files and a `main`, in Node (`runner` in .cargo/config.toml).
fn wasm32(tally: &mut Tally) -> Result<(), Error> {
    setup::node()?;
    let mut command = Toolchain::get(Target::Wasi)?.cargo("test");
    command.args([
        "--package",
        "lora-loupe",
        "--package",
        "lora-loupe-linalg",
        "--package",
        "lora-loupe-simd",
        "--package",
        "lora-loupe-tests",
        "--lib",
        "--test",
        "*",
        "--no-fail-fast",
    ]);
    // A panic aborts there, so output that libtest captures would be lost.
    command.args(["--", "--nocapture"]);
    run_lines(&mut command, |line| *tally += cargo_tally(line))
}

/// Runs the tests of the page that need neither a browser nor the engine.
fn logic(tally: &mut Tally) -> Result<(), Error> {
    setup::npm_packages()?;
    let mut node = Command::new("node");
    node.args(["--test", TEST_TIMEOUT, "--test-reporter=spec"]).args(tests_in("page")?);
    run_lines(&mut node, |line| *tally += node_tally(line))
}

/// Runs the browser test files, those of [`MEASURING`] one after another, so that they do not compete for the CPU, and
/// the others two at a time; prints the time of each run.
fn browser(options: &Options, tally: &mut Tally) -> Result<(), Error> {
    let mut files = tests_in("browser")?;
    files.retain(|file| is_chosen(file, &options.only));
    let (chromium, firefox) = (setup::chromium()?, setup::firefox()?);
    if cfg!(target_os = "linux") {
        setup::webkit()?;
    } else {
        files.retain(|file| !name_of(file).starts_with("webkit"));
    }
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
        for files in (0..options.repeat).flat_map(|_| browser_runs(&files)) {
            let started = Instant::now();
            let mut run_tally = Tally::default();
            let mut node = Command::new("node");
            node.env("CHROME_PATH", &chromium).env("FIREFOX_PATH", &firefox);
            node.args(["--test", "--test-concurrency=2", TEST_TIMEOUT, "--test-reporter=spec"]).args(&files);
            results.push(run_lines(&mut node, |line| run_tally += node_tally(line)));
            let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
            times.push(format!("{:5.0} s  {run_tally}  {}", started.elapsed().as_secs_f64(), names.join(", ")));
            *tally += run_tally;
        }
        done.store(true, Ordering::Relaxed);
        println!("\nBrowser\n{}", times.join("\n"));
        results.into_iter().collect()
    })
}

/// Groups browser test files into runs: each that measures alone, all others together.
fn browser_runs(files: &[PathBuf]) -> Vec<Vec<&PathBuf>> {
    let (measuring, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
        files.iter().partition(|file| MEASURING.contains(&name_of(file).trim_end_matches(".test.mjs")));
    let mut runs: Vec<Vec<&PathBuf>> = measuring.into_iter().map(|file| vec![file]).collect();
    runs.push(others);
    runs.retain(|files| !files.is_empty());
    runs
}

/// Returns whether a test file's name contains one of `texts`; every file matches an empty list.
fn is_chosen(file: &Path, texts: &[String]) -> bool {
    texts.is_empty() || texts.iter().any(|text| name_of(file).contains(text.as_str()))
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the JavaScript test files of a folder of tests/, sorted by name.
fn tests_in(folder: &str) -> Result<Vec<PathBuf>, Error> {
    let folder = root().join("tests").join(folder);
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

    /// Counts a single check and returns its result.
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

/// Parses a summary line of `cargo test`: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn cargo_tally(line: &str) -> Tally {
    let Some(result) = line.strip_prefix("test result: ") else { return Tally::default() };
    let words: Vec<&str> = result.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
    let count = |unit: &str| {
        let number = words.windows(2).find(|pair| pair[1] == unit).and_then(|pair| pair[0].parse().ok());
        number.unwrap_or(0)
    };
    Tally { passed: count("passed"), failed: count("failed") }
}

/// Parses a line of Node's test summary: `ℹ pass 3`, `ℹ fail 0`, `ℹ cancelled 0`, `ℹ skipped 0`.
/// Skipped tests count as failed.
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
    fn cargo_summary_lines_are_counted() {
        let summary =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.10s";
        assert_eq!(cargo_tally(summary), Tally { passed: 12, failed: 3 });
        assert_eq!(cargo_tally("test nine passed ... ok"), Tally::default());
        assert_eq!(cargo_tally("running 9 tests"), Tally::default());
    }

    #[test]
    fn node_summary_lines_are_counted() {
        assert_eq!(node_tally("ℹ pass 4"), Tally { passed: 4, failed: 0 });
        assert_eq!(node_tally("ℹ fail 2"), Tally { passed: 0, failed: 2 });
        assert_eq!(node_tally("ℹ skipped 1"), Tally { passed: 0, failed: 1 });
        assert_eq!(node_tally("ℹ tests 7"), Tally::default());
        assert_eq!(node_tally("✔ pass 4 (3ms)"), Tally::default());
    }

    #[test]
    fn test_files_are_selected_by_name() {
        let [app, links] = ["tests/browser/app.test.mjs", "tests/browser/links.test.mjs"].map(Path::new);
        assert!(is_chosen(app, &[]) && is_chosen(links, &[]));
        assert!(is_chosen(app, &["app".into()]) && !is_chosen(links, &["app".into()]));
        assert!(is_chosen(links, &["app".into(), "link".into()]));
        assert!(!is_chosen(app, &["tests".into()]), "folders are not part of the name");
    }

    #[test]
    fn files_that_measure_run_alone() {
        let files = ["bench", "look", "words", "engine"].map(|name| PathBuf::from(format!("{name}.test.mjs")));
        let runs = browser_runs(&files);
        assert_eq!(runs, [vec![&files[0]], vec![&files[3]], vec![&files[1], &files[2]]]);
        let there: Vec<String> = tests_in("browser").unwrap().iter().map(|file| name_of(file)).collect();
        for name in MEASURING {
            assert!(there.contains(&format!("{name}.test.mjs")), "{name}");
        }
    }

    #[test]
    fn selecting_a_part_selects_its_dependencies() {
        assert!(Part::Page.is_wanted(&[Part::Browser]));
        assert!(Part::Engine.is_wanted(&[Part::Types]));
        assert!(!Part::Native.is_wanted(&[Part::Browser]));
        assert!(Part::Native.is_wanted(&[]));
        assert!(!Part::Libraries.is_wanted(&[]) && Part::Libraries.is_wanted(&[Part::Libraries]));
    }
}
