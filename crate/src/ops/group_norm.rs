//! Turns a feature map into one whose channel groups have mean 0 and variance 1, scaled and
//! shifted by channel (Wu and He 2018), with SiLU after it where asked.

use super::unary::silu;
use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// Inputs: x (B, …, C), weight (C), bias (C), and perhaps a second map, whose channels follow x's (a
/// skip connection read in place); C counts both. Variance is the biased one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupNorm {
    /// Groups of neighbouring channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// SiLU on the result.
    pub silu: bool,
    /// A fourth input's channels follow x's.
    #[serde(default)]
    pub concat: bool,
}

impl Operation for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let (x, weight, bias, other) = match (inputs, self.concat) {
            (&[x, weight, bias], false) => (x, weight, bias, None),
            (&[x, weight, bias, other], true) => (x, weight, bias, Some(other)),
            _ => return Err(self.shape_error(inputs, "needs x, weight and bias, and what stands beside x")),
        };
        let (Some((&own, outer)), true) = (x.split_last(), x.len() >= 2) else {
            return Err(self.shape_error(inputs, "x needs a batch and a channel axis"));
        };
        let more = match other.map(|other| other.split_last()) {
            None => 0,
            Some(Some((&more, same))) if same == outer => more,
            Some(_) => return Err(self.shape_error(inputs, "all axes but the last must agree")),
        };
        let channels = own + more;
        if weight != [channels] || bias != [channels] {
            return Err(self.shape_error(inputs, format!("weight and bias must have {channels} numbers")));
        }
        if self.groups == 0 || channels % self.groups != 0 {
            return Err(self.shape_error(inputs, format!("{channels} channels do not divide into {} groups", self.groups)));
        }
        Ok([outer, &[channels]].concat())
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (x, weight, bias) = (inputs[0], inputs[1].data, inputs[2].data);
        let (batch, channels) = (x.shape[0], weight.len());
        let (image, size) = (output.len() / batch, channels / self.groups);
        let own = x.width();
        let at = |i: usize| {
            let (pixel, channel) = (i / channels, i % channels);
            f64::from(match channel.checked_sub(own) {
                None => x.data[pixel * own + channel],
                Some(channel) => inputs[3].data[pixel * (channels - own) + channel],
            })
        };
        for b in 0..batch {
            for group in 0..self.groups {
                let members = || {
                    (b * image..(b + 1) * image)
                        .step_by(channels)
                        .flat_map(move |pixel| pixel + group * size..pixel + (group + 1) * size)
                };
                let count = (image / self.groups) as f64;
                let mean = members().map(&at).sum::<f64>() / count;
                let variance = members().map(|i| (at(i) - mean).powi(2)).sum::<f64>() / count;
                let scale = 1.0 / (variance + f64::from(self.eps)).sqrt();
                for i in members() {
                    let c = i % channels;
                    let value = (at(i) - mean) * scale * f64::from(weight[c]) + f64::from(bias[c]);
                    output[i] = if self.silu { silu(to_f32(value)) } else { to_f32(value) };
                }
            }
        }
    }

    fn flops(&self, _inputs: &[&[usize]], output: &[usize]) -> u64 {
        8 * numel(output)
    }

    fn details(&self) -> String {
        let (silu, beside) = (if self.silu { " silu" } else { "" }, if self.concat { " beside" } else { "" });
        format!("G={} eps={:e}{silu}{beside}", self.groups, self.eps)
    }
}
