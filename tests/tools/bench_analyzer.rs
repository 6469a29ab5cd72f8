//! Benchmarks of the analyzer and NumPy on the same synthetic files, printed as one JSON object per line.
//!
//!     cargo run --release -p lora-loupe-tests -- bench_analyzer [small]
//!     cargo run --release -p lora-loupe-tests -- bench_analyzer write FILE sd15|sdxl RANK [hollow]
//!
//! NumPy runs in a separate process (the Python of the environment variable `PYTHON`, by default `python3`) with one
//! BLAS thread, alternating with this program. `small` skips the SDXL file. `write` only writes such a file, for
//! tests/bench/analyzer.mjs; `hollow` writes a sparse file of zeros.

use lora_loupe::adapters::Delta;
use lora_loupe::analysis::{Spectrum, inspect_header};
use lora_loupe::edit::Opened;
use lora_loupe::formats::source::FileSource;
use lora_loupe_tests::synthetic::{self, Network};
use pollster::block_on;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Number of measurements per row.
const ROUNDS: usize = 5;
/// Number of files whose headers are read.
const FILES: usize = 1000;

pub fn run(arguments: &[&str]) {
    match *arguments {
        ["write", file, network, rank, ref flags @ ..] => {
            let network = if network == "sdxl" { Network::Sdxl } else { Network::Sd15 };
            let write = if flags.contains(&"hollow") { synthetic::write_hollow } else { synthetic::write };
            write(Path::new(file), network, rank.parse().expect("a rank")).expect("a written file");
        }
        ref flags => bench(flags.contains(&"small")),
    }
}

fn bench(small: bool) {
    let folder = std::env::temp_dir().join(format!("lora-loupe-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the files");
    for (network, name, rounds) in
        [(Network::Sd15, "SD 1.5 rank 128", ROUNDS), (Network::Sdxl, "SDXL rank 128", ROUNDS)]
    {
        if small && network == Network::Sdxl {
            continue;
        }
        let file = folder.join("file.safetensors");
        synthetic::write(&file, network, 128).expect("a written file");
        let megabytes = std::fs::metadata(&file).map_or(0, |data| data.len() / 1_000_000);
        let mut numpy = Numpy::start(&file);
        if numpy.is_none() {
            eprintln!("NumPy is not installed (set PYTHON to a Python that has it): rows have no peer");
        }
        let label = format!("{name} ({megabytes} MB)");
        row(&format!("verdict and coverage, {label}"), rounds, || header(&file), None);
        row(&format!("all norms, {label}"), rounds, || norms(&file), numpy.as_mut().map(|numpy| (numpy, "norms")));
        row(
            &format!("norms and singular values, {label}"),
            rounds,
            || spectra(&file),
            numpy.as_mut().map(|numpy| (numpy, "spectra")),
        );
    }
    let files = copies(&folder);
    row(&format!("headers of {FILES} files"), ROUNDS, || files.iter().for_each(|file| header(file)), None);
    std::fs::remove_dir_all(&folder).expect("a removable folder");
}

/// Creates [`FILES`] files with the header of a rank-4 SD 1.5 adapter, hard-linked if possible.
fn copies(folder: &Path) -> Vec<PathBuf> {
    let first = folder.join("0.safetensors");
    synthetic::write(&first, Network::Sd15, 4).expect("a written file");
    let copy = |index: usize| {
        let file = folder.join(format!("{index}.safetensors"));
        std::fs::hard_link(&first, &file)
            .or_else(|_| std::fs::copy(&first, &file).map(|_| ()))
            .expect("a written file");
        file
    };
    (1..=FILES).map(copy).collect()
}

fn header(file: &Path) {
    let source = FileSource::open(file).expect("the file");
    let report = block_on(inspect_header("file", &source, None));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

/// Calls `visit` with every delta and its factors.
fn for_each_delta(file: &Path, mut visit: impl FnMut(&Delta, &lora_loupe::adapters::FactorData)) {
    let source = FileSource::open(file).expect("the file");
    let opened = block_on(Opened::new("file", &source, None)).expect("an adapter");
    for delta in &opened.adapter.deltas {
        visit(delta, &block_on(opened.read_factors(delta)).expect("factors"));
    }
}

fn norms(file: &Path) {
    for_each_delta(file, |delta, numbers| assert!(delta.norm(numbers).is_some_and(|norm| norm > 0.0)));
}

fn spectra(file: &Path) {
    for_each_delta(file, |delta, numbers| {
        assert!(Spectrum::of_delta(delta, numbers).is_some_and(|found| found.values.len() == 128))
    });
}

/// Times `ours` and NumPy alternately and prints the row.
fn row(name: &str, rounds: usize, mut ours: impl FnMut(), mut peer: Option<(&mut Numpy, &str)>) {
    let (mut own_times, mut peer_times) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        ours();
        own_times.push(start.elapsed().as_secs_f64() * 1000.0);
        peer_times.extend(peer.as_mut().map(|(numpy, work)| numpy.milliseconds(work)));
    }
    let mut row = json!({ "group": "analyzer", "name": name, "ours_ms": statistics(&mut own_times) });
    if !peer_times.is_empty() {
        row["peer"] = "numpy".into();
        row["peer_ms"] = statistics(&mut peer_times);
        row["ratio"] = json!(peer_times[peer_times.len() / 2] / own_times[own_times.len() / 2]);
    }
    println!("{row}");
}

/// Returns minimum, median and maximum; sorts the times.
fn statistics(times: &mut [f64]) -> Value {
    times.sort_by(f64::total_cmp);
    json!({ "min": times[0], "median": times[times.len() / 2], "max": times[times.len() - 1] })
}

/// A NumPy process that computes on one file.
struct Numpy {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Numpy {
    /// Starts the process, or returns `None` if NumPy is not installed.
    fn start(file: &Path) -> Option<Numpy> {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("make/bench_analyzer.py");
        let check = Command::new(&python).args(["-c", "import numpy"]).stderr(Stdio::null()).status();
        check.ok().filter(|status| status.success())?;
        let mut command = Command::new(&python);
        let mut child = command.arg(script).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let (input, output) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        Some(Numpy { child, input, output })
    }

    fn milliseconds(&mut self, work: &str) -> f64 {
        writeln!(self.input, "{work}").expect("a running NumPy process");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer from NumPy");
        line.trim().parse().expect("milliseconds")
    }
}

impl Drop for Numpy {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
