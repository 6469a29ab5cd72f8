// Rows or input columns of y rescaled to given norms, minus x (DoRA); see ops/renorm.rs. One workgroup per norm.

struct Params { count: u32, columns: u32, repeats: u32, stride: u32, members: u32, offset: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (rows, columns)
@group(0) @binding(2) var<storage, read> y: array<Scalar>; // (rows, columns)
@group(0) @binding(3) var<storage, read> lengths: array<Scalar>; // (count)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (rows, columns)

const THREADS: u32 = 64;
var<workgroup> partial: array<f32, THREADS>;

// Index of member `j` of a row or column.
fn member_index(vector: u32, j: u32) -> u32 {
    return vector * params.offset + j / params.repeats * params.columns + j % params.repeats * params.stride;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup_index(group, groups);
    let vector = min(index, params.count - 1u);
    var squares = 0.0;
    for (var j = local; j < params.members; j += THREADS) {
        let value = f32(y[member_index(vector, j)]);
        squares = fma(value, value, squares);
    }
    partial[local] = squares;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if local < half { partial[local] += partial[local + half]; }
        workgroupBarrier();
    }
    if index >= params.count { return; }
    let scale = f32(lengths[vector]) / max(sqrt(partial[0]), 1e-30);
    for (var j = local; j < params.members; j += THREADS) {
        let at = member_index(vector, j);
        output[at] = Scalar(f32(y[at]) * scale - f32(x[at]));
    }
}
