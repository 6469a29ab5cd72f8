//! Names of globals in sentences.

use crate::sentence::{Value, sentence};

/// Placeholder for the name of a global that the pickle computes instead of spelling it out.
pub const COMPUTED: &str = "a function with a computed name";

/// Returns the name of a global as a value of sentences.
pub fn global_name(name: &str) -> Value {
    if name == COMPUTED { sentence!("pickle.computed_name").into() } else { name.into() }
}
