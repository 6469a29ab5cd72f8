//! Turns a plan into one whose products and norms read two maps in place of their concatenation,
//! and whose products take a layer norm before them into their own kernel.

use super::{Plan, Source, Step, Value, ValueId};
use crate::ops::{Prologue, Matmul, Op};

impl Plan {
    /// Maps that only group norms and products read are not put together: these read both.
    pub(super) fn fuse_prologues(&mut self) {
        let mut index = 0;
        while index < self.steps.len() {
            let step = self.steps[index].clone();
            if matches!(step.op, Op::Concat(_)) && self.is_read_in_place(&step) {
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
                        _ => unreachable!("others are not read in place"),
                    }
                }
            } else {
                index += 1;
            }
        }
    }

    fn is_read_in_place(&self, concat: &Step) -> bool {
        let is_whole = self.value(concat.inputs[0]).shape.last().is_some_and(|width| width % 4 == 0);
        self.are_all_readers(concat.output, &|reader| match &reader.op {
            Op::GroupNorm(norm) => !norm.concat,
            Op::Matmul(product) => is_whole && product.prologue == Prologue::None && self.is_aligned(reader),
            _ => false,
        })
    }

    /// Whether this value is no output, and all who read it do so as their first input and are such.
    fn are_all_readers(&self, value: ValueId, is_such: &dyn Fn(&Step) -> bool) -> bool {
        let is_first = |step: &Step| step.inputs[0] == value && !step.inputs[1..].contains(&value);
        let mut readers = self.steps.iter().filter(|step| step.inputs.contains(&value));
        !self.outputs.iter().any(|(_, output)| *output == value) && readers.all(|step| is_first(step) && is_such(step))
    }

    /// The same plan with layer norms in the kernels of the products after them. Each such product
    /// needs two small ones of weights alone, the norm's scale and its shift with the matrix: for
    /// networks that are [`Plan::hoisted`], which forms these once a picture.
    pub fn normed(mut self) -> Plan {
        let mut index = 0;
        while index < self.steps.len() {
            let step = self.steps[index].clone();
            let Op::LayerNorm(norm) = step.op else {
                index += 1;
                continue;
            };
            let is_such = |reader: &Step| match &reader.op {
                Op::Matmul(op) => op.transpose_b && op.prologue == Prologue::None && self.is_aligned(reader),
                _ => false,
            };
            if !self.are_all_readers(step.output, &is_such) {
                index += 1;
                continue;
            }
            self.steps.remove(index);
            let mut at = index;
            while at < self.steps.len() {
                if self.steps[at].inputs[0] == step.output {
                    at = self.take_in(at, &step, norm.eps);
                }
                at += 1;
            }
        }
        self.compact()
    }

    /// Takes a layer norm into the product at `at`, which moves to the returned place.
    fn take_in(&mut self, at: usize, norm: &Step, eps: f32) -> usize {
        let mut product = self.steps[at].clone();
        let Op::Matmul(op) = &mut product.op else { unreachable!("a product was asked for") };
        let (scale, shift, matrix) = (norm.inputs[1], norm.inputs[2], product.inputs[1]);
        let plain = Matmul { transpose_b: true, ..Default::default() };
        let sums = self.insert(at, plain, vec![scale, matrix], format!("{}.scale", product.label));
        let mut inputs = vec![shift, matrix];
        if op.bias {
            inputs.push(product.inputs.remove(2));
        }
        let own = Matmul { bias: op.bias, ..plain };
        let bias = self.insert(at + 1, own, inputs, format!("{}.shift", product.label));
        op.bias = true;
        op.prologue = Prologue::LayerNorm { eps };
        product.inputs[0] = norm.inputs[0];
        product.inputs.splice(2..2, [bias, scale, sums]);
        self.steps[at + 2] = product;
        at + 2
    }

    /// Inserts a product of a vector with a matrix's rows; returns what it forms.
    fn insert(&mut self, at: usize, op: Matmul, inputs: Vec<ValueId>, label: String) -> ValueId {
        let columns = self.value(inputs[1]).shape[0];
        self.values.push(Value { shape: vec![columns], source: Source::Step(at) });
        let output = ValueId(self.values.len() - 1);
        self.steps.insert(at, Step { op: op.into(), inputs, output, label });
        output
    }
}
