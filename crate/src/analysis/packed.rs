//! Adapters inside zip archives.

use super::inspect::{InspectOptions, OnProgress, inspect_as};
use super::report::{Container, FileKind, Problem, Report};
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
    others: Vec<String>,
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
    async fn of(source: &'a dyn ByteSource, archive: &Archive) -> Result<Option<ArchivedAdapter<'a>>, FormatError> {
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

/// Reports on the first adapter of an archive, with a problem that says to unpack it.
pub(super) async fn report(
    report: &mut Report,
    source: &dyn ByteSource,
    archive: &Archive,
    options: InspectOptions<'_>,
    on_progress: &mut OnProgress<'_>,
) -> Result<(), FormatError> {
    (report.container, report.kind) = (Container::Zip, FileKind::Unknown);
    let Some(found) = ArchivedAdapter::of(source, archive).await? else {
        let message = "This zip archive contains no LoRA. Unpack it and look for a .safetensors file.";
        report.problems.push(Problem::refuse("not_an_adapter", message));
        return Ok(());
    };
    let options = InspectOptions { companion: found.config.as_deref(), inside: true, ..options };
    let (inside, _) = Box::pin(inspect_as(&found.name, &found.source, options, on_progress)).await;
    let others = match &found.others[..] {
        [] => String::new(),
        [other] => format!(", which also contains `{other}`"),
        more => format!(", which also contains {} other candidates", more.len()),
    };
    let message = format!(
        "This report describes `{}` inside a zip archive{others}. Unpack it: programs load only the file itself.",
        found.name
    );
    let (file, size) = (report.file.clone(), report.size);
    *report = Report { file, size, container: Container::Zip, ..inside };
    report.problems.push(Problem::refuse("archive", message));
    Ok(())
}
