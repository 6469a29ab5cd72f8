//! Texts of XMP documents: the fields that generators write.

use super::entries::TextEntries;

/// Elements with their names as keywords.
const FIELDS: [(&str, &str); 4] = [
    ("exif:UserComment", "UserComment"),
    ("xmp:CreatorTool", "Software"),
    ("dc:description", "Description"),
    ("parameters", "parameters"),
];

/// Adds the texts of an XMP document. It is searched for a few elements, not parsed: no entity of it is expanded but
/// the five that XML defines.
pub(super) fn read(document: &str, texts: &mut TextEntries) {
    for (element, keyword) in FIELDS {
        if let Some(text) = element_text(document, element).or_else(|| attribute(document, element)) {
            texts.push(keyword, text);
        }
    }
}

/// The text of the first element of a name, without the tags within (`rdf:Alt`, `rdf:li`).
fn element_text(document: &str, name: &str) -> Option<String> {
    let opening = format!("<{name}");
    let (_, rest) = document.split_once(&opening)?;
    if !rest.starts_with(['>', ' ', '\n', '\t', '\r']) {
        return None;
    }
    let (_, content) = rest.split_once('>')?;
    let (content, _) = content.split_once(&format!("</{name}>"))?;
    let mut text = String::new();
    for (index, part) in content.split('<').enumerate() {
        let part = if index == 0 { part } else { part.split_once('>').map_or("", |(_, text)| text) };
        text.push_str(part);
    }
    Some(unescape(text.trim()))
}

/// The value of the first attribute of a name.
fn attribute(document: &str, name: &str) -> Option<String> {
    let (_, value) = document.split_once(&format!(" {name}=\""))?;
    Some(unescape(value.split_once('"')?.0))
}

fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        result.push_str(before);
        let entity = after.split_once(';').filter(|(name, _)| name.len() <= 8);
        match entity.and_then(|(name, tail)| Some((character(name)?, tail))) {
            Some((character, tail)) => {
                result.push(character);
                rest = tail;
            }
            None => {
                result.push('&');
                rest = after;
            }
        }
    }
    result + rest
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}
