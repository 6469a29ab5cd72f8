//! GEGLU: the first half of the last axis times GELU of the second half, (…, 2 D) -> (…, D) (Shazeer 2020).

use super::unary::gelu;
use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// x[..D] * gelu(x[D..]), with the exact (erf) GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geglu {}

impl Operation for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            [[outer @ .., width]] if width % 2 == 0 => Ok([outer, &[width / 2]].concat()),
            _ => Err(self.shape_error(inputs, "expects one input of even width")),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let half = inputs[0].width() / 2;
        for (row, out) in inputs[0].rows().zip(output.chunks_exact_mut(half)) {
            for (i, out) in out.iter_mut().enumerate() {
                *out = row[i] * gelu(row[half + i]);
            }
        }
    }

    fn details(&self) -> String {
        String::new()
    }
}
