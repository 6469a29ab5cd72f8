// Quantization to superblocks; see ops/blocks.rs. One invocation per pair of blocks, whose scales share a word.

struct Params { pairs: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (count)
@group(0) @binding(2) var<storage, read_write> output: array<u32>;

override STORAGE: u32 = 3; // 3 q8, 4 q4

// Zero past the end.
fn element(i: u32) -> f32 {
    if i >= params.count { return 0.0; }
    return f32(x[i]);
}

// Quants of four elements from i on, a byte each: q8, or q4 in the lower half.
fn quantize4(i: u32, inverse: f32) -> u32 {
    var quants = 0u;
    for (var at = 0u; at < 4u; at++) {
        let value = element(i + at) * inverse;
        // Halves are rounded away from zero.
        let whole = i32(value);
        let rest = value - f32(whole);
        let rounded = whole + select(0, 1, rest >= 0.5) - select(0, 1, rest <= -0.5);
        let quant = select(u32(min(value + 8.5, 15.0)), bitcast<u32>(rounded) & 255u, STORAGE == 3u);
        quants |= quant << (8u * at);
    }
    return quants;
}

// Writes the quants of the block from element i on; returns its scale.
fn quantize_block(i: u32) -> f32 {
    var largest = 0.0;
    for (var at = 0u; at < 32u; at++) {
        let value = element(i + at);
        if abs(value) > abs(largest) { largest = value; }
    }
    let scale = select(largest / -8.0, abs(largest) / 127.0, STORAGE == 3u);
    var inverse = 0.0;
    if scale != 0.0 { inverse = 1.0 / scale; }
    for (var group = 0u; group < 4u; group++) {
        let at = quants_word(i / 4u + group, STORAGE);
        let low = quantize4(i + 4u * group, inverse);
        let high = quantize4(i + 16u + 4u * group, inverse);
        if STORAGE == 3u {
            output[at] = low;
            output[at + 4u] = high;
        } else {
            output[at] = low | (high << 4u);
        }
    }
    return scale;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.pairs { return; }
    let first = quantize_block(64u * i);
    let second = quantize_block(64u * i + 32u);
    output[scales_word(16u * i, STORAGE)] = pack2x16float(vec2(first, second));
}
