//! Texts of JPEG files: the APP1 segments with EXIF and XMP, and comments.

use super::entries::{TextEntries, utf8_or_latin1};
use super::{exif, xmp};

/// First bytes of a JPEG file: the marker SOI, and the start of the next.
pub(super) const SIGNATURE: &[u8] = &[0xff, 0xd8, 0xff];

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// Start of scan: pixels follow.
const SOS: u8 = 0xda;
const EOI: u8 = 0xd9;
const APP1: u8 = 0xe1;
const COM: u8 = 0xfe;

/// Adds the texts of a JPEG file.
pub(super) fn read(bytes: &[u8], texts: &mut TextEntries) {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, marker, after @ ..] = rest {
        match *marker {
            0xff => {
                // A fill byte.
                rest = &rest[1..];
                continue;
            }
            SOS | EOI => return,
            // Markers without a segment.
            0x01 | 0xd0..=0xd7 => {
                rest = after;
                continue;
            }
            _ => {}
        }
        let length = after.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)));
        let Some(segment) = length.and_then(|length| after.get(2..length)) else { break };
        match *marker {
            APP1 => app1(segment, texts),
            COM => texts.push("Comment", utf8_or_latin1(segment)),
            _ => {}
        }
        rest = &after[segment.len() + 2..];
    }
    texts.problem("The file ends within its header: it is damaged, and what followed is lost.".into());
}

fn app1(segment: &[u8], texts: &mut TextEntries) {
    if let Some(tiff) = segment.strip_prefix(EXIF) {
        exif::read(tiff, texts);
    } else if let Some(document) = segment.strip_prefix(XMP) {
        xmp::read(&utf8_or_latin1(document), texts);
    }
}
