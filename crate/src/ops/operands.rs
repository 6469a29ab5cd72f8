//! Named operands of matmuls and convolutions.

/// Operands of a matmul or convolution, in the order of a step's inputs. `T` is a tensor, its shape, its id, or its index
/// among the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProductOperands<T> {
    /// Left operand of a matmul, or feature map of a convolution.
    pub x: T,
    /// Matrix, or filters.
    pub weight: T,
    /// Added to every row or pixel.
    pub bias: Option<T>,
    /// Second feature map of [`Prologue::Concat`](super::Prologue::Concat).
    pub skip: Option<T>,
    /// Tensors of [`Prologue::LayerNorm`](super::Prologue::LayerNorm).
    pub norm: Option<NormOperands<T>>,
    /// Tensor with the columns of [`Epilogue::channel_bias`](super::Epilogue::channel_bias).
    pub channel_bias: Option<T>,
    /// Tensor of [`Epilogue::residual`](super::Epilogue::residual).
    pub residual: Option<T>,
}

/// Tensors of a layer norm that is fused into a matmul.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormOperands<T> {
    /// The norm's scale (K).
    pub scale: T,
    /// Product of the scale and the matrix (N).
    pub scale_sums: T,
}

impl ProductOperands<usize> {
    /// Returns the inputs by name, or None if there are fewer or more.
    pub fn select<T: Copy>(&self, inputs: &[T]) -> Option<ProductOperands<T>> {
        (inputs.len() == self.list().len()).then(|| self.map(|index| inputs[index]))
    }
}

impl<T: Copy> ProductOperands<T> {
    /// Converts every operand.
    pub fn map<U>(&self, mut convert: impl FnMut(T) -> U) -> ProductOperands<U> {
        ProductOperands {
            x: convert(self.x),
            weight: convert(self.weight),
            bias: self.bias.map(&mut convert),
            skip: self.skip.map(&mut convert),
            norm: self
                .norm
                .map(|norm| NormOperands { scale: convert(norm.scale), scale_sums: convert(norm.scale_sums) }),
            channel_bias: self.channel_bias.map(&mut convert),
            residual: self.residual.map(&mut convert),
        }
    }

    /// Returns the operands in the order of a step's inputs.
    pub fn list(&self) -> Vec<T> {
        let mut list = Vec::new();
        self.map(|operand| list.push(operand));
        list
    }
}
