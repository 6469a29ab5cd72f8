//! Options of `generate` that make prompts: styles, and templates with alternatives and wildcards.

use lora_loupe::text::{Wildcards, fill, read_styles};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Styles and templates.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Styles and templates of prompts")]
pub struct TemplateArguments {
    /// A text file, or a folder of them: __name__ in prompts stands for a line of name.txt, chosen by the seed; can be
    /// repeated. Implies --template
    #[arg(long, value_name = "FILE")]
    wildcards: Vec<PathBuf>,
    /// Choose by the seed from {a|b} in prompts, as the web UI's extension Dynamic Prompts does
    #[arg(long)]
    template: bool,
    /// styles.csv of A1111's web UI
    #[arg(long, value_name = "FILE", requires = "style")]
    styles: Option<PathBuf>,
    /// Name of a style to add to the prompts; can be repeated
    #[arg(long, value_name = "NAME", requires = "styles")]
    style: Vec<String>,
}

impl TemplateArguments {
    /// Adds the styles to the prompts, and fills them if they are templates.
    pub fn prompts(
        &self,
        prompt: &str,
        negative: Option<&str>,
        seed: u64,
    ) -> Result<(String, Option<String>), Box<dyn Error>> {
        let (mut prompt, mut negative) = (prompt.to_owned(), negative.map(str::to_owned));
        if let Some(path) = &self.styles {
            let styles = read_styles(&read(path)?);
            for name in &self.style {
                let Some(style) = styles.iter().find(|style| style.name == *name) else {
                    let names: Vec<&str> = styles.iter().map(|style| style.name.as_str()).collect();
                    return Err(format!("{} has no style `{name}`, only: {}", path.display(), names.join(", ")).into());
                };
                let (with, without) = style.apply(&prompt, negative.as_deref().unwrap_or_default());
                (prompt, negative) = (with, Some(without).filter(|text| !text.is_empty() || negative.is_some()));
            }
        }
        if !self.template && self.wildcards.is_empty() {
            return Ok((prompt, negative));
        }
        let mut wildcards = Wildcards::default();
        for path in &self.wildcards {
            add(path, path.parent().filter(|_| !path.is_dir()).unwrap_or(path), &mut wildcards)?;
        }
        let filled = |text: &str| fill(text, seed, &wildcards);
        Ok((filled(&prompt)?, negative.as_deref().map(filled).transpose()?))
    }
}

/// Adds a text file, or all text files of a folder, named by their path below `root`.
fn add(path: &Path, root: &Path, wildcards: &mut Wildcards) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() || path.extension().is_some_and(|extension| extension == "txt") {
                add(&path, root, wildcards)?;
            }
        }
        return Ok(());
    }
    wildcards.add(&path.strip_prefix(root).unwrap_or(path).to_string_lossy(), &read(path)?);
    Ok(())
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
