//! Tools around the tests: comparisons with folders that are too large for the repository, benchmarks, generators.
//!
//!     cargo run -p lora-loupe-tests -- TOOL [arguments]
//!
//! Each is described at the head of its file. One program links in a fraction of the time of nine.

mod bench;
mod bench_analyzer;
mod bench_quantized;
mod card;
#[cfg(not(target_family = "wasm"))]
mod compiled;
mod full_size;
mod goldens;
mod keys;
mod loaders;
mod webui;

use std::error::Error;

const NAMES: &str = "bench, bench_analyzer, bench_quantized, card, compiled, full_size, goldens, keys, loaders, webui";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (tool, rest) = arguments.split_first().ok_or_else(|| format!("usage: TOOL [arguments]; tools: {NAMES}"))?;
    match *tool {
        "bench" => bench::run(rest)?,
        "bench_analyzer" => bench_analyzer::run(rest),
        "bench_quantized" => bench_quantized::run()?,
        "card" => card::run(rest)?,
        #[cfg(not(target_family = "wasm"))]
        "compiled" => compiled::run(rest)?,
        "full_size" => full_size::run(rest)?,
        "goldens" => goldens::run(rest),
        "keys" => keys::run(),
        "loaders" => loaders::run(rest),
        "webui" => webui::run(rest),
        _ => return Err(format!("{tool:?} is none of the tools: {NAMES}").into()),
    }
    Ok(())
}
