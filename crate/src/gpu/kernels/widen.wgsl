// Conversion to f32; see ops/widen.rs.

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // (count) words, or half as many that hold pairs
@group(0) @binding(2) var<storage, read_write> output: array<Scalar>; // (count)

override STORAGE: u32 = 0; // storage type of x: 0 f32, 1 f16 in pairs, 2 bf16 in pairs

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    output[i] = Scalar(unpack_element(x[select(i / 2u, i, STORAGE == 0u)], i, STORAGE));
}
