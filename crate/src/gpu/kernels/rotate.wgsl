// Block-diagonal matrix times the rows or columns of x, optionally permuted; see ops/rotate.rs. One invocation per
// output element.

struct Params { count: u32, columns: u32, size: u32, stride: u32, lines: u32, area: u32, across: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> blocks: array<Scalar>; // (N, S, S)
@group(0) @binding(2) var<storage, read> x: array<Scalar>; // (N*S, columns) or (rows, N*S)
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // as x

// Row or column of x at a position in block order.
fn line(position: u32) -> u32 {
    var at = position;
    if params.stride > 0u {
        let period = 2u * params.stride;
        let inside = position % period;
        at = position - inside + inside % 2u * params.stride + inside / 2u;
    }
    return at % params.area * (params.lines / params.area) + at / params.area;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let across = params.across == 1u;
    let row = i / params.columns;
    let column = i % params.columns;
    let position = select(row, column, across);
    let other = select(column, row * params.columns, across);
    let pitch = select(params.columns, 1u, across);
    let first = position - position % params.size;
    var sum = 0.0;
    for (var j = 0u; j < params.size; j++) {
        sum = fma(f32(blocks[position * params.size + j]), f32(x[line(first + j) * pitch + other]), sum);
    }
    output[line(position) * pitch + other] = Scalar(sum);
}
