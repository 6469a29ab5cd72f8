//! Strip mining: computes feature maps that are too large for one binding in strips of rows, each in a
//! separate buffer.
//!
//! A convolution reads halo rows from the strips above and below, and a group norm uses mean and
//! variance over all strips, so the result is seamless. A map with a single reader is computed strip by
//! strip on demand and never stored as a whole.

use super::{Plan, PlanError, Source, Step, Value, ValueId};
use crate::num::to_index;
use crate::ops::{
    Add, Broadcast, Conv2d, GroupNorm, MAX_PARTS, Moments, Normalize, Op, ProductOperands, Rows, Upsample,
};
use std::collections::HashMap;
use std::ops::Range;

/// Maximum halo rows of a strip in a convolution: one on each side, and one more on each side if the
/// rows were doubled by upsampling.
const HALO: u64 = 4;

/// A buffer with some rows of a feature map.
#[derive(Debug, Clone)]
struct Strip {
    id: ValueId,
    /// Row of the map at which the buffer starts.
    first: usize,
    /// Rows of the map that are valid; other rows in the buffer are not.
    rows: Range<usize>,
}

struct StripMiner<'a> {
    old: &'a Plan,
    new: Plan,
    /// Strips of each old tensor; None for tensors that are computed on demand.
    strips: Vec<Option<Vec<Strip>>>,
    /// Moments of each group norm's input, keyed by the norm's output.
    moments: HashMap<ValueId, ValueId>,
    /// Rows of a strip as a fraction of the map's rows.
    fraction: f64,
}

