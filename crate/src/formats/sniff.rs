//! Turns a file's first bytes into what the file really is, whatever its name says.

/// What the first bytes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A length and an opening brace.
    Safetensors,
    /// A zip archive: what `torch.save` writes, or any other.
    Zip,
    /// A bare pickle stream: `torch.save` before version 1.6.
    Pickle,
    /// llama.cpp's format.
    Gguf,
    /// A web page.
    Html,
    /// A JSON text, often a server's error message.
    Json,
    /// git-lfs's stand-in for a large file.
    GitLfs,
    /// PNG, JPEG, GIF or WebP.
    Image,
    /// No bytes.
    Empty,
    /// None of these.
    Unknown,
}

/// Bytes that [`sniff`] wants to see.
pub const SNIFF_LEN: usize = 512;

/// Looks at the first [`SNIFF_LEN`] bytes (or fewer) of a file.
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

/// JSON text from the first byte on, without control characters.
fn is_json(text: &[u8]) -> bool {
    (text.starts_with(b"{") || text.starts_with(b"["))
        && text.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}

/// Protocol 2 to 5, or protocol 0's `c` (a global) at once.
fn is_pickle(start: &[u8]) -> bool {
    matches!(start, [0x80, 2..=5, next, ..] if *next != 0)
        || start.starts_with(b"cposix\n")
        || start.starts_with(b"c__builtin__\n")
}

/// Eight bytes that can be the length of a header, the largest the format allows or absurd.
fn is_header_length(start: &[u8]) -> bool {
    start.len() >= 8 && (start[4..8] == [0; 4] || start[..7] == [0; 7])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_a_file_is() {
        let check = |start: &[u8], expect| assert_eq!(sniff(start), expect, "{start:?}");
        check(b"", Content::Empty);
        check(b"\xef\xbb\xbf \n<!DOCTYPE html><html>", Content::Html);
        check(b"{\"error\": \"Access denied\"}", Content::Json);
        check(b"{\x00\x00\x00\x00\x00\x00\x00{\"a\":1}", Content::Safetensors);
        check(b"\x80\x02\x01\x00\x00\x00\x00\x00{}", Content::Safetensors);
        check(b"\x80\x02}q\x00", Content::Pickle);
        check(b"PK\x03\x04", Content::Zip);
        check(b"GGUF\x03\x00\x00\x00", Content::Gguf);
        check(b"\x89PNG\r\n\x1a\n", Content::Image);
        check(b"hello", Content::Unknown);
    }
}
