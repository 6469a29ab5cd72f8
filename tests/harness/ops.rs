//! The cases of golden/ops/ops.json: single-operation plans with inputs and PyTorch's outputs.

use crate::{golden, numbers::numbers};
use lora_loupe::num::{host_len, numel};
use lora_loupe::ops::Op;
use lora_loupe::plan::{Builder, Plan};
use serde_json::{Value, json};

/// One operation with given shapes.
pub struct Case {
    /// Operation, shapes and fields, for messages.
    pub name: String,
    /// Inputs `x0`, `x1`, …; output `y`.
    pub plan: Plan,
    /// Elements of the inputs.
    pub inputs: Vec<Vec<f32>>,
    /// Run-time scalars.
    pub scalars: Vec<f32>,
    /// PyTorch's output at evenly spaced indices.
    pub golden: Vec<f32>,
}

impl Case {
    /// Samples `output` at the golden's indices: NumPy's linspace, rounded half to even, deduplicated.
    pub fn sample(&self, output: &[f32]) -> Vec<f32> {
        let count = output.len().min(1024);
        let step = if count > 1 { (output.len() - 1) as f64 / (count - 1) as f64 } else { 0.0 };
        let mut indices: Vec<usize> = (0..count).map(|i| (i as f64 * step).round_ties_even() as usize).collect();
        indices.dedup();
        indices.into_iter().map(|index| output[index]).collect()
    }
}

/// Returns every case of the golden file.
pub fn cases() -> Vec<Case> {
    let listed = golden::json("golden/ops/ops.json");
    let outputs = golden::tensors("golden/ops/ops.safetensors");
    let listed = listed.as_array().expect("a list of cases");
    listed.iter().enumerate().map(|(index, case)| read(index, case, outputs[&index.to_string()].data.clone())).collect()
}

fn read(index: usize, case: &Value, golden: Vec<f32>) -> Case {
    let name = case["op"].as_str().expect("a name");
    let op: Op =
        serde_json::from_value(json!({ name: case["fields"] })).unwrap_or_else(|error| panic!("case {index}: {error}"));
    let kind = op.to_string();
    let scalars: Vec<f32> = serde_json::from_value(case["scalars"].clone()).expect("scalars");
    let shape = |value: &Value| -> Vec<usize> {
        value.as_array().expect("a shape").iter().map(|n| n.as_u64().expect("a size") as usize).collect()
    };
    let shapes: Vec<Vec<usize>> = case["shapes"].as_array().expect("shapes").iter().map(shape).collect();
    let inputs = (0..shapes.len())
        .map(|i| {
            let at = |name: &str| case[name][i].as_f64().expect("a number") as f32;
            numbers((index * 16 + i) as u32, host_len(numel(&shapes[i])), at("scales"), at("shifts"))
        })
        .collect();
    let name = format!("{index}: {kind} {} {shapes:?}", case["fields"]);
    let mut builder = Builder::new(&kind);
    let ids: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| builder.input(&format!("x{i}"), shape)).collect();
    if !scalars.is_empty() {
        builder.scalar("number");
    }
    let y = builder.push(op, &ids, &kind).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(builder.shape(y), shape(&case["output"]), "{name}: shape rule");
    builder.output("y", y);
    Case { name, plan: builder.finish(), inputs, scalars, golden }
}
