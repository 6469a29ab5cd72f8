//! The mini base model of base/shapes.json.

use crate::golden;
use lora_loupe::analysis::BaseShapes;
use lora_loupe::formats::{Dtype, Header, TensorInfo};
use lora_loupe::num::numel;
use std::collections::BTreeMap;

/// Returns the header of the mini base, stored in f32 and in key order.
pub fn header() -> Header {
    let shapes: BTreeMap<String, Vec<usize>> =
        serde_json::from_str(&golden::text("corpus/base/shapes.json")).expect("shapes");
    let mut at = 0;
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let start = at;
        at += 4 * numel(&shape);
        TensorInfo::contiguous(name, Dtype::F32, shape, start..at)
    });
    Header::of(tensors.collect(), BTreeMap::new())
}

/// Returns the layers of the mini base.
pub fn shapes() -> BaseShapes {
    BaseShapes::of(&[(None, &header())]).expect("a known family")
}
