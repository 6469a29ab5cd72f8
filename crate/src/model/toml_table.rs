//! Tables of the sources, as TOML.

use super::json;
use serde::de::DeserializeOwned;

/// Parses one of the tables that are part of the program; each is checked by a test. The build script has made JSON of it.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    json::parse(text)
}
