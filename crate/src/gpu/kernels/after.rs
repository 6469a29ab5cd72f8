//! Turns what follows a product into the parameters and bindings that after.wgsl begins with.

use crate::gpu::kernel::{Binding, LaunchError, number};
use crate::ops::{After, Function};

/// What the sums of a kernel go through.
pub struct Ending<'a> {
    /// The kernel.
    pub kernel: &'static str,
    /// Shapes of the step's inputs.
    pub inputs: &'a [&'a [usize]],
    /// The input that is the bias, where there is one.
    pub bias: Option<usize>,
    /// What follows.
    pub after: After,
    /// Index of its first input.
    pub after_at: usize,
    /// Rows of an item of the batch.
    pub item_rows: u64,
}

impl Ending<'_> {
    /// Whether all rows that it reads are whole vec4s.
    pub fn is_aligned(&self, columns: usize) -> bool {
        let shift = self.after.shift.unwrap_or(0) + self.shift_width();
        self.after.stored(columns).is_multiple_of(4) && shift.is_multiple_of(4)
    }

    fn shift_width(&self) -> usize {
        self.after.shift.and_then(|_| self.inputs[self.after_at].last().copied()).unwrap_or(0)
    }

    /// The first parameters, of so many rows, columns and numbers that are summed.
    pub fn params(&self, (rows, columns, inner): (u32, u32, u32)) -> Result<Vec<u32>, LaunchError> {
        let count = |n: usize| number(self.kernel, n);
        let After { shift, gate, residual, .. } = self.after;
        let flags = [self.bias.is_some(), shift.is_some(), gate, residual];
        let flags = flags.iter().enumerate().map(|(bit, &flag)| u32::from(flag) << bit).sum();
        let (width, at) = (count(self.shift_width())?, count(shift.unwrap_or(0))?);
        Ok(vec![
            rows,
            columns,
            inner,
            number(self.kernel, self.item_rows)?,
            width,
            at,
            flags,
            function(self.after.function),
        ])
    }

    /// The first bindings. What there is not, `other` stands in for, and is not read.
    pub fn bindings(&self, other: usize) -> Vec<Binding> {
        let After { shift, residual, .. } = self.after;
        let shift = shift.map(|_| self.after_at);
        let residual = residual.then(|| self.after_at + usize::from(shift.is_some()));
        let parts = [self.bias, shift, residual].map(|input| Binding::Input(input.unwrap_or(other)));
        parts.into_iter().chain([Binding::Output]).collect()
    }
}

/// A function's number in after.wgsl.
fn function(function: Option<Function>) -> u32 {
    match function {
        None => 0,
        Some(Function::Silu) => 1,
        Some(Function::Gelu) => 2,
        Some(Function::QuickGelu) => 3,
    }
}
