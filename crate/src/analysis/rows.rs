//! Turns an adapter's changes into the rows of its report: with their norms and spectra from the
//! file's numbers, layer by layer, or by the header alone.

use super::health::{Health, HealthRow, health};
use super::inspect::{Hear, Progress};
use super::problems::Findings;
use super::report::{ModuleRow, Strength};
use super::spectrum::Spectrum;
use crate::adapters::{Adapter, Delta, Form, Numbers};
use crate::formats::{ByteSource, FormatError, Header};
use crate::model::block;

/// What the numbers of a file say.
pub(super) struct Measured {
    /// One row a layer.
    pub rows: Vec<ModuleRow>,
    /// How strong and how full they are.
    pub health: Option<Health>,
    /// What is odd about them.
    pub findings: Findings,
    /// Whether every layer was read: nobody stopped it.
    pub whole: bool,
}

/// The most multiplications that one layer's singular values may take here: seconds in a browser.
const MOST_WORK: usize = 1_000_000_000;

/// One row a layer; reads every factor once, and tells of every finished row.
pub(super) async fn measured(
    adapter: &Adapter,
    source: &dyn ByteSource,
    header: &Header,
    hear: &mut Hear<'_>,
) -> Result<Measured, FormatError> {
    let mut measured = Measured { rows: Vec::new(), health: None, findings: Findings::default(), whole: true };
    let mut layers: Vec<HealthRow> = Vec::new();
    let total = adapter.deltas.len();
    for (done, delta) in adapter.deltas.iter().enumerate() {
        let numbers = delta.read(source, header).await?;
        let spectrum = spectrum(delta, &numbers);
        let norm = spectrum.as_ref().map(Spectrum::frobenius).or_else(|| delta.norm(&numbers));
        measured.findings.look(delta, &numbers, norm);
        let strength = spectrum.as_ref().map(Strength::of);
        match measured.rows.last_mut().filter(|row| row.path == delta.path()) {
            Some(row) => row.norm = row.norm.zip(norm).map(|(a, b)| a.hypot(b)),
            None => measured.rows.push(ModuleRow { strength, ..row(delta, norm) }),
        }
        layers.extend(spectrum.map(|spectrum| HealthRow::new(delta, header, spectrum)));
        let Some(row) = measured.rows.last() else { continue };
        if hear(Progress::Layer { done: done + 1, total, row }).is_break() {
            measured.whole = done + 1 == total;
            break;
        }
    }
    measured.health = health(&layers);
    Ok(measured)
}

/// The singular values of a delta, where they are known without the base and do not take too long.
fn spectrum(delta: &Delta, numbers: &Numbers) -> Option<Spectrum> {
    let form = delta.change.form(numbers).filter(|form| work(form) <= MOST_WORK)?;
    Some(Spectrum::of(&form, f64::from(delta.scale)))
}

/// Multiplications that a form's singular values take, about.
fn work(form: &Form) -> usize {
    let whole = |rows: usize, columns: usize| {
        let small = rows.min(columns);
        small.saturating_mul(small).saturating_mul(rows.max(columns) + 4 * small)
    };
    match form {
        Form::Whole(dense) => whole(dense.rows, dense.columns),
        Form::Product(left, right) if left.columns <= form.rank() => {
            left.columns.saturating_pow(2).saturating_mul(left.rows + right.columns + 4 * left.columns)
        }
        Form::Product(left, right) => whole(left.rows, right.columns),
        Form::Kronecker(first, second) => work(first).saturating_add(work(second)),
    }
}

/// One row a layer, without anything that stands in the file's numbers.
pub(super) fn bare(adapter: &Adapter) -> Vec<ModuleRow> {
    let mut rows: Vec<ModuleRow> = Vec::new();
    for delta in &adapter.deltas {
        if rows.last().is_none_or(|row| row.path != delta.path()) {
            rows.push(ModuleRow { alpha: None, scale: 1.0, ..row(delta, None) });
        }
    }
    rows
}

fn row(delta: &Delta, norm: Option<f64>) -> ModuleRow {
    let dtype = delta.change.factors().first().map(|factor| factor.dtype.to_string());
    ModuleRow {
        path: delta.path(),
        algorithm: delta.algorithm.into(),
        rank: delta.change.rank(),
        alpha: delta.alpha,
        scale: delta.scale,
        dtype: dtype.unwrap_or_default(),
        norm,
        strength: None,
        shape: delta.change.shape(),
        block: block(delta.component, &delta.module),
    }
}
