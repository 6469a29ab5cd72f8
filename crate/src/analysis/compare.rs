//! Comparison of two adapters: the angle between their changes, layer by layer, and whether one is a
//! rescaled, resized or merged version of the other.

use super::layer_comparison::{LayerComparison, compare_forms};
use super::relation::{Relation, relation};
use crate::adapters::{Adapter, Delta, FactorData};
use crate::formats::{ByteSource, FormatError, Header};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use ts_rs::TS;

/// An adapter file to compare.
#[derive(Clone, Copy)]
pub struct ComparedFile<'a> {
    /// File name, for error messages.
    pub name: &'a str,
    /// Content of the file.
    pub source: &'a dyn ByteSource,
    /// Its header.
    pub header: &'a Header,
    /// Its changes.
    pub adapter: &'a Adapter,
}

impl ComparedFile<'_> {
    /// Reads the factors of one of its deltas.
    pub(super) async fn read(&self, delta: &Delta) -> Result<FactorData, ReadError> {
        let factors = delta.read(self.source, self.header).await;
        factors.map_err(|source| ReadError { file: self.name.into(), source })
    }
}

/// Read error of one of several files.
#[derive(Debug, thiserror::Error)]
#[error("`{file}`: {source}")]
pub struct ReadError {
    /// File name.
    pub file: String,
    /// The cause.
    pub source: FormatError,
}

/// Comparison of two files.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Comparison {
    /// Relation of the files.
    pub relation: Relation,
    /// Every tensor that either file changes, in the first file's order.
    pub layers: Vec<LayerComparison>,
    /// Metadata keys with different values.
    pub metadata: Vec<MetadataDifference>,
}

/// A metadata key with different values.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct MetadataDifference {
    /// The key.
    pub key: String,
    /// The first file's value.
    pub a: Option<String>,
    /// The second file's.
    pub b: Option<String>,
}

/// Compares two adapters of one base model family. Reads every factor once.
pub async fn compare(a: ComparedFile<'_>, b: ComparedFile<'_>) -> Result<Comparison, ReadError> {
    let mut others: HashMap<String, &Delta> = b.adapter.deltas.iter().map(|delta| (delta.tensor(), delta)).collect();
    let mut layers = Vec::new();
    for delta in &a.adapter.deltas {
        let other = others.remove(&delta.tensor());
        let numbers = a.read(delta).await?;
        let other_numbers = match other {
            Some(other) => b.read(other).await?,
            None => FactorData::new(),
        };
        layers.push(layer(Some((delta, &numbers)), other.map(|other| (other, &other_numbers))));
    }
    for delta in b.adapter.deltas.iter().filter(|delta| others.contains_key(&delta.tensor())) {
        layers.push(layer(None, Some((delta, &b.read(delta).await?))));
    }
    Ok(Comparison { relation: relation(&layers), layers, metadata: metadata_differences(a.header, b.header) })
}

/// Returns the metadata keys with different values, in alphabetical order.
pub fn metadata_differences(a: &Header, b: &Header) -> Vec<MetadataDifference> {
    let keys: BTreeSet<&String> = a.metadata.keys().chain(b.metadata.keys()).collect();
    let value = |header: &Header, key: &String| header.metadata.get(key).cloned();
    let differences =
        keys.into_iter().map(|key| MetadataDifference { key: key.clone(), a: value(a, key), b: value(b, key) });
    differences.filter(|difference| difference.a != difference.b).collect()
}

/// A delta and its factors.
type Side<'a> = Option<(&'a Delta, &'a FactorData)>;

fn layer(a: Side, b: Side) -> LayerComparison {
    let tensor = a.or(b).map(|(delta, _)| delta.tensor()).unwrap_or_default();
    let factorize = |side: Side| side.and_then(|(delta, numbers)| Some((delta.change.form(numbers)?, delta.scale)));
    let (factors_a, factors_b) = (factorize(a), factorize(b));
    LayerComparison { tensor, identical: is_identical(a, b), ..compare_forms(factors_a.as_ref(), factors_b.as_ref()) }
}

/// Returns whether two deltas have the same algorithm, scale and factors.
fn is_identical(a: Side, b: Side) -> bool {
    let (Some((a, numbers_a)), Some((b, numbers_b))) = (a, b) else { return false };
    let (factors_a, factors_b) = (a.change.factors(), b.change.factors());
    let same = |(x, y): (&&crate::adapters::Factor, &&crate::adapters::Factor)| {
        numbers_a.get(&x.key).is_some() && numbers_a.get(&x.key) == numbers_b.get(&y.key)
    };
    a.change.algorithm() == b.change.algorithm()
        && a.scale == b.scale
        && factors_a.len() == factors_b.len()
        && factors_a.iter().zip(&factors_b).all(same)
}
