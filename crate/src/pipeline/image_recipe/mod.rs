//! Recipes from images: the texts of a file -> the program that wrote them -> a draft of the recipe.
//!
//! Which program wrote a text is decided by its structure, never by its file type. A text of no known structure is
//! quoted, and never taken for a prompt.

mod comfyui;
mod draw_things;
mod fields;
mod fooocus;
mod invokeai;
mod names;
mod novelai;
mod objects;
mod swarmui;

use serde::Serialize;
use ts_rs::TS;

use super::error::PipelineError;
use super::image_text::{TextEntries, image_texts};
use super::infotext::{is_infotext, read_infotext};
use super::recipe::Recipe;
use super::recipe_draft::{Origin, RecipeDraft};
use crate::program::Program;
use objects::Objects;

/// What an image says about how it was generated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
pub struct ImageInfo {
    /// Recipe of this program.
    pub recipe: Option<Recipe>,
    /// Draft of a recipe, from another program's data or from this one's infotext.
    pub draft: Option<RecipeDraft>,
    /// Texts of no known program.
    pub unknown: Vec<UnknownText>,
    /// What could not be read: one sentence each.
    pub problems: Vec<String>,
}

/// A text of no known program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct UnknownText {
    /// Keyword of the PNG chunk, or name of the EXIF or XMP field.
    pub name: String,
    /// Its first words.
    pub start: String,
}

/// Keyword of this program's recipe.
const RECIPE: &str = "lora-loupe";
/// Names of fields in which cameras and image editors write of themselves.
const OF_CAMERAS: [&str; 5] = ["Make", "Model", "Software", "Artist", "MakerNote"];
/// Number of characters of an unknown text that are quoted.
const QUOTE_LEN: usize = 80;

/// Reads how an image was generated.
///
/// # Errors
/// [`PipelineError::InvalidFile`] for a file that is no PNG, JPEG, WebP or AVIF file.
pub fn read_image(name: &str, bytes: &[u8]) -> Result<ImageInfo, PipelineError> {
    Ok(interpret(image_texts(name, bytes)?))
}

/// Finds the recipe in an image's texts.
fn interpret(texts: TextEntries) -> ImageInfo {
    let mut info = ImageInfo { problems: texts.problems.clone(), ..ImageInfo::default() };
    if let Some(text) = texts.text(RECIPE) {
        match serde_json::from_str(text) {
            Ok(recipe) => info.recipe = Some(recipe),
            Err(error) => info.problems.push(format!("The recipe under `{RECIPE}` is damaged: {error}.")),
        }
    }
    let objects = Objects::of(&texts);
    info.draft = draft(&texts, &objects);
    if info.recipe.is_none() && info.draft.is_none() {
        let foreign = texts.entries.iter().filter(|entry| !OF_CAMERAS.contains(&entry.keyword.as_str()));
        info.unknown =
            foreign.map(|entry| UnknownText { name: entry.keyword.clone(), start: quote(&entry.text) }).collect();
    }
    info
}

fn draft(texts: &TextEntries, objects: &Objects) -> Option<RecipeDraft> {
    let of_objects = [swarmui::read, fooocus::read, invokeai::read, novelai::read, draw_things::read];
    if let Some(draft) = of_objects.into_iter().find_map(|read| read(objects)) {
        return Some(draft);
    }
    let infotext = texts.entries.iter().find(|entry| is_infotext(&entry.text)).map(|entry| read_infotext(&entry.text));
    let graph = comfyui::read(objects);
    match (infotext, graph) {
        (Some(infotext), Some(graph)) => Some(merge(graph, infotext)),
        (Some(mut infotext), None) => {
            if matches!(infotext.origin, Some(Origin::Comfyui | Origin::Fooocus | Origin::Civitai)) {
                infotext.program = Program::Comfyui;
                names::find_embeddings(&mut infotext);
            }
            Some(infotext)
        }
        (None, graph) => graph,
    }
}

/// Completes the draft of a ComfyUI graph with the infotext that a node wrote beside it.
fn merge(graph: RecipeDraft, infotext: RecipeDraft) -> RecipeDraft {
    if graph.steps.is_none() {
        // No sampler was found, so that the graph says nothing.
        return RecipeDraft { origin: Some(Origin::Comfyui), program: Program::Comfyui, ..infotext };
    }
    let is_without_text = graph.prompt.is_empty();
    let mut merged = RecipeDraft {
        seed: graph.seed.or(infotext.seed),
        guidance: graph.guidance.or(infotext.guidance),
        size: graph.size.or(infotext.size),
        model: graph.model.clone().or(infotext.model),
        model_hash: infotext.model_hash,
        ..graph
    };
    if is_without_text {
        merged.prompt = infotext.prompt;
        merged.negative = infotext.negative;
    }
    // Hashes of LoRAs that the infotext does not mention in its prompt are among its leftovers.
    let unmentioned = infotext.leftovers.iter().filter(|leftover| leftover.name == "Lora hashes");
    let unmentioned: Vec<_> = unmentioned.filter_map(|leftover| leftover.value.split_once(": ")).collect();
    for adapter in &mut merged.adapters {
        let known = infotext.adapters.iter().find(|known| known.is_named(&adapter.name));
        let other = unmentioned.iter().find(|(name, _)| adapter.is_named(name)).map(|(_, hash)| hash.to_lowercase());
        adapter.hash = known.and_then(|known| known.hash.clone()).or(other);
    }
    merged
}

/// The first words of a text.
fn quote(text: &str) -> String {
    let mut start: String = text.chars().take(QUOTE_LEN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(QUOTE_LEN).is_some() {
        start.push('…');
    }
    start
}
