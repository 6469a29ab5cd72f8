//! Turns calls in network order into a plan, checking every shape as it goes.

use super::{Layout, Plan, PlanError, ScalarId, Source, Step, Value, ValueId};
use crate::model::{Kind, Module};
use crate::ops::{Conv2d, GroupNorm, LayerNorm, Matmul, Op};

/// A plan in the making.
#[derive(Debug)]
pub struct Builder {
    plan: Plan,
    component: String,
}

impl Builder {
    /// An empty plan.
    pub fn new(name: &str) -> Builder {
        Builder::for_component(name, "")
    }

    /// An empty plan whose modules' weights are named `component.path.weight`.
    pub fn for_component(name: &str, component: &str) -> Builder {
        let plan = Plan {
            name: name.into(),
            values: Vec::new(),
            steps: Vec::new(),
            scalars: Vec::new(),
            outputs: Vec::new(),
            allows_f16_math: false,
            allows_winograd: false,
        };
        Builder { plan, component: component.into() }
    }

    fn add(&mut self, shape: &[usize], source: Source) -> ValueId {
        if let Some(known) = self.plan.values.iter().position(|value| value.source == source) {
            return ValueId(known);
        }
        self.plan.values.push(Value { shape: shape.to_vec(), source });
        ValueId(self.plan.values.len() - 1)
    }

    /// A tensor given at each run.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        self.add(shape, Source::Input(name.into()))
    }

    /// A resident tensor; `shape` is the plan's view of it, which may be flatter than the file's.
    pub fn weight(&mut self, name: &str, shape: &[usize], layout: Layout) -> ValueId {
        self.add(shape, Source::Weight { name: name.into(), layout })
    }

    /// A number given at each run; the same name is the same number.
    pub fn scalar(&mut self, name: &str) -> ScalarId {
        let scalars = &mut self.plan.scalars;
        let index = scalars.iter().position(|known| known == name).unwrap_or_else(|| {
            scalars.push(name.into());
            scalars.len() - 1
        });
        ScalarId(index)
    }

    /// One operation; its output's shape follows from the inputs'.
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[ValueId], label: &str) -> Result<ValueId, PlanError> {
        let op = op.into();
        let shapes: Vec<&[usize]> = inputs.iter().map(|&id| self.shape(id)).collect();
        let shape = op.get().shape(&shapes).map_err(|source| PlanError::Shape { label: label.into(), source })?;
        self.plan.values.push(Value { shape, source: Source::Step(self.plan.steps.len()) });
        let output = ValueId(self.plan.values.len() - 1);
        self.plan.steps.push(Step { op, inputs: inputs.to_vec(), output, label: label.into() });
        Ok(output)
    }

    /// Names a tensor that outlives the run.
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.plan.outputs.push((name.into(), value));
    }

    /// Shape of a tensor so far.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.plan.value(id).shape
    }

    /// The finished plan.
    pub fn finish(self) -> Plan {
        self.plan
    }

    /// The module's weight as the plan reads it, and its bias where it has one.
    fn parameters(&mut self, module: &Module) -> Vec<ValueId> {
        let name = |part: &str| format!("{}.{}.{part}", self.component, module.path);
        let (weight, bias) = (name("weight"), name("bias"));
        let shape = match module.kind {
            Kind::Conv { inputs, outputs, kernel, .. } => vec![outputs, kernel * kernel * inputs],
            _ => module.weight_shape(),
        };
        let mut list = vec![self.weight(&weight, &shape, Layout::Ohwi)];
        if module.bias {
            list.push(self.weight(&bias, &[module.bias_len()], Layout::Plain));
        }
        list
    }

    /// A weight of the module read as it is: an embedding table.
    pub fn table(&mut self, module: &Module) -> ValueId {
        self.weight(&format!("{}.{}.weight", self.component, module.path), &module.weight_shape(), Layout::Plain)
    }

    /// Applies a layer: a linear layer or 1x1 convolution as a matmul, a larger convolution, a norm.
    pub fn module(&mut self, module: &Module, x: ValueId) -> Result<ValueId, PlanError> {
        let op: Op = match module.kind {
            Kind::Linear { .. } | Kind::Conv { kernel: 1, .. } => {
                Matmul { transpose_b: true, bias: module.bias, ..Default::default() }.into()
            }
            Kind::Conv { kernel, stride, padding, .. } => {
                Conv2d { kernel, stride, padding, bias: module.bias, ..Default::default() }.into()
            }
            Kind::LayerNorm { eps, .. } => LayerNorm { eps }.into(),
            Kind::GroupNorm { groups, eps, .. } => GroupNorm { groups, eps, silu: false, concat: false }.into(),
            Kind::Embedding { rows, width } => {
                return Err(PlanError::Size {
                    what: format!("`{}`", module.path),
                    wanted: "a layer that computes".into(),
                    found: format!("a table of {rows} rows of {width}"),
                });
            }
        };
        self.with_parameters(op, module, x)
    }

    /// A convolution without padding but for `extra` zeros below and to the right.
    pub fn convolve_from_corner(&mut self, module: &Module, x: ValueId, extra: usize) -> Result<ValueId, PlanError> {
        match module.kind {
            Kind::Conv { kernel, stride, .. } => {
                let op = Conv2d { kernel, stride, padding: 0, pad_end: extra, bias: module.bias, ..Default::default() };
                self.with_parameters(op.into(), module, x)
            }
            _ => self.module(module, x),
        }
    }

    /// A group norm with SiLU after it.
    pub fn norm_silu(&mut self, module: &Module, x: ValueId) -> Result<ValueId, PlanError> {
        match module.kind {
            Kind::GroupNorm { groups, eps, .. } => {
                self.with_parameters(GroupNorm { groups, eps, silu: true, concat: false }.into(), module, x)
            }
            _ => self.module(module, x),
        }
    }

    fn with_parameters(&mut self, op: Op, module: &Module, x: ValueId) -> Result<ValueId, PlanError> {
        let mut inputs = vec![x];
        inputs.extend(self.parameters(module));
        self.push(op, &inputs, &module.path)
    }
}
