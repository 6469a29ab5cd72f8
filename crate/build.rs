//! Copies the shaders and tables of src/ without comments and indentation to where the crate embeds them: users download
//! them with the engine. Line numbers stay.

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
        let comment = match path.extension().and_then(|extension| extension.to_str()) {
            Some("wgsl") => "//",
            Some("toml") => "#",
            _ if path.is_dir() => {
                copy(&path, &copied)?;
                continue;
            }
            _ => continue,
        };
        fs::create_dir_all(to)?;
        fs::write(copied, stripped(&fs::read_to_string(path)?, comment))?;
    }
    Ok(())
}

/// Removes comments that begin a line or follow a space, and indentation. A shader has no strings; in a table a comment
/// has a line of its own.
fn stripped(text: &str, comment: &str) -> String {
    let line = |line: &str| {
        let line = line.trim();
        match line.find(comment) {
            Some(0) => "",
            Some(at) if comment == "//" => line[..at].trim_end(),
            _ => line,
        }
        .to_owned()
            + "\n"
    };
    text.lines().map(line).collect()
}
