//! A card's day: what a graphics card makes of the kernels and of Stable Diffusion, within eight minutes and without
//! anything but this program, the files of `cargo xtask card` and a Vulkan driver.
//!
//!     card FOLDER [--small] [--only PART] [--peer COMMAND...]
//!
//! Writes FOLDER/card.json, after each part, and FOLDER/card.md. `--small` is for software Vulkan: small shapes and
//! images. Both write checkpoints of real size, 7 GB, into the folder for temporary files. `--only` runs one of the parts
//! correct, kernels, images and peer. `--peer` is a command that prints the times of a peer as JSON, such as card/peer.py
//! with PyTorch.

mod images;
mod kernels;

use lora_loupe::gpu::{BenchBudget, Gpu, RooflinePeak};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The parts after the device.
const PARTS: [&str; 4] = ["correct", "kernels", "images", "peer"];
/// Budget of a kernel's measurement.
const BUDGET: BenchBudget = BenchBudget { rounds: 3, limit: Duration::from_millis(300) };

pub fn run(arguments: &[&str]) -> Result<()> {
    let (arguments, peer) = match arguments.iter().position(|argument| *argument == "--peer") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[][..]),
    };
    let (folder, is_small, only) = match *arguments {
        [folder] => (folder, false, None),
        [folder, "--small"] => (folder, true, None),
        [folder, "--only", part] => (folder, false, Some(part)),
        [folder, "--small", "--only", part] => (folder, true, Some(part)),
        _ => return Err("card FOLDER [--small] [--only PART] [--peer COMMAND...]".into()),
    };
    if let Some(part) = only
        && !PARTS.contains(&part)
    {
        return Err(format!("there is no part `{part}`; there are {}", PARTS.join(", ")).into());
    }
    std::fs::create_dir_all(folder)?;
    let mut report = Report { folder: folder.into(), only: only.map(str::to_owned), parts: Map::new() };
    report.add("device", || pollster::block_on(device()))?;
    let roof = &report.part("device")["roof"];
    let peak: Option<RooflinePeak> = roof["gflops"].as_f64().and_then(|gflops| {
        let bytes = roof["gigabytes"].as_f64()? * 1e9;
        Some(RooflinePeak { flops: gflops * 1e9, bytes })
    });
    report.add("correct", || pollster::block_on(kernels::check(is_small)))?;
    report.add("kernels", || pollster::block_on(kernels::time(is_small, peak)))?;
    report.add("images", || pollster::block_on(images::generate(is_small, peak)))?;
    report.add("peer", || answer_of(peer))?;
    std::fs::write(report.folder.join("card.md"), report.markdown())?;
    println!("{}", report.markdown());
    if only.is_some_and(|only| only != "correct") {
        return Ok(());
    }
    let wrong = report.part("correct")["wrong"].as_array().map_or(1, Vec::len);
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} kernels are wrong on this device: see card.json").into()) }
}

/// The results of all parts so far.
struct Report {
    folder: PathBuf,
    /// The only part that runs after the device.
    only: Option<String>,
    parts: Map<String, Value>,
}

impl Report {
    /// Runs a part and stores its result, or why there is none: the other parts run all the same.
    fn add(&mut self, name: &str, part: impl FnOnce() -> Result<Value>) -> Result<()> {
        if PARTS.contains(&name) && self.only.as_ref().is_some_and(|only| only != name) {
            return Ok(());
        }
        let started = Instant::now();
        eprintln!("{name} ...");
        let mut value = match catch_unwind(AssertUnwindSafe(part)) {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => json!({ "error": error.to_string() }),
            Err(panic) => json!({ "error": format!("panicked: {:?}", panic.downcast_ref::<String>()) }),
        };
        value["seconds"] = json!(started.elapsed().as_secs_f64());
        eprintln!("{name}: {:.0} s", started.elapsed().as_secs_f64());
        self.parts.insert(name.into(), value);
        let text = format!("{:#}\n", Value::Object(self.parts.clone()));
        Ok(std::fs::write(self.folder.join("card.json"), text)?)
    }

    /// Returns the result of a part; null if it did not run.
    fn part(&self, name: &str) -> &Value {
        self.parts.get(name).unwrap_or(&Value::Null)
    }

    fn markdown(&self) -> String {
        let device = self.part("device");
        let mut lines = vec![format!("## {}", text(&device["adapter"])), String::new()];
        for (name, part) in &self.parts {
            if let Some(error) = part["error"].as_str() {
                lines.push(format!("**{name}: not measured**: {error}\n"));
            }
        }
        let roof = &device["roof"];
        lines.push(format!(
            "Measured roof: {} GFLOP/s in f32, {} GB/s.\n",
            number(&roof["gflops"]),
            number(&roof["gigabytes"])
        ));
        let correct = self.part("correct");
        if let Some(wrong) = correct["wrong"].as_array() {
            lines.push(format!(
                "Kernels against the definitions: {} comparisons, {} wrong.\n",
                correct["count"],
                wrong.len()
            ));
        }
        let networks = &self.part("images")["networks"];
        table(&mut lines, &["kernel", "variant", "ms", "GFLOP/s", "share of roof"], &self.part("kernels")["rows"]);
        table(&mut lines, &["image", "what", "seconds"], &self.part("images")["rows"]);
        table(&mut lines, &["network", "variant", "ms", "GFLOP/s", "share of roof"], networks);
        table(&mut lines, &["peer", "what", "ms"], &self.part("peer")["rows"]);
        for note in self.part("peer")["notes"].as_array().into_iter().flatten() {
            lines.push(format!("Not measured of the peer: {}\n", text(note)));
        }
        lines.join("\n")
    }
}

/// Appends rows, arrays of cells, as a Markdown table.
fn table(lines: &mut Vec<String>, head: &[&str], rows: &Value) {
    let Some(rows) = rows.as_array() else { return };
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    lines.push(line(head.iter().map(|&cell| cell.to_owned()).collect()));
    lines.push(line(vec!["---".into(); head.len()]));
    for row in rows.iter().filter_map(Value::as_array) {
        lines.push(line(row.iter().map(|cell| if cell.is_number() { number(cell) } else { text(cell) }).collect()));
    }
    lines.push(String::new());
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

/// Formats a number with three digits.
fn number(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(number) if number >= 100.0 => format!("{number:.0}"),
        Some(number) if number >= 1.0 => format!("{number:.2}"),
        Some(number) => format!("{number:.3}"),
    }
}

/// Returns the device, its limits and its measured roof.
async fn device() -> Result<Value> {
    let gpu = Gpu::open().await?;
    let info = gpu.info();
    let roof = gpu.roofline_peak(BenchBudget { rounds: 5, limit: Duration::from_secs(4) }).await?;
    let config = gpu.self_test(&gpu.default_config()).await?;
    Ok(json!({
        "adapter": format!("{} ({})", info.adapter, info.backend),
        "info": format!("{info:?}"),
        "config": format!("{config:?}"),
        "roof": { "gflops": roof.flops / 1e9, "gigabytes": roof.bytes / 1e9 },
    }))
}

/// Runs a peer's command and returns the JSON that it prints.
fn answer_of(command: &[&str]) -> Result<Value> {
    let [program, arguments @ ..] = command else { return Err("no command was given".into()) };
    let output = Command::new(Path::new(program)).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("`{}` failed: {}", command.join(" "), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
