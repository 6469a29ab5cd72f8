//! Measurements of a file's tensors: norms and singular values of its changes, and anomalies.

use super::sketch::Sketch;
use super::spectrum::Spectrum;
use crate::adapters::{Adapter, Delta};
use crate::formats::{ByteSource, FormatError, Header};
use crate::linalg::Factorization;
use crate::model::spelling::Role;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maximum number of multiplications for one layer's singular values: seconds in a browser.
const MAX_WORK: usize = 1_000_000_000;

/// Measurements of one group; workers that share a file send these to the one that writes the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupMeasurements {
    /// Index of the group in the file.
    pub(super) group: usize,
    /// Its scalar tensors.
    pub(super) numbers: BTreeMap<Role, f32>,
    /// Its changes.
    pub(super) changes: Vec<ChangeMeasurements>,
}

/// Measurements of one change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ChangeMeasurements {
    /// Whether no element is NaN or infinite.
    pub finite: bool,
    /// Frobenius norm at strength 1, if it does not depend on the base weights.
    pub norm: Option<f64>,
    /// Singular values at strength 1, if they do not depend on the base weights or take too long.
    pub values: Option<Vec<f64>>,
    /// Its share of the file's signature, if it does not depend on the base weights.
    pub sketch: Option<Sketch>,
}

impl ChangeMeasurements {
    /// Reads a delta's tensors and measures them.
    pub async fn read(
        delta: &Delta,
        source: &dyn ByteSource,
        header: &Header,
    ) -> Result<ChangeMeasurements, FormatError> {
        let factors = delta.read(source, header).await?;
        let finite = delta.scale.is_finite() && factors.values().flatten().all(|x| x.is_finite());
        let form = delta.change.form(&factors);
        let sketch = form.as_ref().map(|form| Sketch::of(delta, form));
        let Some(form) = form.filter(is_quick) else {
            return Ok(ChangeMeasurements { finite, norm: delta.norm(&factors), values: None, sketch });
        };
        drop(factors); // `form` holds a copy: keeping both would double peak memory
        let spectrum = Spectrum::of(&form, f64::from(delta.scale));
        Ok(ChangeMeasurements { finite, norm: Some(spectrum.frobenius()), values: Some(spectrum.values), sketch })
    }
}

/// Returns whether the singular values of a factorization take seconds at most.
pub(super) fn is_quick(form: &Factorization) -> bool {
    work(form) <= MAX_WORK
}

/// Estimates the number of multiplications for the singular values of a factorization.
fn work(form: &Factorization) -> usize {
    let whole = |rows: usize, columns: usize| {
        let small = rows.min(columns);
        small.saturating_mul(small).saturating_mul(rows.max(columns) + 4 * small)
    };
    match form {
        Factorization::Whole(dense) => whole(dense.rows, dense.columns),
        Factorization::Product(left, right) if left.columns <= form.rank() => {
            left.columns.saturating_pow(2).saturating_mul(left.rows + right.columns + 4 * left.columns)
        }
        Factorization::Product(left, right) => whole(left.rows, right.columns),
        Factorization::Kronecker(first, second) => work(first).saturating_add(work(second)),
        Factorization::Rows(..) => {
            let (rows, columns) = form.size();
            whole(rows, columns)
        }
    }
}

/// Anomalies in an adapter's tensors.
#[derive(Debug, Default)]
pub struct Findings {
    /// Layers with NaN or infinite elements.
    pub(super) not_finite: Vec<String>,
    /// Layers whose alpha is 0.
    pub(super) zero_alpha: Vec<String>,
    /// Number of deltas that are not known to be zero.
    pub(super) alive: usize,
}

impl Findings {
    /// Returns the findings of an adapter whose tensors were not read: no delta is known to be zero.
    pub fn unread(adapter: &Adapter) -> Findings {
        Findings { alive: adapter.deltas.len(), ..Findings::default() }
    }

    /// Records the anomalies of one delta.
    pub fn look(&mut self, delta: &Delta, numbers: &ChangeMeasurements) {
        if !numbers.finite {
            self.not_finite.push(delta.path());
        }
        if delta.alpha == Some(0.0) && delta.change.alpha_rank().is_some() {
            self.zero_alpha.push(delta.path());
        }
        self.alive += usize::from(numbers.norm != Some(0.0));
    }
}
