//! Turns a zip archive of files into the report on the adapter in it.

use super::inspect::{Hear, How, inspect_as};
use super::report::{Container, FileKind, Problem, Report};
use crate::formats::{Archive, ByteSource, FormatError};

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
    how: How<'_>,
    hear: &mut Hear<'_>,
) -> Result<(), FormatError> {
    (report.container, report.kind) = (Container::Zip, FileKind::Unknown);
    let names = candidates(archive);
    let Some(first) = names.first() else {
        let message = "This is a zip archive without an adapter in it. Unpack it and look for a .safetensors file.";
        report.problems.push(Problem::refuse("not_an_adapter", message));
        return Ok(());
    };
    let companion = match first.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/adapter_config.json"),
        None => "adapter_config.json".into(),
    };
    let config = match archive.names().any(|name| name == companion) {
        true => Some(archive.member(source, &companion).await?),
        false => None,
    };
    let config = match &config {
        Some(member) => Some(String::from_utf8_lossy(&member.read(0..member.len()).await?).into_owned()),
        None => None,
    };
    let member = archive.member(source, first).await?;
    let how = How { companion: config.as_deref(), inside: true, ..how };
    let (inside, _) = Box::pin(inspect_as(first, &member, how, hear)).await;
    let others = match names.len() - 1 {
        0 => String::new(),
        1 => format!(", beside `{}`", names[1]),
        more => format!(", beside {more} others"),
    };
    let message = format!(
        "This is a zip archive; what is said is of `{first}` inside it{others}. Unpack it: programs load the file itself."
    );
    let (file, size) = (report.file.clone(), report.size);
    *report = Report { file, size, container: Container::Zip, ..inside };
    report.problems.push(Problem::refuse("archive", message));
    Ok(())
}
