//! `triggers` command: the words to which a LoRA answers.

use crate::device::{DeviceChoice, open_device};
use crate::files;
use crate::generate::{PartArguments, open};
use lora_loupe::analysis::training;
use lora_loupe::formats::ByteSource;
use lora_loupe::pipeline::{RankedWord, Session};
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use pollster::block_on;
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

/// Rank the words of the vocabulary by how strongly a LoRA answers to them, to find its trigger words
///
/// Works without metadata, from the numbers alone, with the base model: the words of the header are only marked. A word of
/// several tokens is found only if the header has it. docs/triggers.md says how often this is right
#[derive(clap::Args)]
pub struct Arguments {
    /// An adapter
    file: PathBuf,
    /// The base model: a diffusers folder or a single-file checkpoint, .safetensors or .gguf
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    parts: PartArguments,
    /// Words to compare besides the vocabulary's and the header's; can be repeated
    #[arg(long = "word", value_name = "WORD")]
    words: Vec<String>,
    /// Number of words to print
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Where to run the text encoders
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Finds and prints the words.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    block_on(find(arguments))
}

async fn find(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let model = open(&arguments.model, &arguments.parts).await?;
    let (path, config) = files::adapter(&arguments.file);
    let source: Rc<dyn ByteSource> = Rc::new(files::source(&path)?);
    let file = TensorFile::open(files::name(&path), source).await?;
    let header = words_of(&file.header.metadata);
    let lora = LoadedAdapter::open(files::name(&path), file, config.as_deref(), &model.modules()).await?;
    let (device, config) = open_device(arguments.device).await?;
    let mut session = Session::new(device, config, model);
    let hints = [header, arguments.words.clone()].concat();
    let found = session.find_triggers(lora, &hints, arguments.top, &mut |_| ControlFlow::Continue(())).await?;
    if arguments.json {
        say!("{}", json!({ "file": files::name(&path), "compared": found.compared, "words": found.words }));
    } else {
        say!("{}: {} words compared", files::name(&path), found.compared);
        found.words.iter().enumerate().for_each(|(at, word)| print(at + 1, word));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the words of a header: trigger words and tags.
fn words_of(metadata: &BTreeMap<String, String>) -> Vec<String> {
    let training = training(metadata).unwrap_or_default();
    let triggers = training.trigger_words.into_iter().map(|word| word.text);
    triggers.chain(training.tags.into_iter().map(|tag| tag.tag)).collect()
}

fn print(rank: usize, word: &RankedWord) {
    let part = |part: Option<f64>| part.map_or("-".into(), |part| format!("{part:.1}"));
    let seen = if word.in_header { "  in the header too" } else { "" };
    say!("{rank:>4} {:>8.1}  unet {:>7} text {:>7}  {}{seen}", word.score, part(word.unet), part(word.text), word.word);
}
