//! Layer sizes implied by a group's tensors, for every algorithm.

use crate::adapters::Group;
use crate::model::spelling::Role;
use crate::model::{Kind, Module};
use crate::num::{host_len, numel};

/// Sizes of a layer, as far as a group's tensors imply them.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Number of outputs.
    pub outputs: Option<usize>,
    /// Number of inputs, or inputs · kernel area.
    pub inputs: Option<usize>,
    /// A size that is either the outputs or the inputs.
    either: Option<usize>,
    /// Number of axes of the tensor that holds the kernel.
    axes: Option<usize>,
}

impl Sizes {
    /// Returns the sizes that a group's tensors imply; `None` if they imply none.
    pub fn of(group: &Group) -> Option<Sizes> {
        let sizes = Sizes::of_factors(group);
        let sizes = if sizes == Sizes::default() { Sizes::of_others(group) } else { sizes };
        (sizes != Sizes::default()).then_some(sizes)
    }

    fn of_factors(group: &Group) -> Sizes {
        let shape = |role| group.get(role).map(|tensor| tensor.shape.as_slice());
        let axis = |role, axis: usize| shape(role).and_then(|shape| shape.get(axis).copied());
        if let Some(diff) = shape(Role::Diff) {
            let inputs = diff.get(1).copied();
            return Sizes { outputs: diff.first().copied(), inputs, axes: Some(diff.len()), either: None };
        }
        if group.has_any(&[Role::Down, Role::Up]) {
            // AdaLoRA flattens the kernels of convolutions.
            let axes = shape(Role::Down).map(<[usize]>::len).filter(|_| group.get(Role::LoraE).is_none());
            return Sizes { outputs: axis(Role::Up, 0), inputs: axis(Role::Down, 1), axes, either: None };
        }
        if group.has_any(&[Role::DeloraA, Role::DeloraB]) {
            return Sizes { outputs: axis(Role::DeloraB, 0), inputs: axis(Role::DeloraA, 1), ..Sizes::default() };
        }
        if group.has_any(&[Role::HadaW1A, Role::HadaW1B]) {
            let outputs = axis(Role::HadaW1A, usize::from(shape(Role::HadaT1).is_some()));
            return Sizes { outputs, inputs: axis(Role::HadaW1B, 1), ..Sizes::default() };
        }
        // A Kronecker product's sizes are the products of its factors' sizes.
        let w1 = [axis(Role::LokrW1, 0).or(axis(Role::LokrW1A, 0)), axis(Role::LokrW1, 1).or(axis(Role::LokrW1B, 1))];
        let offset = usize::from(shape(Role::LokrT2).is_some());
        let w2 =
            [axis(Role::LokrW2, 0).or(axis(Role::LokrW2A, offset)), axis(Role::LokrW2, 1).or(axis(Role::LokrW2B, 1))];
        let product = |at: usize| w1[at].zip(w2[at]).and_then(|(a, b)| a.checked_mul(b));
        Sizes { outputs: product(0), inputs: product(1), ..Sizes::default() }
    }

    /// Returns the sizes that tensors other than factors imply.
    fn of_others(group: &Group) -> Sizes {
        let shape = |role| group.get(role).map(|tensor| tensor.shape.as_slice());
        let longest = |shape: &[usize]| shape.iter().copied().max();
        match (shape(Role::OftBlocks), shape(Role::OftR)) {
            (Some(&[.., blocks, size, _]), _) => {
                return Sizes { outputs: blocks.checked_mul(size), ..Sizes::default() };
            }
            // A block of b rows, or one that all blocks share, is stored as the b (b - 1) / 2 elements above its diagonal.
            (None, Some(&[blocks, elements])) if blocks > 1 => {
                let size = (1..=elements + 1).find(|size| size * (size - 1) / 2 >= elements);
                return Sizes { inputs: size.and_then(|size| blocks.checked_mul(size)), ..Sizes::default() };
            }
            _ => {}
        }
        let one = |role| shape(role).and_then(longest).filter(|&size| size > 1);
        let outputs = one(Role::DiffB).or(one(Role::WNorm)).or(one(Role::BNorm)).or(one(Role::BoftS));
        let outputs = outputs.or(one(Role::VeraLambdaB));
        let inputs = match (shape(Role::BoftR), shape(Role::HraU)) {
            (Some(&[_, blocks, size, _]), _) => blocks.checked_mul(size),
            (None, Some(&[inputs, _])) => Some(inputs),
            _ => None,
        };
        let either = one(Role::Weight).or(one(Role::GloraB1)).or(one(Role::Ia3L)).or(one(Role::MissBlock));
        let either = either.or(one(Role::BoneBlock)).or(one(Role::Part1));
        Sizes { outputs, inputs, either: if outputs.or(inputs).is_some() { None } else { either }, ..Sizes::default() }
    }

