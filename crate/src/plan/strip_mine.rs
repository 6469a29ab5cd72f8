//! Turns a plan whose maps are too large for one binding into one that computes the same in strips
//! of rows, each in its own buffer.
//!
//! A convolution takes the rows beside a strip from the strips above and below, and a group norm
//! takes mean and variance over all strips, so that nothing tells where one strip ends. What only
//! one step reads is formed strip by strip as that step asks for it, and never lies there whole.

use super::{Plan, PlanError, Source, Step, Value, ValueId};
use crate::num::to_index;
use crate::ops::{Broadcast, Conv2d, GroupNorm, MAX_PARTS, Moments, Normalize, Op, Rows, Upsample};
use std::collections::HashMap;
use std::ops::Range;

/// Rows beyond its own that a strip may need on its way through a convolution: one at each side, and
/// one more at each side where the rows were doubled.
const HALO: u64 = 4;

/// A buffer with some rows of a map.
#[derive(Debug, Clone)]
struct Strip {
    id: ValueId,
    /// The map's row that the buffer begins with.
    first: usize,
    /// The map's rows that are right; others in the buffer are not.
    rows: Range<usize>,
}

struct Strips<'a> {
    old: &'a Plan,
    new: Plan,
    /// What stands for each old tensor; None for those that are formed when they are asked for.
    made: Vec<Option<Vec<Strip>>>,
    /// Moments of each group norm's input, by the norm's output.
    moments: HashMap<ValueId, ValueId>,
    /// Rows of a strip as a share of the map's.
    share: f64,
}

impl Plan {
    /// The same plan with no temporary of more than `limit` numbers, where maps can be cut into rows
    /// of that size at all. Inputs, weights and outputs stay whole.
    pub fn strip_mined(self, limit: u64) -> Result<Plan, PlanError> {
        let maps: Vec<&Value> = self.values.iter().filter(|value| value.shape.len() == 4).collect();
        if maps.iter().all(|value| value.numel() <= limit) {
            return Ok(self);
        }
        let share = |value: &&Value| {
            let height = value.shape[1].max(1) as u64;
            let rows = (limit / (value.numel() / height).max(1)).saturating_sub(HALO);
            rows as f64 / height as f64
        };
        let share = maps.iter().map(share).fold(1.0, f64::min);
        let mut uses = vec![0; self.values.len()];
        self.steps.iter().flat_map(|step| &step.inputs).for_each(|id| uses[id.0] += 1);
        self.outputs.iter().for_each(|(_, id)| uses[id.0] += 2);
        let mut is_normed = vec![false; self.values.len()];
        for step in self.steps.iter().filter(|step| matches!(step.op, Op::GroupNorm(_))) {
            is_normed[step.inputs[0].0] = true;
        }

        let mut new = Plan {
            name: self.name.clone(),
            values: Vec::new(),
            steps: Vec::new(),
            scalars: self.scalars.clone(),
            outputs: Vec::new(),
            allows_f16_math: self.allows_f16_math,
            allows_winograd: self.allows_winograd,
        };
        let mut given = |value: &Value| {
            let is_given = !matches!(value.source, Source::Step(_));
            is_given.then(|| {
                new.values.push(value.clone());
                vec![Strip { id: ValueId(new.values.len() - 1), first: 0, rows: 0..height(value) }]
            })
        };
        let made = self.values.iter().map(&mut given).collect();
        let mut strips = Strips { old: &self, new, made, moments: HashMap::new(), share };
        for step in &self.steps {
            let value = self.value(step.output);
            let is_whole = step.inputs.iter().all(|&id| strips.is_whole(id));
            if is_whole && value.numel() <= limit {
                let inputs: Vec<ValueId> = step.inputs.iter().map(|&id| strips.whole(id)).collect();
                let id = strips.push(step.op.clone(), &inputs, value.shape.clone(), &step.label);
                strips.keep(step.output, vec![Strip { id, first: 0, rows: 0..height(value) }]);
                continue;
            }
            if let Op::GroupNorm(norm) = step.op {
                strips.accumulate_moments(step, norm)?;
            }
            let is_passing = uses[step.output.0] == 1 && !is_normed[step.output.0] && value.numel() > limit;
            if !is_passing {
                strips.materialize(step, limit)?;
            }
        }
        let Strips { mut new, made, .. } = strips;
        for (name, id) in &self.outputs {
            match made[id.0].as_deref() {
                Some([strip]) => new.outputs.push((name.clone(), strip.id)),
                _ => {
                    return Err(PlanError::Size {
                        what: format!("the output `{name}`"),
                        wanted: format!("at most {limit} numbers on this device"),
                        found: self.value(*id).numel().to_string(),
                    });
                }
            }
        }
        Ok(new)
    }
}

