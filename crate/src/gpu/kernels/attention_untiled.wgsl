// softmax(Q Kᵀ / sqrt(d)) V without workgroup memory; see ops/attention.rs. One invocation: four
// queries of one head, with the running maximum and total of attention.wgsl, 16 keys at a time, so
// that what is read is used four or sixteen times.

// `size` is the numbers of a head: a multiple of 4, at most 512. No constant, lest compilers unroll
// loops over it, which takes some of them minutes.
// Rows of q are `q_stride` long, those of k and v `kv_stride`, where k and v begin at their
// places: the three may be parts of one tensor.
struct Params {
    queries: u32, keys: u32, heads: u32, scale: f32, size: u32, q_stride: u32, kv_stride: u32, key_at: u32, value_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<Scalar>>; // (B, queries, q_stride)
@group(0) @binding(2) var<storage, read> k: array<vec4<Scalar>>; // (B, keys, kv_stride)
@group(0) @binding(3) var<storage, read> v: array<vec4<Scalar>>; // (B, keys, kv_stride)
@group(0) @binding(4) var<storage, read_write> output: array<vec4<Scalar>>; // (B, queries, heads * size)

override CAUSAL: bool = false;

const HIDDEN: f32 = -3.4e38;

// Four numbers of four tokens: a token each column.
fn q_block(at: vec4<u32>, d: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(q[at.x + d]), vec4<f32>(q[at.y + d]), vec4<f32>(q[at.z + d]), vec4<f32>(q[at.w + d]));
}
fn k_block(at: vec4<u32>, d: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(k[at.x + d]), vec4<f32>(k[at.y + d]), vec4<f32>(k[at.z + d]), vec4<f32>(k[at.w + d]));
}
fn v_block(at: vec4<u32>, d: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(v[at.x + d]), vec4<f32>(v[at.y + d]), vec4<f32>(v[at.z + d]), vec4<f32>(v[at.w + d]));
}

// Four numbers of four queries' results. Queries past the end are the last one: they have its
// numbers, so that it does not matter which of them is stored.
fn got(at: vec4<u32>, d: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(output[at.x + d]), vec4<f32>(output[at.y + d]), vec4<f32>(output[at.z + d]), vec4<f32>(output[at.w + d]));
}
fn put(at: vec4<u32>, d: u32, sums: mat4x4<f32>) {
    output[at.x + d] = vec4<Scalar>(sums[0]);
    output[at.y + d] = vec4<Scalar>(sums[1]);
    output[at.z + d] = vec4<Scalar>(sums[2]);
    output[at.w + d] = vec4<Scalar>(sums[3]);
}

// Scores of four keys from `key` on, a query each column; those past a query's limit are hidden.
fn apply_mask(scores: mat4x4<f32>, key: u32, limits: vec4<u32>) -> mat4x4<f32> {
    let keys = key + vec4(0u, 1u, 2u, 3u);
    let hidden = vec4(HIDDEN);
    return mat4x4(
        select(hidden, scores[0] * params.scale, keys < vec4(limits.x)),
        select(hidden, scores[1] * params.scale, keys < vec4(limits.y)),
        select(hidden, scores[2] * params.scale, keys < vec4(limits.z)),
        select(hidden, scores[3] * params.scale, keys < vec4(limits.w)),
    );
}

fn highest(scores: mat4x4<f32>) -> vec4<f32> {
    let rows = transpose(scores);
    return max(max(rows[0], rows[1]), max(rows[2], rows[3]));
}

fn weights(scores: mat4x4<f32>, top: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(exp(scores[0] - top.x), exp(scores[1] - top.y), exp(scores[2] - top.z), exp(scores[3] - top.w));
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let query = id.x * 4u;
    if query >= params.queries { return; }
    let head_dim_vec4 = params.size / 4u;
    let width = params.heads * head_dim_vec4;
    // Queries and keys past the end repeat the last one; they are not stored, and hidden.
    let queries = min(query + vec4(0u, 1u, 2u, 3u), vec4(params.queries - 1u));
    let own = (id.z * params.queries + queries) * width + id.y * head_dim_vec4;
    let q_at = (id.z * params.queries + queries) * (params.q_stride / 4u) + id.y * head_dim_vec4;
    let key_at = params.key_at / 4u;
    let value_at = params.value_at / 4u;
    let step = params.kv_stride / 4u;
    let limits = select(vec4(params.keys), queries + 1u, CAUSAL);
    // Sums of values lie where the result will: an array of them would be many registers.
    for (var d = 0u; d < head_dim_vec4; d++) { put(own, d, mat4x4<f32>()); }
    var top = vec4(HIDDEN);
    var workgroup_sum = vec4(0.0);
    for (var key = 0u; key < limits.w; key += 16u) {
        let keys = key + vec4(0u, 1u, 2u, 3u);
        let last = vec4(params.keys - 1u);
        let base = id.z * params.keys;
        let at0 = (base + min(keys, last)) * step + id.y * head_dim_vec4;
        let at1 = (base + min(keys + 4u, last)) * step + id.y * head_dim_vec4;
        let at2 = (base + min(keys + 8u, last)) * step + id.y * head_dim_vec4;
        let at3 = (base + min(keys + 12u, last)) * step + id.y * head_dim_vec4;
        var scores0 = mat4x4<f32>(); var scores1 = mat4x4<f32>();
        var scores2 = mat4x4<f32>(); var scores3 = mat4x4<f32>();
        for (var d = 0u; d < head_dim_vec4; d++) {
            let q_four = q_block(q_at, d);
            scores0 += transpose(k_block(at0, d + key_at)) * q_four;
            scores1 += transpose(k_block(at1, d + key_at)) * q_four;
            scores2 += transpose(k_block(at2, d + key_at)) * q_four;
            scores3 += transpose(k_block(at3, d + key_at)) * q_four;
        }
        scores0 = apply_mask(scores0, key, limits);
        scores1 = apply_mask(scores1, key + 4u, limits);
        scores2 = apply_mask(scores2, key + 8u, limits);
        scores3 = apply_mask(scores3, key + 12u, limits);
        let now = max(max(top, max(highest(scores0), highest(scores1))), max(highest(scores2), highest(scores3)));
        let shrink = exp(top - now);
        top = now;
        scores0 = weights(scores0, top);
        scores1 = weights(scores1, top);
        scores2 = weights(scores2, top);
        scores3 = weights(scores3, top);
        workgroup_sum = workgroup_sum * shrink + vec4(1.0) * (scores0 + scores1 + scores2 + scores3);
        for (var d = 0u; d < head_dim_vec4; d++) {
            let sum = got(own, d);
            put(own, d, mat4x4(sum[0] * shrink.x, sum[1] * shrink.y, sum[2] * shrink.z, sum[3] * shrink.w)
                + v_block(at0, d + value_at) * scores0 + v_block(at1, d + value_at) * scores1 + v_block(at2, d + value_at) * scores2 + v_block(at3, d + value_at) * scores3);
        }
    }
    for (var d = 0u; d < head_dim_vec4; d++) {
        let sum = got(own, d);
        put(own, d, mat4x4(sum[0] / workgroup_sum.x, sum[1] / workgroup_sum.y, sum[2] / workgroup_sum.z, sum[3] / workgroup_sum.w));
    }
}
