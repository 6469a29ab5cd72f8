//! Turns a zip archive of files into the adapter in it, and into the report on that.

use super::inspect::{OnProgress, InspectOptions, inspect_as};
use super::report::{Container, FileKind, Problem, Report};
use crate::formats::{Archive, ByteSource, Content, FormatError, Member, sniff};

/// The first adapter of an archive.
pub struct Inside<'a> {
    /// Its path there.
    pub name: String,
    /// Its bytes.
    pub source: Member<'a>,
    /// The text of the adapter_config.json beside it.
    pub config: Option<String>,
    /// The other files that may be adapters.
    others: Vec<String>,
}

impl<'a> Inside<'a> {
    /// Looks into `source`; none where it is no archive, or one that PyTorch wrote, or without an adapter.
    pub async fn find(source: &'a dyn ByteSource) -> Result<Option<Inside<'a>>, FormatError> {
        let start = source.read(0..source.len().min(sniff::SNIFF_LEN as u64)).await?;
        if sniff::sniff(&start) != Content::Zip {
            return Ok(None);
        }
        match Archive::open(source).await? {
            Some(archive) => Inside::of(source, &archive).await,
            None => Ok(None),
        }
    }

    /// The same of an archive that is open.
    async fn of(source: &'a dyn ByteSource, archive: &Archive) -> Result<Option<Inside<'a>>, FormatError> {
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
        Ok(Some(Inside { source: archive.member(source, &name).await?, name, config, others: names.collect() }))
    }
}

/// The files of an archive that may be adapters, the best first: by their endings.
fn candidates(archive: &Archive) -> Vec<&str> {
    const ENDINGS: [&str; 5] = [".safetensors", ".gguf", ".pt", ".bin", ".ckpt"];
    let of = |ending: &'static str| archive.names().filter(move |name| name.ends_with(ending));
    ENDINGS.iter().flat_map(|ending| of(ending)).collect()
}

/// Reports on the first adapter of an archive as if it lay beside it, and says that it is packed.
pub(super) async fn report(
    report: &mut Report,
    source: &dyn ByteSource,
    archive: &Archive,
    how: InspectOptions<'_>,
    hear: &mut OnProgress<'_>,
) -> Result<(), FormatError> {
    (report.container, report.kind) = (Container::Zip, FileKind::Unknown);
    let Some(found) = Inside::of(source, archive).await? else {
        let message = "This is a zip archive without an adapter in it. Unpack it and look for a .safetensors file.";
        report.problems.push(Problem::refuse("not_an_adapter", message));
        return Ok(());
    };
    let how = InspectOptions { companion: found.config.as_deref(), inside: true, ..how };
    let (inside, _) = Box::pin(inspect_as(&found.name, &found.source, how, hear)).await;
    let others = match &found.others[..] {
        [] => String::new(),
        [other] => format!(", beside `{other}`"),
        more => format!(", beside {} others", more.len()),
    };
    let message = format!(
        "This is a zip archive; what is said is of `{}` inside it{others}. Unpack it: programs load the file itself.",
        found.name
    );
    let (file, size) = (report.file.clone(), report.size);
    *report = Report { file, size, container: Container::Zip, ..inside };
    report.problems.push(Problem::refuse("archive", message));
    Ok(())
}
