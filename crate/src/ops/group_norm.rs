//! Group normalization with per-channel scale and shift (Wu and He 2018), optionally followed by SiLU.

use super::unary::silu;
use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// See [`GroupNormOperands`] for the inputs. The variance is biased.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupNorm {
    /// Number of groups of adjacent channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Whether SiLU follows.
    pub silu: bool,
    /// Whether the channels of a second feature map are concatenated to those of x.
    #[serde(default)]
    pub concat: bool,
}

/// Operands of a group norm, in the order of a step's inputs. `T` is a tensor, its shape, its id, or its index among the
/// inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupNormOperands<T> {
    /// Feature map (B, …, C).
    pub x: T,
    /// Scale (C).
    pub weight: T,
    /// Shift (C).
    pub bias: T,
    /// Second feature map, whose channels are concatenated to those of x (a skip connection read in place); C counts
    /// both.
    pub skip: Option<T>,
}

impl GroupNorm {
    /// Returns the inputs by name, or None if their number is wrong.
    pub fn operands<T: Copy>(&self, inputs: &[T]) -> Option<GroupNormOperands<T>> {
        match (inputs, self.concat) {
            (&[x, weight, bias], false) => Some(GroupNormOperands { x, weight, bias, skip: None }),
            (&[x, weight, bias, skip], true) => Some(GroupNormOperands { x, weight, bias, skip: Some(skip) }),
            _ => None,
        }
    }
}

impl Operation for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let Some(GroupNormOperands { x, weight, bias, skip }) = self.operands(inputs) else {
            return Err(self.shape_error(inputs, "expects x, weight, bias and, with concat, a second feature map"));
        };
        let (Some((&x_channels, outer)), true) = (x.split_last(), x.len() >= 2) else {
            return Err(self.shape_error(inputs, "x needs a batch axis and a channel axis"));
        };
        let skip_channels = match skip.map(|skip| skip.split_last()) {
            None => 0,
            Some(Some((&skip_channels, skip_outer))) if skip_outer == outer => skip_channels,
            Some(_) => return Err(self.shape_error(inputs, "all axes except the last must match")),
        };
        let channels = x_channels + skip_channels;
        if weight != [channels] || bias != [channels] {
            return Err(self.shape_error(inputs, format!("weight and bias must have {channels} elements")));
        }
        if self.groups == 0 || channels % self.groups != 0 {
            return Err(
                self.shape_error(inputs, format!("{channels} channels are not divisible by {} groups", self.groups))
            );
        }
        Ok([outer, &[channels]].concat())
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let Some(GroupNormOperands { x, weight, bias, skip }) = self.operands(inputs) else { return };
        let (weight, bias, skip) = (weight.data, bias.data, skip.map_or(&[][..], |skip| skip.data));
        let (batch, channels) = (x.shape[0], weight.len());
        let (item_len, size) = (output.len() / batch, channels / self.groups);
        let x_channels = x.width();
        let element = |i: usize| {
            let (pixel, channel) = (i / channels, i % channels);
            f64::from(match channel.checked_sub(x_channels) {
                None => x.data[pixel * x_channels + channel],
                Some(channel) => skip[pixel * (channels - x_channels) + channel],
            })
        };
        for b in 0..batch {
            for group in 0..self.groups {
                let indices = || {
                    (b * item_len..(b + 1) * item_len)
                        .step_by(channels)
                        .flat_map(move |pixel| pixel + group * size..pixel + (group + 1) * size)
                };
                let count = (item_len / self.groups) as f64;
                let mean = indices().map(&element).sum::<f64>() / count;
                let variance = indices().map(|i| (element(i) - mean).powi(2)).sum::<f64>() / count;
                let scale = 1.0 / (variance + f64::from(self.eps)).sqrt();
                for i in indices() {
                    let c = i % channels;
                    let value = (element(i) - mean) * scale * f64::from(weight[c]) + f64::from(bias[c]);
                    output[i] = if self.silu { silu(to_f32(value)) } else { to_f32(value) };
                }
            }
        }
    }

    fn flops(&self, _inputs: &[&[usize]], output: &[usize]) -> u64 {
        8 * numel(output)
    }

    fn details(&self) -> String {
        let (silu, concat) = (if self.silu { " silu" } else { "" }, if self.concat { " concat" } else { "" });
        format!("G={} eps={:e}{silu}{concat}", self.groups, self.eps)
    }
}
