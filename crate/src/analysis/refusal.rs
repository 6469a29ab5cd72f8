//! Turns a file that is no adapter into a sentence that says what it is and what to do.

use super::report::{Container, FileKind, Problem};
use crate::formats::{Content, Header};
use crate::model::spelling::Spellings;
use crate::model::{Family, FamilyId};

/// What a file is by its first bytes, where tensors cannot be read from it.
pub fn by_content(content: Content, size: u64) -> Option<(Container, FileKind, Problem)> {
    let not = |text: String| Problem::refuse("not_an_adapter", text);
    let unknown = Container::Unknown;
    Some(match content {
        Content::Safetensors | Content::Zip | Content::Pickle => return None,
        Content::Empty => (
            unknown,
            FileKind::Empty,
            not("The file is empty: the download was blocked or did not start. Download it again.".into()),
        ),
        Content::Html => (
            unknown,
            FileKind::Html,
            not("This is a web page, not a LoRA: the site sent a page, often a login, in place of the file. \
                 Open the link in a browser, log in if it asks, and download the file itself."
                .into()),
        ),
        Content::Json => (
            unknown,
            FileKind::Json,
            not("This is a JSON text, not a LoRA, perhaps an error message that a site sent in place of the file. \
                 Open it in a text editor to read the message, then download the .safetensors file itself."
                .into()),
        ),
        Content::GitLfs => (
            unknown,
            FileKind::GitLfs,
            not(format!(
                "This is a git-lfs pointer of {size} bytes, a stand-in for the real file. \
                 Run `git lfs pull`, or download the file from the site's page."
            )),
        ),
        Content::Image => (
            unknown,
            FileKind::Image,
            not("This is a picture, perhaps a preview, not a LoRA. Choose the .safetensors file.".into()),
        ),
        Content::Gguf => (
            Container::Gguf,
            FileKind::Gguf,
            Problem::refuse(
                "unsupported_format",
                "This is a GGUF file, llama.cpp's format, which this program does not read. \
                 Look for the same adapter as .safetensors.",
            ),
        ),
        Content::Unknown if size < 8 => (
            unknown,
            FileKind::Unknown,
            Problem::refuse(
                "truncated",
                format!(
                    "The file has {size} bytes, too few for any adapter: the download broke off. Download it again."
                ),
            ),
        ),
        Content::Unknown => (
            unknown,
            FileKind::Unknown,
            not("The file is none of the formats that adapters come in. Choose a .safetensors file.".into()),
        ),
    })
}

/// What a tensor file without adapter tensors is.
pub fn by_tensors(header: &Header) -> (FileKind, Problem) {
    if is_embedding(header) {
        let text = "This is a textual inversion (word embeddings), not a LoRA: it changes no layer. \
                    Use it as an embedding in a program that supports them.";
        return (FileKind::TextualInversion, Problem::refuse("textual_inversion", text));
    }
    if is_model(header) {
        let text = "This is a model, not a LoRA: it holds whole weights. Use it as the base model instead.";
        return (FileKind::Checkpoint, Problem::refuse("full_checkpoint", text));
    }
    let text = match header.tensors.first() {
        None => "The file holds no tensors, so there is nothing to apply. Download it again or ask who made it.".into(),
        Some(first) => format!(
            "None of the {} tensors has the name of an adapter's (the first is `{}`), so there is nothing to apply. \
             Choose a LoRA file.",
            header.tensors.len(),
            first.name
        ),
    };
    (FileKind::Unknown, Problem::refuse("not_an_adapter", text))
}

/// diffusers', A1111's and SDXL's names of word embeddings.
fn is_embedding(header: &Header) -> bool {
    const NAMES: [&str; 4] = ["emb_params", "clip_l", "clip_g", "string_to_param.*"];
    let bracketed = |name: &str| name.starts_with('<') && name.ends_with('>');
    let few = (1..=8).contains(&header.tensors.len());
    few && header
        .tensors
        .iter()
        .all(|tensor| tensor.shape.len() <= 2 && (NAMES.contains(&&*tensor.name) || bracketed(&tensor.name)))
}

/// Most tensors are weights and biases of a known network, or there are many of any network.
fn is_model(header: &Header) -> bool {
    let plain = |name: &str| name.ends_with(".weight") || name.ends_with(".bias");
    let weights = header.tensors.iter().filter(|tensor| plain(&tensor.name)).count();
    if weights * 2 < header.tensors.len() {
        return false;
    }
    let known = FamilyId::ALL.iter().any(|&id| {
        let Ok(family) = Family::published(id) else { return false };
        let modules = family.modules();
        let spellings = Spellings::new(&modules);
        let stem = |name: &str| name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
        let found = header.tensors.iter().filter_map(|tensor| stem(&tensor.name));
        found.filter(|stem| spellings.find_weight(stem, None).is_some()).count() * 2 > header.tensors.len()
    });
    known || weights > 100
}
