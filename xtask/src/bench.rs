//! `cargo xtask bench`: benchmarks, native and in headless Chromium, collected in one table and one JSON file.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Error, cargo, output, root, run, say};
use crate::{dist, libraries, setup};

/// PyPI packages of the processor's peers.
const PYTHON_PACKAGES: [&str; 4] = ["torch", "diffusers==0.42.1", "onnxruntime", "numpy"];

/// Arguments of `cargo xtask bench`; every part runs if none is selected.
#[derive(clap::Args)]
pub struct Options {
    /// Run on this machine's Vulkan, Metal or DirectX device.
    #[arg(long)]
    native: bool,
    /// Run on this machine's processor, compared with onnxruntime and PyTorch with as many threads.
    #[arg(long)]
    cpu: bool,
    /// Run in headless Chromium, by WebGPU and on the processor, compared with onnxruntime-web's engines.
    #[arg(long)]
    browser: bool,
    /// Run the analyzer on large files, native and in headless Chromium, compared with NumPy (set `PYTHON` to a Python
    /// that has it).
    #[arg(long)]
    analyzer: bool,
    /// Compile every kernel in every variant for AMD cards with Mesa's RADV driver and judge the result; needs no card.
    #[arg(long)]
    compiled: bool,
    /// Include the shapes of Stable Diffusion 1.5 and XL (native; takes minutes without a GPU).
    #[arg(long)]
    full: bool,
    /// Include a full UNet call and VAE decode of SD 1.5 at 512x512 with synthetic weights (native).
    #[arg(long)]
    step: bool,
    /// Write the results to FILE as JSON as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the selected benchmarks, prints their tables and writes the JSON file.
pub fn bench(options: &Options) -> Result<(), Error> {
    let all = !options.native && !options.cpu && !options.browser && !options.analyzer && !options.compiled;
    let mut parts = Vec::new();
    if options.native || all {
        parts.push(native(options)?);
    }
    if options.cpu || all {
        parts.push(cpu()?);
    }
    if options.browser || all {
        parts.push(browser()?);
    }
    if options.analyzer || all {
        parts.extend(analyzer()?);
    }
    if options.compiled {
        parts.push(compiled()?);
    }
    for part in &parts {
        match part["estimates"].as_array() {
            Some(estimates) => print_compiled(part, estimates),
            None => print(part),
        }
    }
    if let Some(path) = &options.json {
        let adapters: Vec<&str> = parts.iter().filter_map(|part| part["adapter"].as_str()).collect();
        let rows: Vec<&Value> = parts.iter().filter_map(|part| part["rows"].as_array()).flatten().collect();
        let commit = output(Command::new("git").args(["rev-parse", "HEAD"])).unwrap_or_default();
        let table = json!({ "adapter": adapters.join("; "), "commit": commit, "rows": rows });
        let text = format!("{table:#}\n");
        fs::write(path, text).map_err(|cause| Error::File { path: path.clone(), cause })?;
    }
    Ok(())
}

fn native(options: &Options) -> Result<Value, Error> {
    setup::vulkan()?;
    let mut command = cargo();
    command.args(["run", "--release", "--quiet", "-p", "lora-loupe-tests", "--", "bench"]);
    let flags = [(options.full, "--full"), (options.step, "--step")];
    table(command.args(flags.iter().filter(|(selected, _)| *selected).map(|(_, flag)| flag)), "native")
}

/// Returns times on the processor, beside those of onnxruntime and PyTorch.
fn cpu() -> Result<Value, Error> {
    npm_packages()?;
    let program = tools()?;
    let (scripts, models) = (root().join("tests").join("bench"), root().join("target").join("bench-models"));
    run(Command::new("node").arg(scripts.join("write.mjs")).arg(&models))?;
    let mut command = Command::new(libraries::python(&PYTHON_PACKAGES)?);
    table(command.arg(scripts.join("cpu.py")).arg(&models).arg(program).arg("bench"), "cpu")
}

fn browser() -> Result<Value, Error> {
    dist::engine()?;
    dist::page()?;
    npm_packages()?;
    let mut command = Command::new("node");
    command.env("CHROME_PATH", setup::chromium()?).arg(root().join("tests").join("bench").join("browser.mjs"));
    table(&mut command, "browser")
}

/// Installs the npm packages of tests/bench/.
fn npm_packages() -> Result<(), Error> {
    if root().join("tests/bench/node_modules/onnxruntime-web").is_dir() {
        return Ok(());
    }
    say("npm ci, in tests/bench");
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    run(Command::new(npm).args(["ci", "--prefix", "tests/bench", "--no-audit", "--no-fund"]))
}

/// Returns the analyzer's tables for the native build and the page; neither needs a GPU.
fn analyzer() -> Result<[Value; 2], Error> {
    dist::engine()?;
    dist::page()?;
    let tools = tools()?;
    let mut page = Command::new("node");
    page.env("CHROME_PATH", setup::chromium()?)
        .arg(root().join("tests").join("bench").join("analyzer.mjs"))
        .arg(&tools);
    Ok([table(Command::new(&tools).arg("bench_analyzer"), "analyzer")?, table(&mut page, "analyzer in Chromium")?])
}

/// Returns what the compiler of AMD's cards makes of the kernels.
fn compiled() -> Result<Value, Error> {
    setup::radv()?;
    let mut command = cargo();
    table(command.args(["run", "--quiet", "-p", "lora-loupe-tests", "--", "compiled"]), "compiled")
}

/// Builds the tools around the tests, optimized, and returns their program.
fn tools() -> Result<PathBuf, Error> {
    run(cargo().args(["build", "--release", "--quiet", "-p", "lora-loupe-tests", "--bin", "tools"]))?;
    Ok(root().join("target").join("release").join("tools").with_extension(std::env::consts::EXE_EXTENSION))
}

/// Runs a program that prints its rows as JSON and tags each row with `place`, where it ran.
fn table(command: &mut Command, place: &str) -> Result<Value, Error> {
    say(&format!("bench: {place}"));
    command.current_dir(root()).stderr(Stdio::inherit());
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|cause| Error::NotStarted { command: name.clone(), cause })?;
    if !output.status.success() {
        return Err(Error::Failed { command: name, status: output.status });
    }
    // One table, or one row per line without an adapter.
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect();
    let values = values.map_err(|cause| Error::Table { command: name, cause: cause.to_string() })?;
    let mut table = match values.as_slice() {
        [table] if table["rows"].is_array() => table.clone(),
        rows => json!({ "rows": rows }),
    };
    for row in table["rows"].as_array_mut().into_iter().flatten() {
        row["where"] = place.into();
    }
    table["where"] = place.into();
    Ok(table)
}

