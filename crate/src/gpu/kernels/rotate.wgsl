// Block-diagonal matrix times x, optionally with butterfly-permuted rows; see ops/rotate.rs. One invocation per output
// element.

struct Params { count: u32, columns: u32, size: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> blocks: array<Scalar>; // (N, S, S)
@group(0) @binding(2) var<storage, read> x: array<Scalar>; // (N*S, columns)
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // (N*S, columns)

// Row of x at a position in block order.
fn row(position: u32) -> u32 {
    if params.stride == 0u { return position; }
    let period = 2u * params.stride;
    let inside = position % period;
    return position - inside + inside % 2u * params.stride + inside / 2u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let position = i / params.columns;
    let column = i % params.columns;
    let first = position - position % params.size;
    var sum = 0.0;
    for (var j = 0u; j < params.size; j++) {
        sum = fma(f32(blocks[position * params.size + j]), f32(x[row(first + j) * params.columns + column]), sum);
    }
    output[row(position) * params.columns + column] = Scalar(sum);
}