fn height(value: &Value) -> usize {
    if value.shape.len() == 4 { value.shape[1] } else { 0 }
}

impl Strips<'_> {
    fn keep(&mut self, id: ValueId, strips: Vec<Strip>) {
        self.made[id.0] = Some(strips);
    }

    fn is_whole(&self, id: ValueId) -> bool {
        self.made[id.0].as_ref().is_some_and(|strips| strips.len() == 1)
    }

    fn whole(&self, id: ValueId) -> ValueId {
        self.made[id.0].as_ref().map_or(id, |strips| strips[0].id)
    }

    fn push(&mut self, op: Op, inputs: &[ValueId], shape: Vec<usize>, label: &str) -> ValueId {
        self.new.values.push(Value { shape, source: Source::Step(self.new.steps.len()) });
        let output = ValueId(self.new.values.len() - 1);
        self.new.steps.push(Step { op, inputs: inputs.to_vec(), output, label: label.into() });
        output
    }

    /// An operation on some rows: its shape follows from its inputs'.
    fn on_rows(&mut self, op: impl Into<Op>, inputs: &[ValueId], label: &str) -> Result<ValueId, PlanError> {
        let op = op.into();
        let shapes: Vec<&[usize]> = inputs.iter().map(|&id| self.new.value(id).shape.as_slice()).collect();
        let shape = op.get().shape(&shapes).map_err(|source| PlanError::Shape { label: label.into(), source })?;
        Ok(self.push(op, inputs, shape, label))
    }

    /// A group norm's statistics over all strips of its input.
    fn accumulate_moments(&mut self, step: &Step, norm: GroupNorm) -> Result<(), PlanError> {
        let strips = self.made[step.inputs[0].0].clone().unwrap_or_default();
        let mut so_far: Option<ValueId> = None;
        for Strip { id, first, rows } in strips {
            let inputs: Vec<ValueId> = [id].into_iter().chain(so_far).collect();
            let op = Moments { groups: norm.groups, start: rows.start - first, count: rows.len() };
            so_far = Some(self.on_rows(op, &inputs, &step.label)?);
        }
        if let Some(moments) = so_far {
            self.moments.insert(step.output, moments);
        }
        Ok(())
    }

    /// All of a step's output, strip by strip; put together where it is small enough.
    fn materialize(&mut self, step: &Step, limit: u64) -> Result<(), PlanError> {
        let value = self.old.value(step.output);
        let height = height(value);
        if height == 0 {
            return Err(unsplit(step));
        }
        let rows = to_index(height as f64 * self.share).max(1);
        let mut strips = Vec::new();
        for start in (0..height).step_by(rows) {
            strips.push(self.compute(step, start..(start + rows).min(height))?);
        }
        let is_exact = |new: &Plan, strips: &[Strip]| strips.len() == 1 && new.value(strips[0].id).shape == value.shape;
        while value.numel() <= limit && !is_exact(&self.new, &strips) {
            let mut joined = Vec::new();
            for some in strips.chunks(MAX_PARTS) {
                joined.push(self.join(some, &step.label)?);
            }
            strips = joined;
        }
        self.keep(step.output, strips);
        Ok(())
    }

    /// Neighbouring strips as one.
    fn join(&mut self, strips: &[Strip], label: &str) -> Result<Strip, PlanError> {
        let rows = strips[0].rows.start..strips[strips.len() - 1].rows.end;
        let parts = strips.iter().map(|strip| (strip.rows.start - strip.first, strip.rows.len())).collect();
        let ids: Vec<ValueId> = strips.iter().map(|strip| strip.id).collect();
        Ok(Strip { id: self.on_rows(Rows { parts }, &ids, label)?, first: rows.start, rows })
    }

    /// A buffer that holds these rows of an old tensor, and perhaps others.
    fn rows(&mut self, id: ValueId, wanted: Range<usize>, label: &str) -> Result<Strip, PlanError> {
        let Some(strips) = &self.made[id.0] else {
            let old = self.old;
            let Source::Step(step) = old.value(id).source else { unreachable!("what is given is there") };
            return self.compute(&old.steps[step], wanted);
        };
        let overlap = |strip: &Strip| strip.rows.start.max(wanted.start)..strip.rows.end.min(wanted.end);
        let cut = |strip: &Strip| Strip { rows: overlap(strip), ..strip.clone() };
        let needed: Vec<Strip> = strips.iter().map(cut).filter(|strip| !strip.rows.is_empty()).collect();
        match needed.as_slice() {
            [one] if one.first == wanted.start && self.new.value(one.id).shape[1] == wanted.len() => Ok(one.clone()),
            some => self.join(some, label),
        }
    }

    /// The same with a buffer that holds nothing else.
    fn exactly(&mut self, id: ValueId, wanted: Range<usize>, label: &str) -> Result<Strip, PlanError> {
        let strip = self.rows(id, wanted.clone(), label)?;
        match strip.first == wanted.start && self.new.value(strip.id).shape[1] == wanted.len() {
            true => Ok(strip),
            false => self.join(&[Strip { rows: wanted, ..strip }], label),
        }
    }

    /// These rows of a step's output.
    fn compute(&mut self, step: &Step, rows: Range<usize>) -> Result<Strip, PlanError> {
        let (label, input) = (step.label.as_str(), step.inputs[0]);
        let taken = &self.old.value(input).shape;
        let mut others: Vec<ValueId> = step.inputs[1..].iter().map(|&id| self.whole(id)).collect();
        let (op, from): (Op, Strip) = match &step.op {
            Op::Conv2d(conv) => return self.convolve(step, conv, rows),
            Op::Upsample(up) if up.height % taken[1] == 0 => {
                let factor = up.height / taken[1];
                let from = self.rows(input, rows.start / factor..rows.end.div_ceil(factor), label)?;
                let height = self.new.value(from.id).shape[1] * factor;
                let id = self.on_rows(Upsample { height, ..*up }, &[from.id], label)?;
                return Ok(Strip { id, first: from.first * factor, rows });
            }
            Op::GroupNorm(norm) => {
                others.insert(0, self.moments.get(&step.output).copied().ok_or_else(|| unsplit(step))?);
                (Normalize { eps: norm.eps, silu: norm.silu }.into(), self.rows(input, rows.clone(), label)?)
            }
            Op::Add(add) if add.broadcast == Broadcast::None => {
                let first = self.exactly(input, rows.clone(), label)?;
                others = vec![self.exactly(step.inputs[1], rows.clone(), label)?.id];
                (step.op.clone(), first)
            }
            Op::Add(_) | Op::Matmul(_) | Op::Unary(_) => (step.op.clone(), self.rows(input, rows.clone(), label)?),
            _ => return Err(unsplit(step)),
        };
        let inputs: Vec<ValueId> = [from.id].into_iter().chain(others).collect();
        Ok(Strip { id: self.on_rows(op, &inputs, label)?, first: from.first, rows })
    }

    /// A convolution pads each buffer as if it were the whole map; rows that come out wrong for that
    /// are not among those that count.
    fn convolve(&mut self, step: &Step, conv: &Conv2d, rows: Range<usize>) -> Result<Strip, PlanError> {
        let height = self.old.value(step.inputs[0]).shape[1];
        let stride = conv.stride;
        // A buffer begins at a row that an output's row begins at.
        let start = (rows.start * stride).saturating_sub(conv.padding) / stride * stride;
        let end = ((rows.end - 1) * stride + conv.kernel).saturating_sub(conv.padding).min(height);
        let from = match stride {
            1 => self.rows(step.inputs[0], start..end, &step.label)?,
            _ => self.exactly(step.inputs[0], start..end, &step.label)?,
        };
        let mut inputs = vec![from.id];
        inputs.extend(step.inputs[1..].iter().map(|&id| self.whole(id)));
        Ok(Strip { id: self.on_rows(*conv, &inputs, &step.label)?, first: from.first / stride, rows })
    }
}

fn unsplit(step: &Step) -> PlanError {
    PlanError::Size {
        what: format!("the map of `{}`", step.label),
        wanted: "small enough for one binding of the graphics processor, for it cannot be cut into rows".into(),
        found: format!("that of a {}", step.op),
    }
}
