// Conversion to f16 or bf16; see ops/narrow.rs. One invocation per pair of elements.

struct Params { pairs: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (count)
@group(0) @binding(2) var<storage, read_write> output: array<u32>; // (pairs)

override STORAGE: u32 = 1; // 1 f16, 2 bf16

// Rounds to the bits of the nearest bf16, ties to even.
fn bf16(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.pairs { return; }
    let low = f32(x[2u * i]);
    var high = 0.0;
    if 2u * i + 1u < params.count { high = f32(x[2u * i + 1u]); }
    if STORAGE == 1u {
        output[i] = pack2x16float(vec2(low, high));
    } else {
        output[i] = bf16(low) | (bf16(high) << 16u);
    }
}
