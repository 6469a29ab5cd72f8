//! Compares images with a folder of web UIs' recipes and final latents (see tests/harness/web_ui.rs):
//!
//!     cargo run -p lora-loupe-tests -- webui FOLDER PIPELINES [PART OF AN ID]
//!
//! Prints the relative RMS per case, a table of samplers and schedules per program and model, and totals: same (below
//! 1e-3), nearly the same (below 5e-2), other.

use lora_loupe_tests::compare::rel_rms;
use lora_loupe_tests::web_ui::{WebUiCases, text};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Limits of the relative RMS for "same" and "nearly".
const LIMITS: [f64; 2] = [1e-3, 5e-2];

/// Distances by sampler, then by schedule.
type Table = BTreeMap<String, BTreeMap<String, f64>>;

pub fn run(arguments: &[&str]) {
    let [folder, pipelines, rest @ ..] = arguments else {
        eprintln!("usage: webui FOLDER PIPELINES [PART OF AN ID]");
        std::process::exit(2);
    };
    let mut folder = WebUiCases::open(&PathBuf::from(folder), &PathBuf::from(pipelines));
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let mut totals: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let cases = folder.cases.clone();
    for case in cases.iter().filter(|case| rest.iter().all(|part| text(case, "id").contains(part))) {
        let id = text(case, "id");
        let distance = match folder.latents(case) {
            Ok((latents, expected)) => rel_rms(&latents, &expected),
            Err(error) => {
                println!("{id}: {error}");
                f64::INFINITY
            }
        };
        println!("{id}: {distance:.1e}");
        let group = format!("{} {}", text(case, "ui"), text(case, "model"));
        let kind = if id.starts_with(text(case, "ui")) { "sampling" } else { "feature or prompt" };
        let rank = LIMITS.iter().filter(|limit| distance.is_nan() || distance >= **limit).count();
        totals.entry(format!("{group}, {kind}")).or_default()[rank] += 1;
        if kind == "sampling" {
            let schedule = case.get("schedule").or(case.get("scheduler")).and_then(|name| name.as_str()).unwrap_or("-");
            let row = tables.entry(group).or_default().entry(text(case, "sampler").to_owned()).or_default();
            let worst = row.entry(schedule.to_owned()).or_default();
            *worst = worst.max(distance);
        }
    }
    for (group, table) in &tables {
        print_table(group, table);
    }
    println!("\n{:40} same nearly other", "totals");
    for (group, [same, nearly, other]) in &totals {
        println!("{group:40} {same:4} {nearly:6} {other:5}");
    }
}

/// Prints samplers by schedules, with the worst distance of their cases.
fn print_table(group: &str, table: &Table) {
    let mut schedules: Vec<&String> = table.values().flat_map(BTreeMap::keys).collect();
    schedules.sort();
    schedules.dedup();
    let short = |name: &str| name.chars().filter(|letter| *letter != ' ').take(10).collect::<String>();
    print!("\n{group:22}");
    schedules.iter().for_each(|name| print!(" {:>10}", short(name)));
    println!();
    for (sampler, row) in table {
        print!("{sampler:22}");
        for schedule in &schedules {
            let shown = row.get(*schedule).map_or("-".into(), |distance| format!("{distance:.0e}"));
            print!(" {shown:>10}");
        }
        println!();
    }
}
