// Conversion to f32; see ops/widen.rs.

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // (count) words, half as many that hold pairs, or superblocks
@group(0) @binding(2) var<storage, read_write> output: array<Scalar>; // (count)

override STORAGE: u32 = 0; // storage type of x: 0 f32, 1 f16 in pairs, 2 bf16 in pairs, 3 q8, 4 q4

fn element(i: u32) -> f32 {
    if STORAGE < 3u { return unpack_element(x[select(i / 2u, i, STORAGE == 0u)], i, STORAGE); }
    let group = i / 4u;
    return dequantize4(group, x[quants_word(group, STORAGE)], x[scales_word(group, STORAGE)], STORAGE)[i % 4u];
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    output[i] = Scalar(element(i));
}
