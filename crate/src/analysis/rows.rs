//! Turns an adapter's changes into the rows of its report: with their norms and spectra from the
//! file's numbers, layer by layer, or by the header alone.

use super::health::{Health, HealthRow, health};
use super::inspect::{OnProgress, Progress};
use super::problems::Findings;
use super::report::{ModuleRow, Strength};
use super::spectrum::Spectrum;
use crate::adapters::{Adapter, Delta, Factorization, Group, Reader};
use crate::formats::{ByteSource, FormatError, Header};
use crate::model::block;
use crate::model::spelling::{ModuleMatch, Role};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};

/// What the numbers of a file say.
#[derive(Default)]
pub(super) struct Measured {
    /// One row a layer.
    pub rows: Vec<ModuleRow>,
    /// How strong and how full they are.
    pub health: Option<Health>,
    /// What is odd about them.
    pub findings: Findings,
    /// Whether every layer was read: nobody stopped it.
    pub whole: bool,
    /// What was read of each group, for another worker's report.
    pub groups: Vec<GroupNumbers>,
}

/// What the numbers of one group say: workers that share a file hand these to the one that reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupNumbers {
    /// The group's place in the file.
    group: usize,
    /// Its tensors of one number.
    numbers: BTreeMap<Role, f32>,
    /// Its changes.
    changes: Vec<ChangeNumbers>,
}

/// What the numbers of one change say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ChangeNumbers {
    /// Whether none is NaN or infinite.
    pub finite: bool,
    /// Frobenius norm at strength 1, where it is known without the base.
    pub norm: Option<f64>,
    /// Singular values at strength 1, where they are known without the base and do not take too long.
    values: Option<Vec<f64>>,
}

impl ChangeNumbers {
    async fn read(delta: &Delta, source: &dyn ByteSource, header: &Header) -> Result<ChangeNumbers, FormatError> {
        let numbers = delta.read(source, header).await?;
        let finite = delta.scale.is_finite() && numbers.values().flatten().all(|x| x.is_finite());
        let Some(form) = delta.change.form(&numbers).filter(|form| work(form) <= MAX_WORK) else {
            return Ok(ChangeNumbers { finite, norm: delta.norm(&numbers), values: None });
        };
        drop(numbers); // the form has its own: two of each would be the most memory that a file takes
        let spectrum = Spectrum::of(&form, f64::from(delta.scale));
        Ok(ChangeNumbers { finite, norm: Some(spectrum.frobenius()), values: Some(spectrum.values) })
    }
}

/// One of the equal parts, by bytes, into which workers divide a file's groups.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Which, from 0.
    pub part: usize,
    /// Of how many.
    pub parts: usize,
}

impl Share {
    /// All of a file.
    pub const WHOLE: Share = Share { part: 0, parts: 1 };

    fn of(self, groups: &[Group]) -> Range<usize> {
        let total: u64 = groups.iter().map(bytes).sum();
        let until = |part: usize| {
            let mut sum = 0;
            groups
                .iter()
                .take_while(|group| {
                    let before = sum;
                    sum += bytes(group);
                    u128::from(before) * (self.parts as u128) < u128::from(total) * part as u128
                })
                .count()
        };
        until(self.part)..if self.part + 1 == self.parts { groups.len() } else { until(self.part + 1) }
    }
}

fn bytes(group: &Group) -> u64 {
    group.tensors.values().map(|tensor| tensor.bytes.end - tensor.bytes.start).sum()
}

/// The most multiplications that one layer's singular values may take here: seconds in a browser.
const MAX_WORK: usize = 1_000_000_000;

/// Groups with the layers that they change.
pub(super) struct Located<'a> {
    pub groups: &'a mut [Group],
    pub layers: &'a [Option<ModuleMatch<'a>>],
}

/// One row a layer; reads every number of a share once, but for groups that are `known`, and tells of
/// every row that it read.
pub(super) async fn measured(
    reader: &mut Reader<'_>,
    located: Located<'_>,
    source: &dyn ByteSource,
    header: &Header,
    (share, known): (Share, &[GroupNumbers]),
    hear: &mut OnProgress<'_>,
) -> Result<Measured, FormatError> {
    let mut measured = Measured { whole: true, ..Measured::default() };
    let mut layers: Vec<HealthRow> = Vec::new();
    let known: HashMap<usize, &GroupNumbers> = known.iter().map(|known| (known.group, known)).collect();
    let own = share.of(located.groups);
    let total = located.groups[own.clone()].iter().map(bytes).sum();
    let mut done = 0;
    for (index, (group, found)) in located.groups.iter_mut().zip(located.layers).enumerate() {
        if !measured.whole || !own.contains(&index) {
            skip(reader, group, *found);
            continue;
        }
        match known.get(&index) {
            Some(known) => group.numbers = known.numbers.clone(),
            None => group.read_numbers(source).await?,
        }
        done += bytes(group);
        let deltas = reader.add(group, *found);
        let known = known.get(&index).filter(|known| known.changes.len() == deltas.len());
        let mut changes = Vec::with_capacity(deltas.len());
        for (at, delta) in deltas.iter().enumerate() {
            let change = match known {
                Some(known) => known.changes[at].clone(),
                None => ChangeNumbers::read(delta, source, header).await?,
            };
            measured.findings.look(delta, &change);
            let spectrum = change.values.clone().map(|values| Spectrum { values });
            let strength = spectrum.as_ref().map(Strength::of);
            match measured.rows.last_mut().filter(|row| row.path == delta.path()) {
                Some(row) => row.norm = row.norm.zip(change.norm).map(|(a, b)| a.hypot(b)),
                None => measured.rows.push(ModuleRow { strength, ..row(delta, change.norm) }),
            }
            layers.extend(spectrum.map(|spectrum| HealthRow::new(delta, header, spectrum)));
            changes.push(change);
        }
        measured.groups.push(GroupNumbers { group: index, numbers: group.numbers.clone(), changes });
        let Some(row) = measured.rows.last().filter(|_| known.is_none() && !deltas.is_empty()) else { continue };
        if hear(Progress::Layer { done, total, row }) == ControlFlow::Break(()) {
            measured.whole = done == total;
        }
    }
    measured.health = health(&layers);
    Ok(measured)
}

/// Takes in all groups without reading a number.
pub(super) fn unread(reader: &mut Reader<'_>, located: Located<'_>) {
    for (group, found) in located.groups.iter_mut().zip(located.layers) {
        skip(reader, group, *found);
    }
}

/// Takes in a group as if its tensors of one number had been read.
fn skip(reader: &mut Reader<'_>, group: &mut Group, found: Option<ModuleMatch<'_>>) {
    group.numbers = group.lone_numbers().map(|(role, _)| (role, 0.0)).collect();
    reader.add(group, found);
}

/// Multiplications that a form's singular values take, about.
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
        base_norm: None,
        strength: None,
        shape: delta.change.shape(),
        block: block(delta.component, &delta.module),
    }
}