    /// Returns whether a layer's sizes are compatible.
    pub fn fit(&self, module: &Module) -> bool {
        let shape = module.weight_shape();
        let (rows, columns) = (shape[0], shape.get(1).copied());
        let area = columns.map(|_| host_len(numel(&shape[1..])));
        let across = |size: usize| columns == Some(size) || area == Some(size);
        self.outputs.is_none_or(|size| size == rows)
            && self.inputs.is_none_or(across)
            && self.either.is_none_or(|size| size == rows || across(size))
    }

    /// Returns whether the tensor that holds the kernel has the axes of another kind of layer.
    pub fn wrong_kind(&self, module: &Module) -> bool {
        let Some(axes) = self.axes else { return false };
        match module.kind {
            Kind::Linear { .. } => axes == 4,
            // The kernel may be flattened.
            Kind::Conv { inputs, kernel, .. } => axes < 4 && (kernel == 1 || self.inputs == Some(inputs)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Dtype, TensorInfo};
    use std::collections::BTreeMap;

    #[test]
    fn every_algorithm_implies_layer_sizes() {
        let check = |tensors: &[(Role, &[usize])], fits: &[usize], other: &[usize]| {
            let tensor = |&(role, shape): &(Role, &[usize])| {
                (role, TensorInfo::contiguous(String::new(), Dtype::F16, shape.into(), 0..0))
            };
            let tensors: BTreeMap<_, _> = tensors.iter().map(tensor).collect();
            let group = Group { stem: String::new(), tensors, numbers: BTreeMap::new(), peft: false };
            let module = |shape: &[usize]| match *shape {
                [outputs, inputs] => Module::new("", "", Kind::Linear { inputs, outputs }),
                [outputs, inputs, kernel, ..] => {
                    Module::new("", "", Kind::Conv { inputs, outputs, kernel, stride: 1, padding: 0 })
                }
                _ => Module::new("", "", Kind::LayerNorm { width: shape[0], eps: 0.0 }),
            };
            let sizes = Sizes::of(&group).expect("sizes");
            assert!(sizes.fit(&module(fits)), "{sizes:?} do not fit {fits:?}");
            assert!(!sizes.fit(&module(other)), "{sizes:?} fit {other:?}");
        };
        check(&[(Role::Down, &[4, 320]), (Role::Up, &[640, 4])], &[640, 320], &[320, 320]);
        check(&[(Role::Down, &[4, 36]), (Role::Up, &[320, 4])], &[320, 4, 3, 3], &[320, 9, 3, 3]);
        check(&[(Role::HadaW1A, &[640, 4]), (Role::HadaW1B, &[4, 320])], &[640, 320], &[320, 640]);
        check(&[(Role::LokrW1, &[16, 16]), (Role::LokrW2, &[240, 240])], &[3840, 3840], &[3072, 3072]);
        check(
            &[(Role::LokrW1, &[8, 8]), (Role::LokrW2A, &[160, 4]), (Role::LokrW2B, &[4, 80])],
            &[1280, 640],
            &[640, 640],
        );
        check(&[(Role::OftBlocks, &[4, 768, 768])], &[3072, 320], &[320, 3072]);
        check(&[(Role::OftR, &[64, 496])], &[320, 2048], &[2048, 320]);
        check(&[(Role::BoftR, &[2, 80, 4, 4]), (Role::BoftS, &[640, 1])], &[640, 320], &[320, 640]);
        check(&[(Role::HraU, &[36, 8])], &[320, 4, 3, 3], &[4, 320, 3, 3]);
        check(&[(Role::VeraLambdaB, &[640])], &[640, 320], &[320, 640]);
        check(&[(Role::DeloraA, &[4, 320]), (Role::DeloraB, &[640, 4])], &[640, 320], &[320, 640]);
        check(&[(Role::Ia3L, &[640, 1])], &[640, 320], &[320, 768]);
        check(&[(Role::Part1, &[64, 320])], &[320, 768], &[640, 640]);
        check(&[(Role::Diff, &[128])], &[128], &[64]);
    }
}
