//! Turns what follows a product into the parameters and bindings that epilogue.wgsl begins with.

use crate::gpu::kernel::{Binding, LaunchError, to_u32};
use crate::ops::{Epilogue, Activation};

/// What the sums of a kernel go through.
pub struct EpilogueParams<'a> {
    /// The kernel.
    pub kernel: &'static str,
    /// Shapes of the step's inputs.
    pub inputs: &'a [&'a [usize]],
    /// The input that is the bias, where there is one.
    pub bias: Option<usize>,
    /// What follows.
    pub epilogue: Epilogue,
    /// Index of its first input.
    pub epilogue_start: usize,
    /// Rows of an item of the batch.
    pub item_rows: u64,
}

impl EpilogueParams<'_> {
    /// Whether all rows that it reads are whole vec4s.
    pub fn is_aligned(&self, columns: usize) -> bool {
        let shift = self.epilogue.channel_bias.unwrap_or(0) + self.shift_width();
        self.epilogue.output_columns(columns).is_multiple_of(4) && shift.is_multiple_of(4)
    }

    fn shift_width(&self) -> usize {
        self.epilogue.channel_bias.and_then(|_| self.inputs[self.epilogue_start].last().copied()).unwrap_or(0)
    }

    /// The first parameters, of so many rows, columns and numbers that are summed.
    pub fn params(&self, (rows, columns, inner): (u32, u32, u32)) -> Result<Vec<u32>, LaunchError> {
        let count = |n: usize| to_u32(self.kernel, n);
        let Epilogue { channel_bias: shift, geglu: gate, residual, .. } = self.epilogue;
        let flags = [self.bias.is_some(), shift.is_some(), gate, residual];
        let flags = flags.iter().enumerate().map(|(bit, &flag)| u32::from(flag) << bit).sum();
        let (width, at) = (count(self.shift_width())?, count(shift.unwrap_or(0))?);
        Ok(vec![
            rows,
            columns,
            inner,
            to_u32(self.kernel, self.item_rows)?,
            width,
            at,
            flags,
            function(self.epilogue.activation),
        ])
    }

    /// The first bindings. What there is not, `other` stands in for, and is not read.
    pub fn bindings(&self, other: usize) -> Vec<Binding> {
        let Epilogue { channel_bias: shift, residual, .. } = self.epilogue;
        let shift = shift.map(|_| self.epilogue_start);
        let residual = residual.then(|| self.epilogue_start + usize::from(shift.is_some()));
        let parts = [self.bias, shift, residual].map(|input| Binding::Input(input.unwrap_or(other)));
        parts.into_iter().chain([Binding::Output]).collect()
    }
}

/// A function's number in epilogue.wgsl.
fn function(function: Option<Activation>) -> u32 {
    match function {
        None => 0,
        Some(Activation::Silu) => 1,
        Some(Activation::Gelu) => 2,
        Some(Activation::QuickGelu) => 3,
    }
}