impl Plan {
    /// Splits temporaries of more than `limit` elements into strips of rows; returns an error if a map
    /// cannot be split. Inputs, weights and outputs stay whole.
    pub fn strip_mined(self, limit: u64) -> Result<Plan, PlanError> {
        let maps: Vec<&Value> = self.values.iter().filter(|value| value.shape.len() == 4).collect();
        if maps.iter().all(|value| value.numel() <= limit) {
            return Ok(self);
        }
        let fraction = |value: &&Value| {
            let height = value.shape[1].max(1) as u64;
            let rows = (limit / (value.numel() / height).max(1)).saturating_sub(HALO);
            rows as f64 / height as f64
        };
        let fraction = maps.iter().map(fraction).fold(1.0, f64::min);
        let mut uses = vec![0; self.values.len()];
        self.steps.iter().flat_map(|step| &step.inputs).for_each(|id| uses[id.0] += 1);
        self.outputs.iter().for_each(|(_, id)| uses[id.0] += 2);
        let mut is_normed = vec![false; self.values.len()];
        for step in &self.steps {
            if let Op::GroupNorm(norm) = step.op
                && let Some(operands) = norm.operands(&step.inputs)
            {
                is_normed[operands.x.0] = true;
            }
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
        let mut keep_given = |value: &Value| {
            let is_given = !matches!(value.source, Source::Step(_));
            is_given.then(|| {
                new.values.push(value.clone());
                vec![Strip { id: ValueId(new.values.len() - 1), first: 0, rows: 0..height(value) }]
            })
        };
        let strips = self.values.iter().map(&mut keep_given).collect();
        let mut miner = StripMiner { old: &self, new, strips, moments: HashMap::new(), fraction };
        for step in &self.steps {
            let value = self.value(step.output);
            let is_whole = step.inputs.iter().all(|&id| miner.is_whole(id));
            if is_whole && value.numel() <= limit {
                let inputs: Vec<ValueId> = step.inputs.iter().map(|&id| miner.new_id(id)).collect();
                let id = miner.push(step.op.clone(), &inputs, value.shape.clone(), &step.label);
                miner.set_strips(step.output, vec![Strip { id, first: 0, rows: 0..height(value) }]);
                continue;
            }
            if let Op::GroupNorm(norm) = step.op {
                miner.accumulate_moments(step, norm)?;
            }
            let is_on_demand = uses[step.output.0] == 1 && !is_normed[step.output.0] && value.numel() > limit;
            if !is_on_demand {
                miner.materialize(step, limit)?;
            }
        }
        let StripMiner { mut new, strips, .. } = miner;
        for (name, id) in &self.outputs {
            match strips[id.0].as_deref() {
                Some([strip]) => new.outputs.push((name.clone(), strip.id)),
                _ => {
                    return Err(PlanError::Size {
                        what: format!("the output `{name}`"),
                        wanted: format!("at most {limit} elements on this device"),
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

impl StripMiner<'_> {
    fn set_strips(&mut self, id: ValueId, strips: Vec<Strip>) {
        self.strips[id.0] = Some(strips);
    }

    fn is_whole(&self, id: ValueId) -> bool {
        self.strips[id.0].as_ref().is_some_and(|strips| strips.len() == 1)
    }

    fn new_id(&self, id: ValueId) -> ValueId {
        self.strips[id.0].as_ref().map_or(id, |strips| strips[0].id)
    }

    fn push(&mut self, op: Op, inputs: &[ValueId], shape: Vec<usize>, label: &str) -> ValueId {
        self.new.values.push(Value { shape, source: Source::Step(self.new.steps.len()) });
        let output = ValueId(self.new.values.len() - 1);
        self.new.steps.push(Step { op, inputs: inputs.to_vec(), output, label: label.into() });
        output
    }

    /// Appends an operation on strips and infers its output's shape.
    fn push_inferred(&mut self, op: impl Into<Op>, inputs: &[ValueId], label: &str) -> Result<ValueId, PlanError> {
        let op = op.into();
        let shapes: Vec<&[usize]> = inputs.iter().map(|&id| self.new.value(id).shape.as_slice()).collect();
        let shape = op.get().shape(&shapes).map_err(|source| PlanError::Shape { label: label.into(), source })?;
        Ok(self.push(op, inputs, shape, label))
    }

    /// Computes a group norm's statistics over all strips of its input.
    fn accumulate_moments(&mut self, step: &Step, norm: GroupNorm) -> Result<(), PlanError> {
        let operands = norm.operands(&step.inputs).ok_or_else(|| not_splittable(step))?;
        let strips = self.strips[operands.x.0].clone().unwrap_or_default();
        let mut moments: Option<ValueId> = None;
        for Strip { id, first, rows } in strips {
            let inputs: Vec<ValueId> = [id].into_iter().chain(moments).collect();
            let op = Moments { groups: norm.groups, start: rows.start - first, count: rows.len() };
            moments = Some(self.push_inferred(op, &inputs, &step.label)?);
        }
        if let Some(moments) = moments {
            self.moments.insert(step.output, moments);
        }
        Ok(())
    }

    /// Computes a step's whole output, strip by strip; concatenates the strips if the result is small enough.
    fn materialize(&mut self, step: &Step, limit: u64) -> Result<(), PlanError> {
        let value = self.old.value(step.output);
        let height = height(value);
        if height == 0 {
            return Err(not_splittable(step));
        }
        let rows = to_index(height as f64 * self.fraction).max(1);
        let mut strips = Vec::new();
        for start in (0..height).step_by(rows) {
            strips.push(self.compute(step, start..(start + rows).min(height))?);
        }
        let is_exact = |new: &Plan, strips: &[Strip]| strips.len() == 1 && new.value(strips[0].id).shape == value.shape;
        while value.numel() <= limit && !is_exact(&self.new, &strips) {
            let mut concatenated = Vec::new();
            for chunk in strips.chunks(MAX_PARTS) {
                concatenated.push(self.concat_strips(chunk, &step.label)?);
            }
            strips = concatenated;
        }
        self.set_strips(step.output, strips);
        Ok(())
    }

    /// Concatenates adjacent strips.
    fn concat_strips(&mut self, strips: &[Strip], label: &str) -> Result<Strip, PlanError> {
        let rows = strips[0].rows.start..strips[strips.len() - 1].rows.end;
        let parts = strips.iter().map(|strip| (strip.rows.start - strip.first, strip.rows.len())).collect();
        let ids: Vec<ValueId> = strips.iter().map(|strip| strip.id).collect();
        Ok(Strip { id: self.push_inferred(Rows { parts }, &ids, label)?, first: rows.start, rows })
    }

    /// Returns a buffer that contains these rows of an old tensor, and possibly others.
    fn rows(&mut self, id: ValueId, range: Range<usize>, label: &str) -> Result<Strip, PlanError> {
        let Some(strips) = &self.strips[id.0] else {
            let old = self.old;
            let Source::Step(step) = old.value(id).source else {
                return Err(PlanError::Missing { plan: old.name.clone(), name: old.display_name(id) });
            };
            return self.compute(&old.steps[step], range);
        };
        let overlap = |strip: &Strip| strip.rows.start.max(range.start)..strip.rows.end.min(range.end);
        let cut = |strip: &Strip| Strip { rows: overlap(strip), ..strip.clone() };
        let needed: Vec<Strip> = strips.iter().map(cut).filter(|strip| !strip.rows.is_empty()).collect();
        match needed.as_slice() {
            [one] if one.first == range.start && self.new.value(one.id).shape[1] == range.len() => Ok(one.clone()),
            several => self.concat_strips(several, label),
        }
    }

    /// Returns a buffer that contains exactly these rows.
    fn exact_rows(&mut self, id: ValueId, range: Range<usize>, label: &str) -> Result<Strip, PlanError> {
        let strip = self.rows(id, range.clone(), label)?;
        match strip.first == range.start && self.new.value(strip.id).shape[1] == range.len() {
            true => Ok(strip),
            false => self.concat_strips(&[Strip { rows: range, ..strip }], label),
        }
    }

    /// Computes these rows of a step's output.
    fn compute(&mut self, step: &Step, rows: Range<usize>) -> Result<Strip, PlanError> {
        let label = step.label.as_str();
        let (op, from, others): (Op, Strip, Vec<ValueId>) = match (&step.op, step.inputs.as_slice()) {
            (Op::Conv2d(conv), inputs) => {
                let operands = conv.operands(inputs).ok_or_else(|| not_splittable(step))?;
                return self.convolve(step, conv, operands, rows);
            }
            (Op::Upsample(up), &[x]) if up.height.is_multiple_of(self.old.value(x).shape[1]) => {
                let factor = up.height / self.old.value(x).shape[1];
                let from = self.rows(x, rows.start / factor..rows.end.div_ceil(factor), label)?;
                let height = self.new.value(from.id).shape[1] * factor;
                let id = self.push_inferred(Upsample { height, ..*up }, &[from.id], label)?;
                return Ok(Strip { id, first: from.first * factor, rows });
            }
            (Op::GroupNorm(norm), inputs) => {
                let operands = norm.operands(inputs).ok_or_else(|| not_splittable(step))?;
                let moments = self.moments.get(&step.output).copied().ok_or_else(|| not_splittable(step))?;
                let others = vec![moments, self.new_id(operands.weight), self.new_id(operands.bias)];
                let op = Normalize { eps: norm.eps, silu: norm.silu };
                (op.into(), self.rows(operands.x, rows.clone(), label)?, others)
            }
            (Op::PixelShuffle(shuffle), &[x]) if !shuffle.inverse => {
                let factor = shuffle.factor;
                let from = self.rows(x, rows.start / factor..rows.end.div_ceil(factor), label)?;
                let id = self.push_inferred(*shuffle, &[from.id], label)?;
                return Ok(Strip { id, first: from.first * factor, rows });
            }
            (Op::Add(Add { broadcast: Broadcast::None }) | Op::Axpy(_) | Op::Concat(_), &[a, b]) => {
                let from = self.exact_rows(a, rows.clone(), label)?;
                (step.op.clone(), from, vec![self.exact_rows(b, rows.clone(), label)?.id])
            }
            (Op::Add(_) | Op::Matmul(_) | Op::Prelu(_) | Op::Unary(_), &[x, ref others @ ..]) => {
                let others = others.iter().map(|&id| self.new_id(id)).collect();
                (step.op.clone(), self.rows(x, rows.clone(), label)?, others)
            }
            _ => return Err(not_splittable(step)),
        };
        let inputs: Vec<ValueId> = [from.id].into_iter().chain(others).collect();
        Ok(Strip { id: self.push_inferred(op, &inputs, label)?, first: from.first, rows })
    }

    /// Computes rows of a convolution's output. The operation pads each buffer as if it were the whole
    /// map; the rows that this makes invalid are outside the strip's `rows`.
    fn convolve(
        &mut self,
        step: &Step,
        conv: &Conv2d,
        operands: ProductOperands<ValueId>,
        rows: Range<usize>,
    ) -> Result<Strip, PlanError> {
        let height = self.old.value(operands.x).shape[1];
        let stride = conv.stride;
        // A buffer must start at the first input row of an output row.
        let start = (rows.start * stride).saturating_sub(conv.padding) / stride * stride;
        let end = ((rows.end - 1) * stride + conv.kernel).saturating_sub(conv.padding).min(height);
        let from = match stride {
            1 => self.rows(operands.x, start..end, &step.label)?,
            _ => self.exact_rows(operands.x, start..end, &step.label)?,
        };
        let strip = ProductOperands { x: from.id, ..operands.map(|id| self.new_id(id)) };
        Ok(Strip { id: self.push_inferred(*conv, &strip.list(), &step.label)?, first: from.first / stride, rows })
    }
}

fn not_splittable(step: &Step) -> PlanError {
    PlanError::Size {
        what: format!("the feature map of `{}`", step.label),
        wanted: format!("small enough for one GPU binding (`{}` cannot be split into strips of rows)", step.op),
        found: "larger: choose a smaller image".into(),
    }
}
