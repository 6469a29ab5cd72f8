//! Norms, and their statistics strip by strip.

use super::Operand;
use crate::num::to_f32;
use crate::ops::{GroupNorm, LayerNorm, Moments, Normalize};
use crate::simd::{self, for_each_chunk, scale_and_shift};

/// Elementary operations per element.
const WORK: u64 = 2;

/// Mean, scale and shift of each channel of a batch item.
struct Channels {
    mean: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Channels {
    /// Returns the channels of groups with these moments.
    fn new(groups: &[simd::Moments], eps: f32, weight: &[f32], bias: &[f32]) -> Channels {
        let size = weight.len() / groups.len();
        let mean = (0..weight.len()).map(|channel| to_f32(groups[channel / size].mean));
        let scales: Vec<f64> = groups.iter().map(|group| group.scale(eps)).collect();
        let scale =
            weight.iter().enumerate().map(|(channel, &weight)| to_f32(scales[channel / size] * f64::from(weight)));
        Channels { mean: mean.collect(), scale: scale.collect(), shift: bias.to_vec() }
    }

    /// Normalizes the channels of a pixel from the one with index `first` on.
    fn apply(&self, first: usize, pixel: &[f32], silu: bool, out: &mut [f32]) {
        scale_and_shift(pixel, &self.mean[first..], &self.scale[first..], &self.shift[first..], silu, out);
    }
}

/// Combines the moments of channels to those of groups of adjacent channels.
fn grouped(channels: &[simd::Moments], groups: usize) -> Vec<simd::Moments> {
    let combine =
        |group: &[simd::Moments]| group.iter().fold(simd::Moments::default(), |all, &channel| all.with(channel));
    channels.chunks_exact(channels.len() / groups).map(combine).collect()
}

/// Normalizes groups of channels; None for 16-bit feature maps.
pub(super) fn group_norm(op: &GroupNorm, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let operands = op.operands(inputs)?;
    let (weight, bias) = (operands.weight.wide(), operands.bias.wide());
    let x = operands.x.elements.as_f32()?;
    let skip = match operands.skip {
        Some(skip) => skip.elements.as_f32()?,
        None => &[],
    };
    let (batch, channels, x_channels) = (operands.x.shape[0], weight.len(), operands.x.width());
    let skip_channels = channels - x_channels;
    let pixels = output.len() / batch / channels;
    for (item, out) in output.chunks_exact_mut(pixels * channels).enumerate() {
        let x = &x[item * pixels * x_channels..][..pixels * x_channels];
        let skip = &skip[item * pixels * skip_channels..][..pixels * skip_channels];
        let mut moments = simd::Moments::of_channels(x, x_channels);
        if skip_channels > 0 {
            moments.extend(simd::Moments::of_channels(skip, skip_channels));
        }
        let norm = Channels::new(&grouped(&moments, op.groups), op.eps, &weight, &bias);
        let work = out.len() as u64 * WORK;
        for_each_chunk(out, channels, work, &|first, out| {
            for (pixel, out) in (first..).zip(out.chunks_exact_mut(channels)) {
                let (left, right) = out.split_at_mut(x_channels);
                norm.apply(0, &x[pixel * x_channels..][..x_channels], op.silu, left);
                norm.apply(x_channels, &skip[pixel * skip_channels..][..skip_channels], op.silu, right);
            }
        });
    }
    Some(())
}

/// Normalizes rows; None for 16-bit rows.
pub(super) fn layer_norm(op: &LayerNorm, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let [x, weight, bias] = inputs else { return None };
    let (weight, bias, width) = (weight.wide(), bias.wide(), x.width());
    let x = x.elements.as_f32()?;
    let work = x.len() as u64 * WORK;
    for_each_chunk(output, width, work, &|first, out| {
        for (row, out) in x[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, scale) = simd::row_moments(row, op.eps);
            simd::normalize(row, mean, scale, &weight, out);
            simd::add(out, &bias);
        }
    });
    Some(())
}

/// Adds the moments of a strip to those of the strips before.
pub(super) fn moments(op: &Moments, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let map = inputs.first()?;
    let &[batch, height, width, channels] = map.shape else { return None };
    let data = map.elements.as_f32()?;
    let previous = inputs.get(1).map(Operand::wide);
    let row_len = width * channels;
    for (item, out) in (0..batch).zip(output.chunks_exact_mut(3 * op.groups)) {
        let strip = &data[(item * height + op.start) * row_len..][..op.count * row_len];
        let groups = grouped(&simd::Moments::of_channels(strip, channels), op.groups);
        for (index, (group, out)) in groups.into_iter().zip(out.as_chunks_mut::<3>().0).enumerate() {
            let earlier = previous.as_ref().map(|all| read(&all[(item * op.groups + index) * 3..]));
            let simd::Moments { count, mean, squares } = earlier.unwrap_or_default().with(group);
            *out = [count, mean, squares].map(to_f32);
        }
    }
    Some(())
}

fn read(stored: &[f32]) -> simd::Moments {
    let [count, mean, squares] = [0, 1, 2].map(|index| f64::from(stored[index]));
    simd::Moments { count, mean, squares }
}

/// Normalizes a strip with given moments; None for 16-bit strips.
pub(super) fn normalize(op: &Normalize, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let [x, moments, weight, bias] = inputs else { return None };
    let (weight, bias, stored) = (weight.wide(), bias.wide(), moments.wide());
    let (groups, channels) = (moments.shape[1], x.width());
    let item_len = output.len() / x.shape[0];
    let x = x.elements.as_f32()?;
    for (item, out) in output.chunks_exact_mut(item_len).enumerate() {
        let x = &x[item * item_len..][..item_len];
        let moments: Vec<simd::Moments> = stored[item * groups * 3..][..groups * 3].chunks_exact(3).map(read).collect();
        let norm = Channels::new(&moments, op.eps, &weight, &bias);
        for_each_chunk(out, channels, item_len as u64 * WORK, &|first, out| {
            for (pixel, out) in x[first * channels..].chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
                norm.apply(0, pixel, op.silu, out);
            }
        });
    }
    Some(())
}
