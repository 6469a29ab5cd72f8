//! Plan builder: appends operations in network order and infers their output shapes.

use super::{Layout, Plan, PlanError, ScalarId, Source, Step, Value, ValueId};
use crate::model::{Kind, Module};
use crate::ops::{Conv2d, GroupNorm, LayerNorm, Matmul, Op};

/// A plan under construction.
#[derive(Debug)]
pub struct Builder {
    plan: Plan,
    component: String,
}

impl Builder {
    /// Creates an empty plan.
    pub fn new(name: &str) -> Builder {
        Builder::for_component(name, "")
    }

    /// Creates an empty plan whose weights are named `component.path.weight`.
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
        if let Some(existing) = self.plan.values.iter().position(|value| value.source == source) {
            return ValueId(existing);
        }
        self.plan.values.push(Value { shape: shape.to_vec(), source });
        ValueId(self.plan.values.len() - 1)
    }

    /// Adds an input, set at each run.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        self.add(shape, Source::Input(name.into()))
    }

    /// Adds a resident weight; `shape` is the plan's view, which may have fewer axes than the file's tensor.
    pub fn weight(&mut self, name: &str, shape: &[usize], layout: Layout) -> ValueId {
        self.add(shape, Source::Weight { name: name.into(), layout })
    }

    /// Adds a scalar set at each run, or returns the existing one of this name.
    pub fn scalar(&mut self, name: &str) -> ScalarId {
        let scalars = &mut self.plan.scalars;
        let index = scalars.iter().position(|existing| existing == name).unwrap_or_else(|| {
            scalars.push(name.into());
            scalars.len() - 1
        });
        ScalarId(index)
    }

    /// Appends an operation and infers its output's shape.
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[ValueId], label: &str) -> Result<ValueId, PlanError> {
        let op = op.into();
        let shapes: Vec<&[usize]> = inputs.iter().map(|&id| self.shape(id)).collect();
        let shape = op.get().shape(&shapes).map_err(|source| PlanError::Shape { label: label.into(), source })?;
        self.plan.values.push(Value { shape, source: Source::Step(self.plan.steps.len()) });
        let output = ValueId(self.plan.values.len() - 1);
        self.plan.steps.push(Step { op, inputs: inputs.to_vec(), output, label: label.into() });
        Ok(output)
    }

    /// Declares an output, which stays valid after the run.
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.plan.outputs.push((name.into(), value));
    }

    /// Returns the shape of a tensor.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.plan.value(id).shape
    }

    /// Returns the finished plan.
    pub fn finish(self) -> Plan {
        self.plan
    }

    /// Adds the module's weight in the plan's layout and, if it has one, its bias.
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

    /// Adds an embedding table: the module's weight in its stored layout.
    pub fn table(&mut self, module: &Module) -> ValueId {
        self.weight(&format!("{}.{}.weight", self.component, module.path), &module.weight_shape(), Layout::Plain)
    }

    /// Applies a module: matmul for linear layers and 1x1 convolutions, a larger convolution, or a norm.
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
                    wanted: "a linear, convolution or norm layer".into(),
                    found: format!("an embedding table of {rows}x{width}"),
                });
            }
        };
        self.with_parameters(op, module, x)
    }

    /// Applies a convolution padded with `extra` zeros at the bottom and right only.
    pub fn conv_pad_end(&mut self, module: &Module, x: ValueId, extra: usize) -> Result<ValueId, PlanError> {
        match module.kind {
            Kind::Conv { kernel, stride, .. } => {
                let op = Conv2d { kernel, stride, padding: 0, pad_end: extra, bias: module.bias, ..Default::default() };
                self.with_parameters(op.into(), module, x)
            }
            _ => self.module(module, x),
        }
    }

    /// Applies a group norm followed by SiLU.
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
