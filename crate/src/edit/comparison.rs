//! Comparison of two opened files of one model family, whatever names they have for its layers.

use super::convert::{ConvertOptions, convert};
use super::error::EditError;
use super::names::Target;
use super::open::Opened;
use crate::analysis::{Comparison, Layers, ReadError, compare, metadata_differences};
use crate::model::ModuleSource;

/// Compares two files. If one of them has fused layers and the other their parts, the fused ones are split first, which
/// is exact: the layers are those of the second kind.
pub async fn compare_files(a: &Opened<'_>, b: &Opened<'_>) -> Result<Comparison, EditError> {
    a.check_same_family(b)?;
    if a.names_layers_like(b) {
        return compared(a, b).await;
    }
    let is_fused = matches!(&a.layers, Some(Layers::Architecture(_, ModuleSource::Native)));
    let (bytes, file) = if is_fused { (split(a).await?, &a.file) } else { (split(b).await?, &b.file) };
    let parts = Opened::new(file, &bytes, None).await?;
    let comparison = if is_fused { compared(&parts, b).await? } else { compared(a, &parts).await? };
    Ok(Comparison { metadata: metadata_differences(&a.header, &b.header), ..comparison })
}

async fn compared(a: &Opened<'_>, b: &Opened<'_>) -> Result<Comparison, EditError> {
    a.check_compatible(b)?;
    let comparison = compare(a.compared(), b.compared()).await;
    comparison.map_err(|ReadError { file, source }| EditError::Read { file, source })
}

/// Returns a file with fused layers as one with their parts.
async fn split(fused: &Opened<'_>) -> Result<Vec<u8>, EditError> {
    let options = ConvertOptions { to: Some(Target::Onetrainer), ..ConvertOptions::default() };
    let mut file = Vec::new();
    convert(fused, &options).await?.write(&mut file).await?;
    Ok(file)
}
