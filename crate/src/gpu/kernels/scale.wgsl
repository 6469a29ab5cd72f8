// Each row or each column times its own factor; see ops/scale.rs.

struct Params { count: u32, columns: u32, factor_count: u32, by_rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (rows, columns)
@group(0) @binding(2) var<storage, read> numbers: array<Scalar>; // (rows), or a divisor of columns
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // (rows, columns)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let index = select(i % params.columns % params.factor_count, i / params.columns, params.by_rows == 1u);
    output[i] = Scalar(f32(x[i]) * f32(numbers[index]));
}
