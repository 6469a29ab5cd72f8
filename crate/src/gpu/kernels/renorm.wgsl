// Rows or input columns brought to given lengths, minus the base; see ops/renorm.rs.
// One workgroup: one length.

struct Params { count: u32, columns: u32, repeats: u32, apart: u32, members: u32, offset: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (rows, columns)
@group(0) @binding(2) var<storage, read> y: array<Scalar>; // (rows, columns)
@group(0) @binding(3) var<storage, read> lengths: array<Scalar>; // (count)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (rows, columns)

const THREADS: u32 = 64;
var<workgroup> partial: array<f32, THREADS>;

// Where member `j` of the row or column `which` is.
fn place(which: u32, j: u32) -> u32 {
    return which * params.offset + j / params.repeats * params.columns + j % params.repeats * params.apart;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let asked = workgroup_index(group, groups);
    let which = min(asked, params.count - 1u);
    var squares = 0.0;
    for (var j = local; j < params.members; j += THREADS) {
        let value = f32(y[place(which, j)]);
        squares = fma(value, value, squares);
    }
    partial[local] = squares;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if local < half { partial[local] += partial[local + half]; }
        workgroupBarrier();
    }
    if asked >= params.count { return; }
    let scale = f32(lengths[which]) / max(sqrt(partial[0]), 1e-30);
    for (var j = local; j < params.members; j += THREADS) {
        let at = place(which, j);
        output[at] = Scalar(f32(y[at]) * scale - f32(x[at]));
    }
}
