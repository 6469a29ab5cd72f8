//! Tables of the sources, as TOML.

use serde::de::DeserializeOwned;

/// Parses one of the tables that are part of the program; each is checked by a test.
///
/// The build script has made JSON of it. It is read as a JSON value first, so that the parser is compiled for this one type,
/// which takes a twentieth off the download.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}
