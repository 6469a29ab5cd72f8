// Layer normalization over the last axis of (rows, D); see ops/layer_norm.rs. One workgroup per row.

struct Params { rows: u32, width: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (rows, D)
@group(0) @binding(2) var<storage, read> weight: array<Scalar>; // (D)
@group(0) @binding(3) var<storage, read> bias: array<Scalar>; // (D)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (rows, D)

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup_index(group, groups);
    let base = min(row, params.rows - 1u) * params.width;

    var sum = 0.0;
    for (var i = local; i < params.width; i += THREADS) { sum += f32(x[base + i]); }
    let mean = workgroup_sum(local, sum, false) / f32(params.width);

    var squares = 0.0;
    for (var i = local; i < params.width; i += THREADS) {
        let centered = f32(x[base + i]) - mean;
        squares = fma(centered, centered, squares);
    }
    let scale = inverseSqrt(workgroup_sum(local, squares, true) / f32(params.width) + params.eps);

    if row >= params.rows { return; }
    for (var i = local; i < params.width; i += THREADS) {
        output[base + i] = Scalar((f32(x[base + i]) - mean) * scale * f32(weight[i]) + f32(bias[i]));
    }
}
