//! Turns golden/ops/ops.json into plans of one operation with their inputs and PyTorch's answers.

use crate::{golden, numbers::numbers};
use lora_loupe::ops::{
    Add, Attention, Axpy, Broadcast, Concat, Conv2d, Function, Geglu, GroupNorm, LayerNorm, Matmul, Op, Unary, Upsample,
};
use lora_loupe::plan::{Builder, Plan};
use serde_json::Value;

/// One operation at one shape.
pub struct Case {
    /// Operation, shapes and fields, for messages.
    pub name: String,
    /// Inputs `x0`, `x1`, …; output `y`.
    pub plan: Plan,
    /// The inputs' numbers.
    pub inputs: Vec<Vec<f32>>,
    /// Run-time numbers.
    pub scalars: Vec<f32>,
    /// PyTorch's output at evenly spread places.
    pub golden: Vec<f32>,
}

impl Case {
    /// Our output at the golden's places: numpy's linspace, rounded half to even, without repeats.
    pub fn sample(&self, output: &[f32]) -> Vec<f32> {
        let count = output.len().min(4096);
        let step = if count > 1 { (output.len() - 1) as f64 / (count - 1) as f64 } else { 0.0 };
        let mut places: Vec<usize> = (0..count).map(|i| (i as f64 * step).round_ties_even() as usize).collect();
        places.dedup();
        places.into_iter().map(|place| output[place]).collect()
    }
}

/// Every case of the golden file.
pub fn cases() -> Vec<Case> {
    let listed = golden::json("golden/ops/ops.json");
    let answers = golden::tensors("golden/ops/ops.safetensors");
    let listed = listed.as_array().expect("a list of cases");
    listed.iter().enumerate().map(|(index, case)| read(index, case, answers[&index.to_string()].data.clone())).collect()
}

fn read(index: usize, case: &Value, golden: Vec<f32>) -> Case {
    let fields = &case["fields"];
    let size = |name: &str| fields[name].as_u64().unwrap_or_else(|| panic!("case {index}: {name}")) as usize;
    let flag = |name: &str| fields[name].as_bool().unwrap_or_else(|| panic!("case {index}: {name}"));
    let number = |name: &str| fields[name].as_f64().unwrap_or_else(|| panic!("case {index}: {name}")) as f32;
    let kind = case["op"].as_str().expect("an operation's name");
    let mut scalars = Vec::new();
    let op: Op = match kind {
        "matmul" => Matmul { transpose_b: flag("transpose_b"), bias: flag("bias") }.into(),
        "conv2d" => Conv2d {
            kernel: size("kernel"),
            stride: size("stride"),
            padding: size("padding"),
            bias: flag("bias"),
        }
        .into(),
        "group_norm" => GroupNorm { groups: size("groups"), eps: number("eps"), silu: flag("silu") }.into(),
        "layer_norm" => LayerNorm { eps: number("eps") }.into(),
        "attention" => Attention { heads: size("heads"), causal: flag("causal") }.into(),
        "unary" => Unary {
            function: match fields["function"].as_str() {
                Some("silu") => Function::Silu,
                Some("gelu") => Function::Gelu,
                Some("quick_gelu") => Function::QuickGelu,
                other => panic!("case {index}: function {other:?}"),
            },
        }
        .into(),
        "add" => Add {
            broadcast: match fields["broadcast"].as_str() {
                Some("none") => Broadcast::None,
                Some("batch") => Broadcast::Batch,
                Some("pixels") => Broadcast::Pixels,
                other => panic!("case {index}: broadcast {other:?}"),
            },
        }
        .into(),
        "axpy" => {
            scalars.push(number("number"));
            Axpy { scalar: 0, factor: number("factor") }.into()
        }
        "concat" => Concat.into(),
        "geglu" => Geglu.into(),
        "upsample" => Upsample { height: size("height"), width: size("width") }.into(),
        other => panic!("case {index}: operation {other}"),
    };
    let shape = |value: &Value| -> Vec<usize> {
        value.as_array().expect("a shape").iter().map(|n| n.as_u64().expect("a size") as usize).collect()
    };
    let shapes: Vec<Vec<usize>> = case["shapes"].as_array().expect("shapes").iter().map(shape).collect();
    let inputs = (0..shapes.len())
        .map(|i| {
            let at = |name: &str| case[name][i].as_f64().expect("a number") as f32;
            numbers((index * 16 + i) as u32, shapes[i].iter().product(), at("scales"), at("shifts"))
        })
        .collect();
    let name = format!("{index}: {kind} {fields} {shapes:?}");
    let mut builder = Builder::new(kind);
    let ids: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| builder.input(&format!("x{i}"), shape)).collect();
    if !scalars.is_empty() {
        builder.scalar("number");
    }
    let y = builder.push(op, &ids, kind).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(builder.shape(y), shape(&case["output"]), "{name}: shape rule");
    builder.output("y", y);
    Case { name, plan: builder.finish(), inputs, scalars, golden }
}
