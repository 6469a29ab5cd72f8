//! Detection of a file's format from its first bytes, regardless of its name.

/// File format, as detected from the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// safetensors: a header length and an opening brace.
    Safetensors,
    /// Zip archive, of `torch.save` or any other.
    Zip,
    /// Bare pickle stream: `torch.save` before PyTorch 1.6.
    Pickle,
    /// llama.cpp's format.
    Gguf,
    /// Web page.
    Html,
    /// JSON text, often a server's error message.
    Json,
    /// Git LFS pointer.
    GitLfs,
    /// PNG, JPEG, GIF or WebP.
    Image,
    /// Empty file.
    Empty,
    /// Any other content.
    Unknown,
}

/// Number of bytes that [`sniff`] examines.
pub const SNIFF_LEN: usize = 512;

/// Detects the format from the first [`SNIFF_LEN`] bytes of a file, or all of a shorter one.
pub fn sniff(start: &[u8]) -> Content {
    const IMAGES: [&[u8]; 4] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF"];
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    if start.is_empty() {
        Content::Empty
    } else if start.get(4..9) == Some(b"\0\0\0\0{") {
        Content::Safetensors
    } else if start.starts_with(b"version https://git-lfs.github.com/spec") {
        Content::GitLfs
    } else if start.starts_with(b"GGUF") {
        Content::Gguf
    } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        Content::Zip
    } else if IMAGES.iter().any(|magic| start.starts_with(magic)) {
        Content::Image
    } else if is_html(text) {
        Content::Html
    } else if is_json(text) {
        Content::Json
    } else if is_pickle(start) {
        Content::Pickle
    } else if start.get(8) == Some(&b'{') || is_header_length(start) {
        Content::Safetensors
    } else {
        Content::Unknown
    }
}

fn is_html(text: &[u8]) -> bool {
    let lower = text.get(..text.len().min(64)).unwrap_or_default().to_ascii_lowercase();
    [&b"<!doctype"[..], b"<html", b"<head", b"<body", b"<?xml"].iter().any(|tag| lower.starts_with(tag))
}

/// Returns whether it is JSON text from the first byte on, without control characters.
fn is_json(text: &[u8]) -> bool {
    (text.starts_with(b"{") || text.starts_with(b"["))
        && text.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}

/// Returns whether it starts a pickle of protocol 2 to 5, or one of protocol 0 or 1: PyTorch's magic number, a GLOBAL,
/// or a container.
fn is_pickle(start: &[u8]) -> bool {
    match start {
        [0x80, 0..=5, next, ..] => *next != 0,
        // An argument or the memo follows the global.
        [b'c', rest @ ..] => matches!(
            name_line(rest).and_then(name_line),
            Some([b'(' | b')' | b'q' | b'X' | b'U' | 0x80.., ..] | [b'p', b'0'..=b'9', ..] | [b'S' | b'V', _, ..])
        ),
        [b'(', b'd' | b'l' | b't', b'p', ..] | [b'}' | b']', b'q', 0, ..] => true,
        [b'(', b'i' | b'c', rest @ ..] => name_line(rest).and_then(name_line).is_some(),
        [b'L', rest @ ..] => rest.starts_with(b"119547037146038801333356L\n."),
        _ => false,
    }
}

/// Returns what follows a line with the name of a module or of a global.
fn name_line(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|&byte| byte == b'\n').filter(|&end| end > 0)?;
    let (name, rest) = text.split_at_checked(end)?;
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    is_name.then(|| &rest[1..])
}

/// Returns whether the first eight bytes may be the length of a header, even one beyond the format's limit.
fn is_header_length(start: &[u8]) -> bool {
    start.len() >= 8 && (start[4..8] == [0; 4] || start[..7] == [0; 7])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_the_format_of_each_sample() {
        let check = |start: &[u8], expect| assert_eq!(sniff(start), expect, "{start:?}");
        check(b"", Content::Empty);
        check(b"\xef\xbb\xbf \n<!DOCTYPE html><html>", Content::Html);
        check(b"{\"error\": \"Access denied\"}", Content::Json);
        check(b"{\x00\x00\x00\x00\x00\x00\x00{\"a\":1}", Content::Safetensors);
        check(b"\x80\x02\x01\x00\x00\x00\x00\x00{}", Content::Safetensors);
        check(b"\x80\x02}q\x00", Content::Pickle);
        check(b"cos\nsystem\n(S'x'\ntR.", Content::Pickle);
        check(b"(dp0\nVa\np1\n", Content::Pickle);
        check(b"L119547037146038801333356L\n.", Content::Pickle);
        check(b"c'est la vie\nnon\n", Content::Unknown);
        check(b"PK\x03\x04", Content::Zip);
        check(b"GGUF\x03\x00\x00\x00", Content::Gguf);
        check(b"\x89PNG\r\n\x1a\n", Content::Image);
        check(b"hello", Content::Unknown);
    }
}
