// Rows mixed in blocks; see ops/rotate.rs. One invocation: one number of the output.

struct Params { count: u32, columns: u32, size: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> blocks: array<Scalar>; // (N, S, S)
@group(0) @binding(2) var<storage, read> x: array<Scalar>; // (N*S, columns)
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // (N*S, columns)

// The row that stands at `place` in the order of the blocks.
fn row(place: u32) -> u32 {
    if params.stride == 0u { return place; }
    let pair = 2u * params.stride;
    let inside = place % pair;
    return place - inside + inside % 2u * params.stride + inside / 2u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let place = i / params.columns;
    let column = i % params.columns;
    let first = place - place % params.size;
    var sum = 0.0;
    for (var j = 0u; j < params.size; j++) {
        sum = fma(f32(blocks[place * params.size + j]), f32(x[row(first + j) * params.columns + column]), sum);
    }
    output[row(place) * params.columns + column] = Scalar(sum);
}
