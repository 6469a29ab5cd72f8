//! Copies the shaders and tables of src/ to where the crate embeds them, since users download them: shaders without comments
//! and indentation, with their line numbers; tables, which are TOML, as JSON under the same names, so that no module has a
//! parser of TOML; the sentences of reports, those of edits and images only for modules that have these.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    copy(Path::new("src"), &out)
}

/// Copies the files of a folder and of those in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let copied = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &copied)?;
            continue;
        }
        let convert = match path.extension().and_then(|extension| extension.to_str()) {
            Some("wgsl") => stripped,
            Some("toml") => json,
            Some("json") if path.ends_with("sentence/en.json") => sentences,
            _ => continue,
        };
        let text = convert(&fs::read_to_string(&path)?);
        fs::create_dir_all(to)?;
        fs::write(copied, text.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?)?;
    }
    Ok(())
}

/// Removes the comments and the indentation of a shader, which has no strings.
fn stripped(text: &str) -> Result<String, Box<dyn Error>> {
    Ok(text.lines().map(|line| line.split("//").next().unwrap_or_default().trim().to_owned() + "\n").collect())
}

/// First words of the ids of sentences that the module of reports alone never says.
const NOT_OF_REPORTS: [&str; 13] = [
    "bake",
    "dropped",
    "edit",
    "edit_hint",
    "edit_what",
    "fix",
    "fix_why",
    "image",
    "log",
    "recipe",
    "relation",
    "series",
    "series_file",
];

/// Returns the sentences that the modules of this build can say.
fn sentences(text: &str) -> Result<String, Box<dyn Error>> {
    let mut texts: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
    let is_report = ["CARGO_FEATURE_INSPECTOR", "CARGO_FEATURE_ENGINE"].iter().all(|name| env::var_os(name).is_none());
    texts.retain(|id, _| !is_report || id.split('.').next().is_none_or(|group| !NOT_OF_REPORTS.contains(&group)));
    Ok(serde_json::to_string(&texts)?)
}

/// Returns a table as JSON.
fn json(text: &str) -> Result<String, Box<dyn Error>> {
    Ok(toml::from_str::<serde_json::Value>(text)?.to_string())
}
