//! Turns folders of files into a table by their headers alone: for people, as CSV or as JSON lines.

use crate::files;
use lora_loupe::analysis::{Summary, inspect_header};
use pollster::block_on;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Style {
    /// Columns for people.
    Columns,
    /// Comma-separated values with a head line.
    Csv,
    /// One JSON object a line.
    Json,
}

/// Files of these endings are looked at in folders.
const ENDINGS: [&str; 6] = ["safetensors", "pt", "bin", "ckpt", "gguf", "zip"];

/// A column: its head and what stands in it.
type Column = (&'static str, fn(&Summary) -> String);

const COLUMNS: [Column; 12] = [
    ("file", |row| row.file.clone()),
    ("size", |row| row.size.to_string()),
    ("family", |row| row.family.clone()),
    ("algorithms", |row| row.algorithms.clone()),
    ("rank", ranks),
    ("layers", |row| row.layers.to_string()),
    ("spelling", |row| row.convention.clone()),
    ("dtype", |row| row.dtypes.clone()),
    ("trainer", |row| row.trainer.clone().unwrap_or_default()),
    ("trigger", |row| row.trigger_words.clone()),
    ("works_in", |row| row.works_in.join(" ")),
    ("problem", |row| row.problem.clone().unwrap_or_default()),
];

fn ranks(row: &Summary) -> String {
    match (row.rank_low, row.rank_high) {
        (Some(low), Some(high)) if low == high => low.to_string(),
        (Some(low), Some(high)) => format!("{low}-{high}"),
        _ => String::new(),
    }
}

/// Writes the table of all adapter files under these paths; returns whether all could be opened.
pub fn write(paths: &[PathBuf], style: Style) -> serde_json::Result<bool> {
    let mut list = Vec::new();
    paths.iter().for_each(|path| collect(path, &mut list));
    list.sort();
    if style == Style::Csv {
        let heads: Vec<&str> = COLUMNS.iter().map(|(head, _)| *head).collect();
        say!("{},copy_of", heads.join(","));
    }
    let mut seen: HashMap<String, String> = HashMap::new();
    let (mut rows, mut all) = (Vec::new(), true);
    for path in &list {
        let Some(row) = row(path) else {
            eprintln!("lora-loupe: {} cannot be opened", path.display());
            all = false;
            continue;
        };
        let copy_of = match seen.get(&row.header_sha256).filter(|_| !row.header_sha256.is_empty()) {
            Some(first) => first.clone(),
            None => {
                seen.insert(row.header_sha256.clone(), row.file.clone());
                String::new()
            }
        };
        match style {
            Style::Json => {
                let mut value = serde_json::to_value(&row)?;
                value["copy_of"] = if copy_of.is_empty() { serde_json::Value::Null } else { copy_of.into() };
                say!("{value}");
            }
            Style::Csv => {
                let cells = COLUMNS.iter().map(|(_, cell)| quoted(&cell(&row))).chain([quoted(&copy_of)]);
                say!("{}", cells.collect::<Vec<_>>().join(","));
            }
            Style::Columns => {
                let mut cells: Vec<String> = COLUMNS.iter().map(|(_, cell)| cell(&row)).collect();
                cells.push(if copy_of.is_empty() { copy_of } else { format!("copy of {copy_of}") });
                rows.push(cells);
            }
        }
    }
    if style == Style::Columns {
        columns(&rows);
    }
    Ok(all)
}

/// Adds the files under a path: a file itself, a folder's with the endings of adapters.
fn collect(path: &Path, list: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        list.push(path.into());
        return;
    }
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|data| data.file_type().is_symlink());
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.is_dir() && !is_link(&path) {
            collect(&path, list);
        } else if ENDINGS.contains(&ending) && path.is_file() {
            list.push(path);
        }
    }
}

fn row(path: &Path) -> Option<Summary> {
    let (file, companion) = files::adapter(path);
    let source = files::source(&file).ok()?;
    let report = block_on(inspect_header(&file.to_string_lossy(), &source, companion.as_deref()));
    Some(Summary::of(&report))
}

/// A cell of a CSV file (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

/// Writes rows under each other, each column as wide as its widest cell, at most 48 letters.
fn columns(rows: &[Vec<String>]) {
    const MOST: usize = 48;
    let heads: Vec<String> = COLUMNS.iter().map(|(head, _)| (*head).to_owned()).chain([String::new()]).collect();
    let short = |cell: &str| match cell.chars().count() {
        0..=MOST => cell.to_owned(),
        count => format!("…{}", cell.chars().skip(count + 1 - MOST).collect::<String>()),
    };
    let lines: Vec<Vec<String>> =
        [&heads].into_iter().chain(rows).map(|row| row.iter().map(|cell| short(cell)).collect()).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say!("{}", cells.join("  ").trim_end());
    }
}
