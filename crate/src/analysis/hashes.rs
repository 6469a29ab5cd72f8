//! Turns a file's bytes into the hashes that programs and sites know it by, and says which of
//! those that its header claims are right.

use crate::formats::{ByteSource, FormatError, Header};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use ts_rs::TS;

/// What A1111 and Forge take for the file's identity: SHA-256 of all bytes after the header.
pub const MODEL_HASH: &str = "sshs_model_hash";
/// sd-webui-additional-networks' identity: AutoV1 of the file with `ss_` metadata alone.
pub const LEGACY_HASH: &str = "sshs_legacy_hash";
/// modelspec's name for [`MODEL_HASH`], with `0x` before it.
pub const SPEC_HASH: &str = "modelspec.hash_sha256";

/// The bytes that AutoV1 looks at.
const WINDOW: Range<u64> = 0x10_0000..0x11_0000;

/// The hashes of a file, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Hashes {
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// A1111's first: 8 digits of the SHA-256 of 64 KiB at 1 MiB; none where the file is shorter.
    pub auto_v1: Option<String>,
    /// 10 digits of `sha256`.
    pub auto_v2: String,
    /// 12 digits of `model`.
    pub auto_v3: Option<String>,
    /// SHA-256 of the bytes after the header; none where the file has no safetensors header. It
    /// stays the same when metadata change.
    pub model: Option<String>,
    /// What sd-scripts writes as `sshs_legacy_hash`.
    pub legacy: Option<String>,
    /// Every hash that the header claims.
    pub claims: Vec<Claim>,
}

/// A hash that a header claims.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Claim {
    /// The metadata key.
    pub key: String,
    /// Its value.
    pub says: String,
    /// What its value should be.
    pub should_say: String,
    /// How they differ.
    pub verdict: ClaimVerdict,
}

/// How a claimed hash and the right one differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum ClaimVerdict {
    /// They are the same.
    Right,
    /// Right but for a `0x` where none belongs, or without one where it does.
    Prefix,
    /// The hash of no bytes: every file with it counts as one and the same.
    OfNothing,
    /// Another hash: the data changed after it was written, or it was of something else.
    Wrong,
}

impl Claim {
    fn new(key: &str, says: &str, should_say: String) -> Claim {
        let bare = |text: &str| text.trim_start_matches("0x").to_ascii_lowercase();
        let nothing = hex(&Sha256::digest([]));
        let verdict = if says == should_say {
            ClaimVerdict::Right
        } else if bare(says) == bare(&should_say) {
            ClaimVerdict::Prefix
        } else if !says.is_empty() && nothing.starts_with(&bare(says)) {
            ClaimVerdict::OfNothing
        } else {
            ClaimVerdict::Wrong
        };
        Claim { key: key.into(), says: says.into(), should_say, verdict }
    }
}

/// Computes every hash in one pass over the file. `header` is what [`Header::read`] made of it.
pub async fn hashes(source: &dyn ByteSource, header: Option<&Header>) -> Result<Hashes, FormatError> {
    let found = hashes_with(source, header, &mut |_| ControlFlow::Continue(())).await?;
    // Nobody stops it.
    found.ok_or_else(|| FormatError::from(io::Error::from(io::ErrorKind::Interrupted)))
}

