// Shared by all kernels. Tensors are stored as `Scalar`, tiles multiply `Operand`s (f32 or f16 each), and all other
// arithmetic is f32. The lines before this file define both types and F16_OPERANDS, which is 1 if `Operand` is f16.

// Linear workgroup index: grids of more than 65535 workgroups are two-dimensional.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// erf with an absolute error of 1.5e-7 (Abramowitz and Stegun 7.1.26).
fn erf(x: f32) -> f32 {
    let magnitude = abs(x);
    let t = 1.0 / (1.0 + 0.3275911 * magnitude);
    let tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - tail * exp(-magnitude * magnitude));
}

fn silu(x: f32) -> f32 {
    return x / (1.0 + exp(-x));
}

fn gelu(x: f32) -> f32 {
    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
}

fn quick_gelu(x: f32) -> f32 {
    return x / (1.0 + exp(-1.702 * x));
}

// Element i % 2 of a word that holds one f32 (storage 0) or a pair of f16 (1) or bf16 (2).
fn unpack_element(word: u32, i: u32, storage: u32) -> f32 {
    if storage == 0u { return bitcast<f32>(word); }
    if storage == 1u { return unpack2x16float(word)[i % 2u]; }
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, i % 2u == 1u));
}

// Unpacks two words that hold pairs of f16 (storage 1) or bf16 (2).
fn unpack4(words: vec2<u32>, storage: u32) -> vec4<f32> {
    if storage == 1u { return vec4(unpack2x16float(words.x), unpack2x16float(words.y)); }
    return bitcast<vec4<f32>>(vec4(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}

// Superblocks of 64 groups of four elements, q8 (storage 3) or q4 (4): 64 or 32 words with the quants of eight blocks, then
// four words with the scales of two blocks each; see ops/blocks.rs.

// Index of the word with the quants of a group.
fn quants_word(group: u32, storage: u32) -> u32 {
    if storage == 3u { return group + group / 64u * 4u; }
    return (group / 8u + group / 64u) * 4u + group % 4u;
}

// Index of the word with the scale of a group's block and that of another block.
fn scales_word(group: u32, storage: u32) -> u32 {
    let end = (group | 63u) + 1u;
    return select(end / 2u, end, storage == 3u) + group / 16u;
}

// Scale of a group's block, from the word with two of them, for the numbers of quants4.
fn block_scale(group: u32, scales: u32, storage: u32) -> f32 {
    let scale = unpack2x16float(select(scales, scales >> 16u, (group & 8u) != 0u)).x;
    return scale * select(3.7252902984619140625e-9, 5.9604644775390625e-8, storage == 3u);
}

// Quants of a group, from their word, as signed integers times 2^24 (q8) or 2^28 (q4). Processors have vector instructions for
// shifts by constants and for conversions of signed integers, but not all for others.
fn quants4(group: u32, quants: u32, storage: u32) -> vec4<f32> {
    // Four bits less 8 are the same bits with the highest one inverted, as a signed integer.
    let nibbles = select(quants << 4u, quants, (group & 4u) != 0u) ^ 0x88888888u;
    let word = select(nibbles, quants, storage == 3u);
    let highest = vec4(word << 24u, word << 16u, word << 8u, word) & vec4(select(0xf0000000u, 0xff000000u, storage == 3u));
    return vec4<f32>(bitcast<vec4<i32>>(highest));
}

// Elements of a group from the words with its quants and its block's scale.
fn dequantize4(group: u32, quants: u32, scales: u32, storage: u32) -> vec4<f32> {
    return block_scale(group, scales, storage) * quants4(group, quants, storage);
}
