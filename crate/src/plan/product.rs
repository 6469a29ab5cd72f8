//! Matmul and convolution steps with their operands by name, as the fusion passes edit them.

use super::{Step, ValueId};
use crate::ops::{Activation, Conv2d, Epilogue, Matmul, NormOperands, Op, ProductOperands, Prologue};

/// Operation of a [`Product`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ProductOp {
    Matmul(Matmul),
    Conv2d(Conv2d),
}

/// A matmul or convolution with its operands. The methods keep the operation's fields and the operands consistent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Product {
    pub op: ProductOp,
    pub operands: ProductOperands<ValueId>,
}

impl Product {
    /// Returns the step's product, or None if it is another operation.
    pub fn of(step: &Step) -> Option<Product> {
        let (op, operands) = match step.op {
            Op::Matmul(op) => (ProductOp::Matmul(op), op.operands(&step.inputs)?),
            Op::Conv2d(op) => (ProductOp::Conv2d(op), op.operands(&step.inputs)?),
            _ => return None,
        };
        Some(Product { op, operands })
    }

    /// Returns the step with this product instead of its operation and inputs.
    pub fn in_step(self, step: &Step) -> Step {
        let op = match self.op {
            ProductOp::Matmul(op) => op.into(),
            ProductOp::Conv2d(op) => op.into(),
        };
        Step { op, inputs: self.operands.list(), ..step.clone() }
    }

    /// Returns the matmul, or None if it is a convolution.
    pub fn matmul(&self) -> Option<&Matmul> {
        match &self.op {
            ProductOp::Matmul(op) => Some(op),
            ProductOp::Conv2d(_) => None,
        }
    }

    /// Returns whether it is a matmul with a transposed weight and without prologue and epilogue.
    pub fn is_linear(&self) -> bool {
        self.epilogue() == Epilogue::default()
            && self.matmul().is_some_and(|op| op.transpose_b && op.prologue == Prologue::None)
    }

    /// Returns the epilogue.
    pub fn epilogue(&self) -> Epilogue {
        match &self.op {
            ProductOp::Matmul(op) => op.epilogue,
            ProductOp::Conv2d(op) => op.epilogue,
        }
    }

    fn epilogue_mut(&mut self) -> &mut Epilogue {
        match &mut self.op {
            ProductOp::Matmul(op) => &mut op.epilogue,
            ProductOp::Conv2d(op) => &mut op.epilogue,
        }
    }

    /// Adds a residual.
    pub fn with_residual(mut self, residual: ValueId) -> Product {
        self.epilogue_mut().residual = true;
        self.operands.residual = Some(residual);
        self
    }

    /// Adds the columns of `bias` from `offset` on as channel bias.
    pub fn with_channel_bias(mut self, bias: ValueId, offset: usize) -> Product {
        self.epilogue_mut().channel_bias = Some(offset);
        self.operands.channel_bias = Some(bias);
        self
    }

    /// Adds an activation.
    pub fn with_activation(mut self, activation: Activation) -> Product {
        self.epilogue_mut().activation = Some(activation);
        self
    }

    /// Adds GEGLU.
    pub fn with_geglu(mut self) -> Product {
        self.epilogue_mut().geglu = true;
        self
    }

    /// Concatenates `skip` to the rows of a matmul; None for a convolution.
    pub fn with_skip(mut self, skip: ValueId) -> Option<Product> {
        let ProductOp::Matmul(op) = &mut self.op else { return None };
        op.prologue = Prologue::Concat;
        self.operands.skip = Some(skip);
        Some(self)
    }

    /// Applies a layer norm to the rows of a matmul, whose shift is part of `bias`; None for a convolution.
    pub fn with_layer_norm(mut self, eps: f32, norm: NormOperands<ValueId>, bias: ValueId) -> Option<Product> {
        let ProductOp::Matmul(op) = &mut self.op else { return None };
        op.prologue = Prologue::LayerNorm { eps };
        op.bias = true;
        self.operands.norm = Some(norm);
        self.operands.bias = Some(bias);
        Some(self)
    }

    /// Upsamples the feature map `x` as the input of a convolution; None for a matmul.
    pub fn with_upsampled(mut self, x: ValueId, size: (usize, usize)) -> Option<Product> {
        let ProductOp::Conv2d(op) = &mut self.op else { return None };
        op.upsample_to = Some(size);
        self.operands.x = x;
        Some(self)
    }
}
