//! The rows of a report, one per changed layer: with norms and spectra from the file's tensors, or
//! from the header alone.

use super::health::{Health, HealthRow, health};
use super::measurements::{ChangeMeasurements, Findings, GroupMeasurements};
use super::modules::{ModuleRow, Strength};
use super::progress::{OnProgress, Progress};
use super::sketch::Sketch;
use super::spectrum::Spectrum;
use crate::adapters::{Adapter, Delta, Group, Reader};
use crate::formats::{ByteSource, FormatError, Header, TensorInfo};
use crate::model::block;
use crate::model::spelling::ModuleMatch;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

/// Measurements of a file's tensors.
#[derive(Default)]
pub(super) struct Measured {
    /// One row per layer.
    pub rows: Vec<ModuleRow>,
    /// Strength and rank statistics.
    pub health: Option<Health>,
    /// Sum of the layers' sketches.
    pub sketch: Sketch,
    /// Anomalies.
    pub findings: Findings,
    /// Whether every layer was measured; `false` if the callback stopped it.
    pub whole: bool,
    /// Measurements per group, for another worker's report.
    pub groups: Vec<GroupMeasurements>,
}

/// One of several parts of equal size in bytes, into which workers divide a file's groups.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Index of the part.
    pub part: usize,
    /// Number of parts.
    pub parts: usize,
}

impl Share {
    /// The whole file.
    pub const WHOLE: Share = Share { part: 0, parts: 1 };

    fn of(self, groups: &[Group]) -> Range<usize> {
        let total: u64 = groups.iter().map(bytes).sum();
        let end = |part: usize| {
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
        end(self.part)..if self.part + 1 == self.parts { groups.len() } else { end(self.part + 1) }
    }
}

fn bytes(group: &Group) -> u64 {
    group.tensors.values().map(TensorInfo::byte_len).sum()
}

/// Groups with the layers they change.
pub(super) struct Located<'a> {
    pub groups: &'a mut [Group],
    pub layers: &'a [Option<ModuleMatch<'a>>],
    /// Model family: `sd15`, …
    pub family: &'a str,
}

/// Measures one row per layer. Reads every tensor of a share once, except those of `known` groups, and
/// reports every row that it reads.
pub(super) async fn measured(
    reader: &mut Reader<'_>,
    located: Located<'_>,
    source: &dyn ByteSource,
    header: &Header,
    (share, known): (Share, &[GroupMeasurements]),
    on_progress: &mut OnProgress<'_>,
) -> Result<Measured, FormatError> {
    let mut measured = Measured { whole: true, ..Measured::default() };
    let mut layers: Vec<HealthRow> = Vec::new();
    let known: HashMap<usize, &GroupMeasurements> = known.iter().map(|known| (known.group, known)).collect();
    let range = share.of(located.groups);
    let total = located.groups[range.clone()].iter().map(bytes).sum();
    let mut done = 0;
    for (index, (group, found)) in located.groups.iter_mut().zip(located.layers).enumerate() {
        if !measured.whole || !range.contains(&index) {
            skip(reader, group, *found);
            continue;
        }
        match known.get(&index) {
            Some(known) => group.numbers = known.numbers.clone(),
            None => group.read_scalars(source).await?,
        }
        done += bytes(group);
        let deltas = reader.add(group, *found);
        let known = known.get(&index).filter(|known| known.changes.len() == deltas.len());
        let mut changes = Vec::with_capacity(deltas.len());
        for (at, delta) in deltas.iter().enumerate() {
            let change = match known {
                Some(known) => known.changes[at].clone(),
                None => ChangeMeasurements::read(delta, source, header).await?,
            };
            measured.findings.look(delta, &change);
            change.sketch.iter().for_each(|sketch| measured.sketch.merge(sketch));
            let spectrum = change.values.clone().map(|values| Spectrum { values });
            let strength = spectrum.as_ref().map(Strength::of);
            match measured.rows.last_mut().filter(|row| row.path == delta.path()) {
                Some(row) => row.norm = row.norm.zip(change.norm).map(|(a, b)| a.hypot(b)),
                None => measured.rows.push(ModuleRow { strength, ..row(delta, change.norm) }),
            }
            layers.extend(spectrum.map(|spectrum| HealthRow::new(delta, header, spectrum)));
            changes.push(change);
        }
        measured.groups.push(GroupMeasurements { group: index, numbers: group.numbers.clone(), changes });
        let Some(row) = measured.rows.last().filter(|_| known.is_none() && !deltas.is_empty()) else { continue };
        if on_progress(Progress::Layer { done, total, row }) == ControlFlow::Break(()) {
            measured.whole = done == total;
        }
    }
    measured.health = health(&layers, located.family);
    Ok(measured)
}

/// Adds all groups without reading tensors.
pub(super) fn unread(reader: &mut Reader<'_>, located: Located<'_>) {
    for (group, found) in located.groups.iter_mut().zip(located.layers) {
        skip(reader, group, *found);
    }
}

/// Adds a group with zeros in place of its scalar tensors.
fn skip(reader: &mut Reader<'_>, group: &mut Group, found: Option<ModuleMatch<'_>>) {
    group.numbers = group.lone_numbers().map(|(role, _)| (role, 0.0)).collect();
    reader.add(group, found);
}

/// Returns one row per layer from the header alone.
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
        algorithm: delta.algorithm.to_string(),
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
