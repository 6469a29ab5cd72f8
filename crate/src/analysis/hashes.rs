//! Hashes that programs and sites identify files by, and verification of those in a file's header.

use crate::formats::{ByteSource, FormatError, Header, blocks};
use crate::num::host_len;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use ts_rs::TS;

/// A1111's and Forge's identifier of a file: SHA-256 of all bytes after the header.
pub const MODEL_HASH: &str = "sshs_model_hash";
/// sd-webui-additional-networks' identifier: AutoV1 of the file with only its `ss_` metadata.
pub const LEGACY_HASH: &str = "sshs_legacy_hash";
/// modelspec's key for [`MODEL_HASH`], with a `0x` prefix.
pub const SPEC_HASH: &str = "modelspec.hash_sha256";

/// The byte range that AutoV1 hashes.
const WINDOW: Range<u64> = 0x10_0000..0x11_0000;

/// The hashes of a file, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Hashes {
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// A1111's legacy hash: 8 digits of the SHA-256 of 64 KiB at 1 MiB; null if the file is shorter.
    pub auto_v1: Option<String>,
    /// 10 digits of `sha256`.
    pub auto_v2: String,
    /// 12 digits of `model`.
    pub auto_v3: Option<String>,
    /// SHA-256 of the bytes after the header, unaffected by metadata changes; null if the file has no
    /// safetensors header.
    pub model: Option<String>,
    /// sd-scripts' `sshs_legacy_hash`.
    pub legacy: Option<String>,
    /// Every hash in the header.
    pub claims: Vec<Claim>,
}

/// A hash in a header.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Claim {
    /// The metadata key.
    pub key: String,
    /// Its value.
    pub says: String,
    /// The correct value.
    pub should_say: String,
    /// Result of the verification.
    pub verdict: ClaimVerdict,
}

/// Result of comparing a hash in the header with the correct one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum ClaimVerdict {
    /// Correct.
    Right,
    /// Correct except for a superfluous or missing `0x`.
    Prefix,
    /// The hash of empty data: all files with it look identical.
    OfNothing,
    /// Wrong: the data changed after it was written, or it is the hash of something else.
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

/// Computes every hash in one pass over the file. `header` is the result of [`Header::read`].
pub async fn hashes(source: &dyn ByteSource, header: Option<&Header>) -> Result<Hashes, FormatError> {
    let found = hashes_with(source, header, &mut |_| ControlFlow::Continue(())).await?;
    // The callback never breaks.
    found.ok_or_else(|| FormatError::from(io::Error::from(io::ErrorKind::Interrupted)))
}

/// Like [`hashes`], and reports the bytes done to `on_progress`; `None` if it breaks.
pub(super) async fn hashes_with(
    source: &dyn ByteSource,
    header: Option<&Header>,
    on_progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
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
    for block in blocks(0..source.len(), BLOCK) {
        let Range { start: at, end } = block.clone();
        let bytes = source.read(block).await?;
        whole.update(&bytes);
        window.take(&bytes);
        if let (Some(data), Some(start)) = (&mut data, data_start) {
            let skip = host_len(start.saturating_sub(at)).min(bytes.len());
            data.take(&bytes[skip..]);
        }
        if on_progress(end).is_break() {
            return Ok(None);
        }
    }
    let sha256 = hex(&whole.finalize());
    let computed = data.map(DataHashes::finish);
    let claimed = |key: &str| header.and_then(|header| header.metadata.get(key));
    let correct = computed.iter().flat_map(|hashes| hashes.values());
    let claims = correct.filter_map(|(key, value)| Some(Claim::new(key, claimed(key)?, value))).collect();
    Ok(Some(Hashes {
        auto_v1: (source.len() > WINDOW.start).then(|| window.finish()),
        auto_v2: sha256[..10].to_owned(),
        auto_v3: computed.as_ref().map(|hashes| hashes.model[..12].to_owned()),
        model: computed.as_ref().map(|hashes| hashes.model.clone()),
        legacy: computed.map(|hashes| hashes.legacy),
        sha256,
        claims,
    }))
}

/// The hashes stored in headers.
#[derive(Debug, Clone)]
pub struct HeaderHashes {
    /// Value of [`MODEL_HASH`].
    pub model: String,
    /// Value of [`LEGACY_HASH`].
    pub legacy: String,
}

impl HeaderHashes {
    /// Returns each metadata key with its correct value.
    pub fn values(&self) -> [(&'static str, String); 3] {
        [(MODEL_HASH, self.model.clone()), (LEGACY_HASH, self.legacy.clone()), (SPEC_HASH, format!("0x{}", self.model))]
    }
}

/// Incremental hasher of the bytes after the header, producing [`HeaderHashes`].
pub struct DataHashes {
    model: Sha256,
    legacy: Window,
}

impl DataHashes {
    /// Creates a hasher for the data after this header.
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

    /// Hashes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.model.update(bytes);
        self.legacy.take(bytes);
    }

    /// Returns the hashes of all bytes.
    pub fn finish(self) -> HeaderHashes {
        HeaderHashes { model: hex(&self.model.finalize()), legacy: self.legacy.finish() }
    }
}

/// Returns a header without metadata as the safetensors library writes one with empty metadata.
fn with_empty_metadata(head: &[u8]) -> Vec<u8> {
    let text = head.get(8..).unwrap_or_default().trim_ascii_end();
    let rest = text.strip_prefix(b"{").unwrap_or_default();
    let comma: &[u8] = if rest == b"}" { b"" } else { b"," };
    let mut text = [b"{\"__metadata__\":{}", comma, rest].concat();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

/// Hash of a byte range of a stream.
struct Window {
    range: Range<u64>,
    at: u64,
    hash: Sha256,
}

impl Window {
    /// Hashes `range` of a stream that starts with `head`.
    fn new(range: Range<u64>, head: &[u8]) -> Window {
        let mut window = Window { range, at: 0, hash: Sha256::new() };
        window.take(head);
        window
    }

    fn take(&mut self, bytes: &[u8]) {
        let index = |at: u64| host_len(at.saturating_sub(self.at)).min(bytes.len());
        self.hash.update(&bytes[index(self.range.start)..index(self.range.end)]);
        self.at += bytes.len() as u64;
    }

    fn finish(self) -> String {
        hex(&self.hash.finalize())[..8].to_owned()
    }
}

/// Formats bytes as lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_verified() {
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
