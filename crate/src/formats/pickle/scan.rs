//! Checks of the globals in consecutive pickles.

use super::super::FormatError;
use super::globals::{Danger, allow, danger};
use super::interpreter::imports;

/// Returns an error for the first dangerous global in the pickles at the start of `bytes`.
pub fn check_dangers(bytes: &[u8]) -> Result<(), FormatError> {
    all_imports(bytes).find(|name| danger(name) == Danger::Dangerous).map_or(Ok(()), |name| allow(name).map(|_| ()))
}

/// Returns an error for the first dangerous global in the pickles at the start of `bytes`, else for the first that is
/// not harmless.
pub fn check_imports(bytes: &[u8]) -> Result<(), FormatError> {
    check_dangers(bytes)?;
    all_imports(bytes).try_for_each(|name| allow(name).map(|_| ()))
}

/// Returns the globals of consecutive pickles. Other bytes may parse as a few opcodes, but rarely as an import.
fn all_imports(bytes: &[u8]) -> impl Iterator<Item = String> {
    let mut rest = Some(bytes);
    let pickles = std::iter::from_fn(move || {
        let (names, len) = imports(rest.filter(|rest| !rest.is_empty())?);
        rest = len.and_then(|len| rest?.get(len..));
        Some(names)
    });
    pickles.flatten()
}
