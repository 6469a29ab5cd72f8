//! The report on an edit's result before it is written: its planned header, followed by zeros, is inspected like a file.

use super::apply::Edit;
use super::convert::converted_header;
use super::draft::head;
use super::error::EditError;
use super::export::export;
use super::inputs::EditInput;
use super::metadata::{MetadataEdit, edit_metadata};
use super::open::Opened;
use super::resize::resized_header;
use crate::analysis::{ArchivedAdapter, Report, inspect_header};
use crate::formats::{ByteSource, Header, ReadFuture};
use std::ops::Range;

/// Returns the report on the header of an edit's result. Reads no factors.
pub(super) async fn planned_report(
    edit: &Edit,
    input: &EditInput<'_>,
    opened: Option<&Opened<'_>>,
) -> Result<Report, EditError> {
    let header = planned_header(edit, input, opened).await?;
    let head = head(&header);
    // Offsets of a planned header start at 0, those of a header that was read at its data.
    let start = header.tensors.iter().map(|tensor| tensor.bytes.start).min().unwrap_or(0);
    let data = header.tensors.iter().map(|tensor| tensor.bytes.end).max().unwrap_or(0) - start;
    let source = Planned { len: head.len() as u64 + data, head };
    Ok(inspect_header(input.name, &source, None).await)
}

async fn planned_header(edit: &Edit, input: &EditInput<'_>, opened: Option<&Opened<'_>>) -> Result<Header, EditError> {
    match (edit, opened) {
        (Edit::Convert(options), Some(opened)) => converted_header(opened, options).await,
        (Edit::Resize(options), Some(opened)) => resized_header(opened, *options),
        (Edit::Metadata(edit), _) => {
            // Hashes take a pass over the file, and no loader's result depends on them.
            let edit = MetadataEdit { repair_hashes: false, ..edit.clone() };
            Ok(edit_metadata(input.name, input.source()?, &edit).await?.header().clone())
        }
        (Edit::Export, _) => {
            let inside = ArchivedAdapter::find(input.source()?).await;
            let inside = inside.map_err(|source| EditError::Read { file: input.name.into(), source })?;
            let planned = match &inside {
                Some(inside) => export(&inside.name, &inside.source, inside.config.as_deref()).await?,
                None => export(input.name, input.source()?, input.config).await?,
            };
            Ok(planned.header().clone())
        }
        _ => Err(EditError::Nothing),
    }
}

/// A planned file: its header, followed by zeros.
struct Planned {
    head: Vec<u8>,
    len: u64,
}

impl ByteSource for Planned {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        let byte = |at: u64| usize::try_from(at).ok().and_then(|at| self.head.get(at)).copied().unwrap_or(0);
        let inside = range.start <= range.end && range.end <= self.len;
        let read = if inside { Ok(range.map(byte).collect()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
        Box::pin(std::future::ready(read))
    }
}