/// The same, telling `hear` how many bytes are done; none where that stops it.
pub(super) async fn hashes_with(
    source: &dyn ByteSource,
    header: Option<&Header>,
    hear: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<Hashes>, FormatError> {
    const BLOCK: u64 = 1 << 21;
    let data_start = match header {
        Some(_) => {
            let head = source.read(0..source.len().min(8)).await?;
            Some(8 + u64::from_le_bytes(head.try_into().unwrap_or_default()))
        }
        None => None,
    };
    let mut whole = Sha256::new();
    let mut window = Window::new(WINDOW, &[]);
    let mut data = header.map(DataHashes::new);
    let mut at = 0;
    while at < source.len() {
        let end = (at + BLOCK).min(source.len());
        let bytes = source.read(at..end).await?;
        whole.update(&bytes);
        window.take(&bytes);
        if let (Some(data), Some(start)) = (&mut data, data_start) {
            let skip = start.saturating_sub(at).min(bytes.len() as u64) as usize;
            data.take(&bytes[skip..]);
        }
        at = end;
        if hear(at).is_break() {
            return Ok(None);
        }
    }
    let sha256 = hex(&whole.finalize());
    let found = data.map(DataHashes::finish);
    let says = |key: &str| header.and_then(|header| header.metadata.get(key));
    let right = found.iter().flat_map(|found| found.values());
    let claims = right.filter_map(|(key, value)| Some(Claim::new(key, says(key)?, value))).collect();
    Ok(Some(Hashes {
        auto_v1: (source.len() > WINDOW.start).then(|| window.finish()),
        auto_v2: sha256[..10].to_owned(),
        auto_v3: found.as_ref().map(|found| found.model[..12].to_owned()),
        model: found.as_ref().map(|found| found.model.clone()),
        legacy: found.map(|found| found.legacy),
        sha256,
        claims,
    }))
}

/// The hashes that a header may hold.
#[derive(Debug, Clone)]
pub struct HeaderHashes {
    /// [`MODEL_HASH`]
    pub model: String,
    /// [`LEGACY_HASH`]
    pub legacy: String,
}

impl HeaderHashes {
    /// Each metadata key with its right value.
    pub fn values(&self) -> [(&'static str, String); 3] {
        [(MODEL_HASH, self.model.clone()), (LEGACY_HASH, self.legacy.clone()), (SPEC_HASH, format!("0x{}", self.model))]
    }
}

/// [`HeaderHashes`] in the making, from the bytes after the header in turn.
pub struct DataHashes {
    model: Sha256,
    legacy: Window,
}

impl DataHashes {
    /// For data that follow a header of these tensors and metadata.
    pub fn new(header: &Header) -> DataHashes {
        let kept = header.metadata.iter().filter(|(key, _)| key.starts_with("ss_"));
        let kept: BTreeMap<String, String> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        let empty = kept.is_empty();
        let mut head = Vec::new();
        // Writing to memory does not fail.
        let _ = Header::of(header.tensors.clone(), kept).write(&mut head);
        if empty {
            head = with_empty_metadata(&head);
        }
        DataHashes { model: Sha256::new(), legacy: Window::new(WINDOW, &head) }
    }

    /// The next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.model.update(bytes);
        self.legacy.take(bytes);
    }

    /// The hashes of all bytes taken.
    pub fn finish(self) -> HeaderHashes {
        HeaderHashes { model: hex(&self.model.finalize()), legacy: self.legacy.finish() }
    }
}

/// A header without metadata as the safetensors library writes one whose metadata are empty.
fn with_empty_metadata(head: &[u8]) -> Vec<u8> {
    let text = head.get(8..).unwrap_or_default().trim_ascii_end();
    let rest = text.strip_prefix(b"{").unwrap_or_default();
    let comma: &[u8] = if rest == b"}" { b"" } else { b"," };
    let mut text = [b"{\"__metadata__\":{}", comma, rest].concat();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

/// The hash of some bytes of a stream.
struct Window {
    range: Range<u64>,
    at: u64,
    hash: Sha256,
}

impl Window {
    /// Of `range` in a stream that starts with `head`.
    fn new(range: Range<u64>, head: &[u8]) -> Window {
        let mut window = Window { range, at: 0, hash: Sha256::new() };
        window.take(head);
        window
    }

    fn take(&mut self, bytes: &[u8]) {
        let place = |at: u64| at.saturating_sub(self.at).min(bytes.len() as u64) as usize;
        self.hash.update(&bytes[place(self.range.start)..place(self.range.end)]);
        self.at += bytes.len() as u64;
    }

    fn finish(self) -> String {
        hex(&self.hash.finalize())[..8].to_owned()
    }
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_told_apart() {
        let check = |says: &str, verdict| assert_eq!(Claim::new("k", says, "ab12".into()).verdict, verdict, "{says}");
        check("ab12", ClaimVerdict::Right);
        check("0xAB12", ClaimVerdict::Prefix);
        check("e3b0c44298fc1c149afb", ClaimVerdict::OfNothing);
        check("ab13", ClaimVerdict::Wrong);
        check("", ClaimVerdict::Wrong);
        assert_eq!(Claim::new("k", "0xab12", "0xab12".into()).verdict, ClaimVerdict::Right);
    }

    #[test]
    fn a_window_counts_from_the_start_of_the_stream() {
        let bytes: Vec<u8> = (0..200).collect();
        for cut in [0, 3, 60, 150, 200] {
            let mut window = Window::new(50..120, &bytes[..cut / 2]);
            window.take(&bytes[cut / 2..cut]);
            window.take(&bytes[cut..]);
            assert_eq!(window.finish(), hex(&Sha256::digest(&bytes[50..120]))[..8]);
        }
    }
}