/// Prints one line per row: times, throughput, share of the device's peak, and the peer's time.
fn print(part: &Value) {
    println!("\n{}: {}", part["where"].as_str().unwrap_or_default(), part["adapter"].as_str().unwrap_or("no device"));
    let rows = part["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (compared, rows): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| row["peer"].is_object());
    print_compared(&compared);
    if rows.is_empty() {
        return;
    }
    println!(
        "{:62} {:>26} {:>9} {:>7} {:>14} {:>6}",
        "", "min / median / max ms", "GFLOP/s", "of peak", "peer ms", "ratio"
    );
    for row in rows {
        let number = |value: &Value, digits: usize| {
            value.as_f64().map(|number| format!("{number:.digits$}")).unwrap_or_default()
        };
        let ours = match &row["ours_ms"] {
            Value::Null => format!("{} bytes", row["bytes"]),
            ms => ["min", "median", "max"].map(|part| number(&ms[part], 1)).join(" / "),
        };
        let share = row["share_of_roof"].as_f64().map(|share| format!("{:.0} %", 100.0 * share)).unwrap_or_default();
        println!(
            "{:62} {ours:>26} {:>9} {share:>7} {:>14} {:>6}",
            row["name"].as_str().unwrap_or_default(),
            number(&row["gflops"], 2),
            number(&row["peer_ms"]["median"], 1),
            number(&row["ratio"], 2),
        );
    }
}

/// Prints the shortest times on each device and of each of the peer's engines, in milliseconds, and the ratio of the
/// peers' best to ours.
fn print_compared(rows: &[&Value]) {
    let Some(first) = rows.first() else { return };
    let names = |which: &str| first[which].as_object().into_iter().flat_map(|times| times.keys().cloned());
    let columns: Vec<(&str, String)> =
        ["ours", "peer"].into_iter().flat_map(|which| names(which).map(move |name| (which, name))).collect();
    let titles = columns.iter().map(|(which, name)| format!("{:>13}", format!("{which} {name}"))).collect::<String>();
    println!("{:62}{titles} {:>6}", "shortest times in ms", "ratio");
    for row in rows {
        let time = |(which, name): &(&str, String)| row[*which][name.as_str()].as_f64();
        let best = |which: &str| {
            let times = columns.iter().filter(|(of, _)| *of == which).filter_map(time);
            times.min_by(f64::total_cmp)
        };
        let times: String = columns
            .iter()
            .map(|column| format!("{:>13}", time(column).map(|ms| format!("{ms:.2}")).unwrap_or_default()))
            .collect();
        let ratio = best("peer").zip(best("ours")).map(|(peer, ours)| format!("{:.2}", peer / ours));
        println!("{:62}{times} {:>6}", row["name"].as_str().unwrap_or_default(), ratio.unwrap_or_default());
    }
}

/// Prints what a compiler made of the kernels, and the estimates that follow from it, as Markdown.
fn print_compiled(part: &Value, estimates: &[Value]) {
    println!("\n{}\n", part["adapter"].as_str().unwrap_or_default());
    let rows: Vec<&Value> = part["rows"].as_array().into_iter().flatten().collect();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let mut devices: Vec<String> = rows.iter().map(|row| text(row, "device")).collect();
    devices.dedup();
    println!("| kernel | variant | workgroup memory | {} |", devices.join(" | "));
    println!("| --- | --- | --- |{}", " --- |".repeat(devices.len()));
    for first in rows.iter().filter(|row| row["device"] == devices[0].as_str()) {
        let same = rows.iter().filter(|row| row["kernel"] == first["kernel"] && row["variant"] == first["variant"]);
        let cells: Vec<String> = same.map(|row| compiled_cell(row)).collect();
        let [kernel, variant] = ["kernel", "variant"].map(|name| text(first, name));
        println!("| {kernel} | {variant} | {} | {} |", first["lds"], cells.join(" | "));
    }
    for estimate in estimates {
        println!("\n{}, one UNet call with guidance, estimated:\n", text(estimate, "model"));
        println!("| kernel | dispatches | GFLOP | GB | ms |\n| --- | --- | --- | --- | --- |");
        let mut total = [0.0; 4];
        for (kernel, numbers) in estimate["parts"].as_object().into_iter().flatten() {
            let numbers = [0, 1, 2, 3].map(|i| numbers[i].as_f64().unwrap_or(0.0));
            total.iter_mut().zip(numbers).for_each(|(total, number)| *total += number);
            println!("| {kernel} | {} |", numbers.map(|number| format!("{number:.1}")).join(" | "));
        }
        println!("| all | {} |", total.map(|number| format!("{number:.1}")).join(" | "));
    }
}

/// Returns a device's registers, spilled ones, subgroups, and the instructions and multiply-adds of the inner loop.
fn compiled_cell(row: &Value) -> String {
    let [vgprs, spilled, waves] = ["vgprs", "spilled", "waves"].map(|name| row[name].to_string());
    let spilled = if spilled == "0" { String::new() } else { format!(" ({spilled} spilled)") };
    match (row["loop"].as_u64(), row["fma"].as_f64()) {
        (Some(instructions), Some(share)) if instructions > 0 => {
            format!("{vgprs}{spilled}, {waves}, {:.0} % of {instructions}", 100.0 * share)
        }
        _ => format!("{vgprs}{spilled}, {waves}"),
    }
}
