//! Adapters inside zip archives.

use crate::formats::{Archive, ByteSource, Content, FormatError, Member, sniff};

/// The first adapter of an archive.
pub struct ArchivedAdapter<'a> {
    /// Its path in the archive.
    pub name: String,
    /// Its unpacked bytes.
    pub source: Member<'a>,
    /// The text of the adapter_config.json in the same folder.
    pub config: Option<String>,
    /// Other members with an adapter's file extension.
    pub(super) others: Vec<String>,
}

impl<'a> ArchivedAdapter<'a> {
    /// Finds the first adapter in `source`; `None` if that is not a zip archive, is PyTorch's or has no adapter.
    pub async fn find(source: &'a dyn ByteSource) -> Result<Option<ArchivedAdapter<'a>>, FormatError> {
        let start = source.read(0..source.len().min(sniff::SNIFF_LEN as u64)).await?;
        if sniff::sniff(&start) != Content::Zip {
            return Ok(None);
        }
        match Archive::open(source).await? {
            Some(archive) => ArchivedAdapter::of(source, &archive).await,
            None => Ok(None),
        }
    }

    /// Finds the first adapter of an open archive.
    pub(super) async fn of(
        source: &'a dyn ByteSource,
        archive: &Archive,
    ) -> Result<Option<ArchivedAdapter<'a>>, FormatError> {
        let mut names = candidates(archive).into_iter().map(str::to_owned);
        let Some(name) = names.next() else { return Ok(None) };
        let companion = match name.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/adapter_config.json"),
            None => "adapter_config.json".into(),
        };
        let mut config = None;
        if archive.names().any(|name| name == companion) {
            let member = archive.member(source, &companion).await?;
            config = Some(String::from_utf8_lossy(&member.read(0..member.len()).await?).into_owned());
        }
        Ok(Some(ArchivedAdapter {
            source: archive.member(source, &name).await?,
            name,
            config,
            others: names.collect(),
        }))
    }
}

/// Returns the members with an adapter's file extension, in order of preference.
fn candidates(archive: &Archive) -> Vec<&str> {
    const EXTENSIONS: [&str; 5] = [".safetensors", ".gguf", ".pt", ".bin", ".ckpt"];
    let with_extension = |extension: &'static str| archive.names().filter(move |name| name.ends_with(extension));
    EXTENSIONS.iter().flat_map(|extension| with_extension(extension)).collect()
}
