//! Table of many files from their headers only: as columns, CSV or JSON lines.

use crate::files;
use lora_loupe::analysis::{Summary, inspect_header};
use pollster::block_on;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Output format of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Style {
    /// Aligned columns.
    Columns,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object per line.
    Json,
}

/// Extensions of the files that are listed in folders.
const EXTENSIONS: [&str; 6] = ["safetensors", "pt", "bin", "ckpt", "gguf", "zip"];

/// A column: its header and the text of a cell.
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
    ("problem", |row| row.problem.map_or_else(String::new, |class| class.to_string())),
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
        let headers: Vec<&str> = COLUMNS.iter().map(|(header, _)| *header).collect();
        say!("{},copy_of", headers.join(","));
    }
    let mut first_by_hash: HashMap<String, String> = HashMap::new();
    let (mut rows, mut all_readable) = (Vec::new(), true);
    for path in &list {
        let Some(row) = row(path) else {
            eprintln!("lora-loupe: cannot open {}", path.display());
            all_readable = false;
            continue;
        };
        let copy_of = match first_by_hash.get(&row.header_sha256).filter(|_| !row.header_sha256.is_empty()) {
            Some(first) => first.clone(),
            None => {
                first_by_hash.insert(row.header_sha256.clone(), row.file.clone());
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
    Ok(all_readable)
}

/// Adds the files under a path: the file itself, or a folder's files with one of [`EXTENSIONS`].
pub fn collect(path: &Path, list: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        list.push(path.into());
        return;
    }
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|data| data.file_type().is_symlink());
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if path.is_dir() && !is_link(&path) {
            collect(&path, list);
        } else if EXTENSIONS.contains(&extension) && path.is_file() {
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

/// Quotes a CSV cell if needed (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

/// Prints rows with aligned columns, each as wide as its widest cell but at most 48 characters.
fn columns(rows: &[Vec<String>]) {
    const MAX_WIDTH: usize = 48;
    let headers: Vec<String> = COLUMNS.iter().map(|(header, _)| (*header).to_owned()).chain([String::new()]).collect();
    let short = |cell: &str| match cell.chars().count() {
        0..=MAX_WIDTH => cell.to_owned(),
        count => format!("…{}", cell.chars().skip(count + 1 - MAX_WIDTH).collect::<String>()),
    };
    let lines: Vec<Vec<String>> =
        [&headers].into_iter().chain(rows).map(|row| row.iter().map(|cell| short(cell)).collect()).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say!("{}", cells.join("  ").trim_end());
    }
}
