//! Texts of EXIF data.

use exif::{Context, Exif, In, Reader, Tag, Value};

use super::entries::{MAX_TEXT, TextEntries, utf8_or_latin1};

/// The tags that generators write texts to. Some programs put a tag of the EXIF directory into the first one.
const TAGS: [(u16, &str); 8] = [
    (0x9286, "UserComment"),
    (0x010e, "ImageDescription"),
    (0x010f, "Make"),
    (0x0110, "Model"),
    (0x0131, "Software"),
    (0x013b, "Artist"),
    (0x927c, "MakerNote"),
    (0x9c9c, "XPComment"),
];

/// Adds the texts of EXIF data, which is a TIFF file without pixels.
pub(super) fn read(tiff: &[u8], texts: &mut TextEntries) {
    if tiff.len() > 4 * MAX_TEXT {
        return texts.problem("The EXIF data was not read: it is too large.".into());
    }
    let parsed = Reader::new().continue_on_error(true).read_raw(tiff.to_vec());
    collect(parsed, texts);
}

/// Adds the texts of an AVIF or HEIF file's EXIF item.
pub(super) fn read_heif(bytes: &[u8], texts: &mut TextEntries) {
    let parsed = Reader::new().continue_on_error(true).read_from_container(&mut std::io::Cursor::new(bytes));
    match parsed {
        // A file without EXIF data says nothing, which is no problem.
        Err(exif::Error::NotFound(_)) => {}
        parsed => collect(parsed, texts),
    }
}

/// Adds the texts, and a problem only if there are none: libraries write data with flaws that do no harm.
fn collect(parsed: Result<Exif, exif::Error>, texts: &mut TextEntries) {
    let mut problem = None;
    let parsed = parsed.or_else(|error| {
        error.distill_partial_result(|errors| {
            problem = errors.first().map(|error| format!("The EXIF data is damaged: {error}."));
        })
    });
    let data = match parsed {
        Ok(data) => data,
        Err(error) => return texts.problem(format!("The EXIF data could not be read: {error}.")),
    };
    let count = texts.entries.len();
    read_tags(&data, texts);
    if let Some(problem) = problem.filter(|_| texts.entries.len() == count) {
        texts.problem(problem);
    }
}

fn read_tags(data: &Exif, texts: &mut TextEntries) {
    // Only these tags are parsed: entries that all refer to one large block would multiply it.
    for (number, name) in TAGS {
        let field = [Context::Exif, Context::Tiff]
            .into_iter()
            .find_map(|context| data.get_field(Tag(context, number), In::PRIMARY));
        match field.map(|field| &field.value) {
            Some(Value::Undefined(bytes, _)) if number == 0x9286 => match user_comment(bytes, data.little_endian()) {
                Some(text) => push(name, text, texts),
                None => texts.problem("The EXIF comment has an encoding that is not supported (JIS).".into()),
            },
            Some(Value::Byte(bytes)) if number == 0x9c9c => push(name, utf16(bytes, true), texts),
            Some(Value::Undefined(bytes, _) | Value::Byte(bytes)) => push(name, utf8_or_latin1(bytes), texts),
            Some(Value::Ascii(parts)) => push(name, utf8_or_latin1(&parts.join(&0)), texts),
            _ => {}
        }
    }
}

/// Adds a text. ComfyUI's nodes name texts within the value: `prompt:{…}`, `Workflow: {…}`.
fn push(name: &str, text: String, texts: &mut TextEntries) {
    let named = text.split_once(':').map(|(name, json)| (name.to_lowercase(), json.trim()));
    match named {
        Some((name, json))
            if ["prompt", "workflow", "parameters"].contains(&name.as_str()) && json.starts_with('{') =>
        {
            texts.push(&name, json.to_owned());
        }
        _ => texts.push(name, text),
    }
}

/// Decodes a UserComment: eight bytes that name the encoding, then the text. Returns `None` for JIS.
fn user_comment(bytes: &[u8], is_little_endian: bool) -> Option<String> {
    match bytes.split_first_chunk::<8>() {
        Some((b"UNICODE\0", text)) => Some(unicode(text, is_little_endian)),
        Some((b"JIS\0\0\0\0\0", text)) if !text.is_ascii() => None,
        Some((b"ASCII\0\0\0" | b"JIS\0\0\0\0\0" | b"\0\0\0\0\0\0\0\0", text)) => Some(utf8_or_latin1(text)),
        // Programs that leave the encoding out.
        _ => Some(utf8_or_latin1(bytes)),
    }
}

/// Decodes UTF-16 in either byte order, whatever EXIF data says: libraries disagree. Some programs write UTF-8.
fn unicode(bytes: &[u8], is_little_endian: bool) -> String {
    if !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok() {
        return utf8_or_latin1(bytes);
    }
    match bytes {
        [0xff, 0xfe, rest @ ..] => return utf16(rest, true),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, false),
        _ => {}
    }
    // All programs' texts contain ASCII characters, whose high byte is zero.
    let zeros = |offset: usize| bytes.iter().skip(offset).step_by(2).filter(|&&byte| byte == 0).count();
    match zeros(0).cmp(&zeros(1)) {
        std::cmp::Ordering::Greater => utf16(bytes, false),
        std::cmp::Ordering::Less => utf16(bytes, true),
        std::cmp::Ordering::Equal => utf16(bytes, is_little_endian),
    }
}

fn utf16(bytes: &[u8], is_little_endian: bool) -> String {
    let decode = if is_little_endian { u16::from_le_bytes } else { u16::from_be_bytes };
    let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|&pair| decode(pair)).collect();
    String::from_utf16_lossy(&units)
}
