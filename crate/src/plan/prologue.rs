//! Prologue fusion: group norms and matmuls read both inputs of a concatenation directly, and matmuls
//! apply a preceding layer norm within their kernel.

use super::{Plan, Source, Step, Value, ValueId};
use crate::ops::{Matmul, Op, Prologue};

impl Plan {
    /// Removes concatenations that only group norms and matmuls read: these read both inputs directly.
    pub(super) fn fuse_prologues(&mut self) {
        let mut index = 0;
        while index < self.steps.len() {
            let step = self.steps[index].clone();
            if matches!(step.op, Op::Concat(_)) && self.can_fuse_concat(&step) {
                self.steps.remove(index);
                for reader in self.steps.iter_mut().filter(|reader| reader.inputs[0] == step.output) {
                    reader.inputs[0] = step.inputs[0];
                    match &mut reader.op {
                        Op::GroupNorm(norm) => {
                            norm.concat = true;
                            reader.inputs.push(step.inputs[1]);
                        }
                        Op::Matmul(product) => {
                            reader.inputs.insert(product.prologue_start(), step.inputs[1]);
                            product.prologue = Prologue::Concat;
                        }
                        _ => unreachable!("checked by can_fuse_concat"),
                    }
                }
            } else {
                index += 1;
            }
        }
    }

    fn can_fuse_concat(&self, concat: &Step) -> bool {
        let is_aligned = self.value(concat.inputs[0]).shape.last().is_some_and(|width| width % 4 == 0);
        self.all_readers(concat.output, &|reader| match &reader.op {
            Op::GroupNorm(norm) => !norm.concat,
            Op::Matmul(product) => is_aligned && product.prologue == Prologue::None && self.is_aligned(reader),
            _ => false,
        })
    }

    /// Returns whether this value is not an output, and all steps that read it do so only as their first input and
    /// satisfy `predicate`.
    fn all_readers(&self, value: ValueId, predicate: &dyn Fn(&Step) -> bool) -> bool {
        let is_first = |step: &Step| step.inputs[0] == value && !step.inputs[1..].contains(&value);
        let mut readers = self.steps.iter().filter(|step| step.inputs.contains(&value));
        !self.outputs.iter().any(|(_, output)| *output == value)
            && readers.all(|step| is_first(step) && predicate(step))
    }

    /// Fuses layer norms into the matmuls that follow. Each fused matmul needs two small products of
    /// weights only, of the norm's scale and of its shift with the matrix, so this is meant for plans
    /// that are then [`Plan::hoisted`], which computes them once per image.
    pub fn fuse_layer_norms(mut self) -> Plan {
        let mut index = 0;
        while index < self.steps.len() {
            let step = self.steps[index].clone();
            let Op::LayerNorm(norm) = step.op else {
                index += 1;
                continue;
            };
            let can_fuse = |reader: &Step| match &reader.op {
                Op::Matmul(op) => op.transpose_b && op.prologue == Prologue::None && self.is_aligned(reader),
                _ => false,
            };
            if !self.all_readers(step.output, &can_fuse) {
                index += 1;
                continue;
            }
            self.steps.remove(index);
            let mut at = index;
            while at < self.steps.len() {
                if self.steps[at].inputs[0] == step.output {
                    at = self.fuse_layer_norm(at, &step, norm.eps);
                }
                at += 1;
            }
        }
        self.compact()
    }

    /// Fuses a layer norm into the matmul at index `at`; returns the matmul's new index.
    fn fuse_layer_norm(&mut self, at: usize, norm: &Step, eps: f32) -> usize {
        let mut product = self.steps[at].clone();
        let Op::Matmul(op) = &mut product.op else { unreachable!("checked by the caller") };
        let (scale, shift, matrix) = (norm.inputs[1], norm.inputs[2], product.inputs[1]);
        let plain = Matmul { transpose_b: true, ..Default::default() };
        let scale_sums = self.insert_matvec(at, plain, vec![scale, matrix], format!("{}.scale", product.label));
        let mut inputs = vec![shift, matrix];
        if op.bias {
            inputs.push(product.inputs.remove(2));
        }
        let with_bias = Matmul { bias: op.bias, ..plain };
        let bias = self.insert_matvec(at + 1, with_bias, inputs, format!("{}.shift", product.label));
        op.bias = true;
        op.prologue = Prologue::LayerNorm { eps };
        product.inputs[0] = norm.inputs[0];
        product.inputs.splice(2..2, [bias, scale, scale_sums]);
        self.steps[at + 2] = product;
        at + 2
    }

    /// Inserts a vector-matrix product at index `at`; returns its output.
    fn insert_matvec(&mut self, at: usize, op: Matmul, inputs: Vec<ValueId>, label: String) -> ValueId {
        let columns = self.value(inputs[1]).shape[0];
        self.values.push(Value { shape: vec![columns], source: Source::Step(at) });
        let output = ValueId(self.values.len() - 1);
        self.steps.insert(at, Step { op: op.into(), inputs, output, label });
        output
    }
}
