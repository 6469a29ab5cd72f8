// Numbers of any storage as f32; see ops/widen.rs.

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // (count), or its half in pairs
@group(0) @binding(2) var<storage, read_write> output: array<Scalar>; // (count)

override STORAGE: u32 = 0; // of the weights: 0 f32, 1 f16 in pairs, 2 bf16 in pairs

// A number of x, whose words hold one f32 or a pair of halves.
fn stored(i: u32) -> f32 {
    if STORAGE == 0u { return bitcast<f32>(x[i]); }
    let word = x[i / 2u];
    if STORAGE == 1u { return unpack2x16float(word)[i % 2u]; }
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, i % 2u == 1u));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = flat(group, groups) * 256u + local;
    if i >= params.count { return; }
    output[i] = Scalar(stored(i));
}
