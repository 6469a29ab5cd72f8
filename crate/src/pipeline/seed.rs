//! Seeds in JSON and JavaScript: a number up to 2^53 - 1, which JavaScript represents exactly, and a string of
//! decimal digits above.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Serializes a seed.
pub fn serialize<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *seed <= MAX_SAFE_INTEGER { serializer.serialize_u64(*seed) } else { serializer.collect_str(seed) }
}

/// Deserializes a seed from a number or a string.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SeedVisitor)
}

/// Serializes an optional seed, for `#[serde(serialize_with = …)]`.
pub fn serialize_option<S: Serializer>(seed: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match seed {
        Some(seed) => serialize(seed, serializer),
        None => serializer.serialize_none(),
    }
}

struct SeedVisitor;

impl Visitor<'_> for SeedVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a seed from 0 to 18446744073709551615")
    }

    fn visit_u64<E: Error>(self, seed: u64) -> Result<u64, E> {
        Ok(seed)
    }

    fn visit_i64<E: Error>(self, seed: i64) -> Result<u64, E> {
        u64::try_from(seed).map_err(|_| E::custom(format!("the seed is {seed}; it must be 0 or more")))
    }

    fn visit_f64<E: Error>(self, seed: f64) -> Result<u64, E> {
        // JavaScript passes whole numbers as floats; the text of one has the exact digits.
        format!("{seed}")
            .parse()
            .map_err(|_| E::custom(format!("the seed is {seed}; it must be a whole number, 0 or more")))
    }

    fn visit_str<E: Error>(self, seed: &str) -> Result<u64, E> {
        seed.parse().map_err(|_| E::custom(format!("the seed is {seed:?}; it must be 0 to {}", u64::MAX)))
    }
}
