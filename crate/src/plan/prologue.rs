//! Prologue fusion: group norms and matmuls read both inputs of a concatenation directly, and matmuls
//! apply a preceding layer norm within their kernel.

use super::product::Product;
use super::{Plan, Source, Step, Value, ValueId};
use crate::ops::{GroupNorm, LayerNorm, Matmul, NormOperands, Op, Prologue};

impl Plan {
    /// Removes concatenations that only group norms and matmuls read: these read both inputs directly.
    pub(super) fn fuse_prologues(&mut self) {
        let mut index = 0;
        while index < self.steps.len() {
            match self.fuse_concat(index) {
                Some(steps) => {
                    self.steps = steps;
                    self.steps.remove(index);
                }
                None => index += 1,
            }
        }
    }

    /// Returns the steps with those that read the concatenation at `index` reading its inputs instead; None if it is
    /// not a concatenation or one of them cannot.
    fn fuse_concat(&self, index: usize) -> Option<Vec<Step>> {
        let concat = &self.steps[index];
        let (Op::Concat(_), &[x, skip]) = (&concat.op, concat.inputs.as_slice()) else { return None };
        let is_aligned = self.value(x).shape.last().is_some_and(|width| width % 4 == 0);
        let fused = |reader: &Step| match reader.op {
            Op::GroupNorm(norm) if !norm.concat => {
                let norm_operands = norm.operands(&reader.inputs)?;
                let inputs = vec![x, norm_operands.weight, norm_operands.bias, skip];
                Some(Step { op: GroupNorm { concat: true, ..norm }.into(), inputs, ..reader.clone() })
            }
            Op::Matmul(op) if is_aligned && op.prologue == Prologue::None => {
                let mut product = Product::of(reader).filter(|product| self.is_aligned(product))?;
                product.operands.x = x;
                Some(product.with_skip(skip)?.in_step(reader))
            }
            _ => None,
        };
        if !self.is_only_read_as_first_input(concat.output) {
            return None;
        }
        let reads = |step: &Step| step.inputs.contains(&concat.output);
        self.steps.iter().map(|step| if reads(step) { fused(step) } else { Some(step.clone()) }).collect()
    }

    /// Returns whether this value is not an output, and all steps that read it do so only as their first input.
    fn is_only_read_as_first_input(&self, value: ValueId) -> bool {
        let reads_it_otherwise = |step: &Step| step.inputs.iter().skip(1).any(|&input| input == value);
        !self.outputs.iter().any(|(_, output)| *output == value) && !self.steps.iter().any(reads_it_otherwise)
    }

    /// Fuses layer norms into the matmuls that follow. Each fused matmul needs two small products of
    /// weights only, of the norm's scale and of its shift with the matrix, so this is meant for plans
    /// that are then [`Plan::hoist_invariant`], which computes them once per image.
    pub fn fuse_layer_norms(mut self) -> Plan {
        let mut index = 0;
        while index < self.steps.len() {
            let step = self.steps[index].clone();
            match step.op {
                Op::LayerNorm(norm) if self.can_fuse_layer_norm(&step) => {
                    self.steps.remove(index);
                    self.fuse_layer_norm(index, &step, norm);
                }
                _ => index += 1,
            }
        }
        self.compact()
    }

    /// Returns whether only linear layers with an aligned weight read the norm's output.
    fn can_fuse_layer_norm(&self, norm: &Step) -> bool {
        let is_fusible = |reader: &Step| {
            let product = Product::of(reader).filter(|product| self.is_aligned(product));
            product.is_some_and(|p| p.matmul().is_some_and(|op| op.transpose_b && op.prologue == Prologue::None))
        };
        self.is_only_read_as_first_input(norm.output)
            && self.steps.iter().filter(|step| step.inputs.contains(&norm.output)).all(is_fusible)
    }

    /// Fuses a layer norm into the matmuls from index `at` on that read its output.
    fn fuse_layer_norm(&mut self, mut at: usize, step: &Step, norm: LayerNorm) {
        let &[x, scale, shift] = step.inputs.as_slice() else { return };
        while at < self.steps.len() {
            let reader = self.steps[at].clone();
            let product = Product::of(&reader).filter(|product| product.operands.x == step.output);
            if let Some(mut product) = product {
                let (weight, bias) = (product.operands.weight, product.operands.bias);
                let scale_sums = self.insert_matvec(at, [scale, weight], None, format!("{}.scale", reader.label));
                let bias = self.insert_matvec(at + 1, [shift, weight], bias, format!("{}.shift", reader.label));
                at += 2;
                product.operands.x = x;
                if let Some(fused) = product.with_layer_norm(norm.eps, NormOperands { scale, scale_sums }, bias) {
                    self.steps[at] = fused.in_step(&reader);
                }
            }
            at += 1;
        }
    }

    /// Inserts the product of a vector and a matrix (N, K), plus a bias, at index `at`; returns its output.
    fn insert_matvec(
        &mut self,
        at: usize,
        [vector, matrix]: [ValueId; 2],
        bias: Option<ValueId>,
        label: String,
    ) -> ValueId {
        let columns = self.value(matrix).shape[0];
        self.values.push(Value { shape: vec![columns], source: Source::Step(at) });
        let output = ValueId(self.values.len() - 1);
        let op = Matmul { transpose_b: true, bias: bias.is_some(), ..Default::default() };
        let inputs = [vector, matrix].into_iter().chain(bias).collect();
        self.steps.insert(at, Step { op: op.into(), inputs, output, label });
        output
    }
}
