// Multi-head attention, softmax(Q Kᵀ / sqrt(d)) V, without workgroup memory; see ops/attention.rs. One invocation per
// four queries of a head, with the online softmax of attention.wgsl over blocks of 16 keys: each loaded element is used
// four or sixteen times.

// `head_dim` is a multiple of 4, at most 512. It is a uniform, not a constant: some compilers take minutes to unroll
// loops over a constant. One launch covers the keys from `first_key` up to `end_key`, continuing the online softmax of the
// launch before; attention_state.wgsl or attention_no_state.wgsl comes first. q, k and v may be parts of a single tensor: rows of q are `q_stride` apart, rows of k and v
// `kv_stride`. k and v start at `k_offset` and `v_offset` within their rows.
struct Params {
    queries: u32, keys: u32, heads: u32, scale: f32, head_dim: u32, q_stride: u32, kv_stride: u32, k_offset: u32, v_offset: u32,
    first_key: u32, end_key: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<Scalar>>; // (B, queries, q_stride)
@group(0) @binding(2) var<storage, read> k: array<vec4<Scalar>>; // (B, keys, kv_stride)
@group(0) @binding(3) var<storage, read> v: array<vec4<Scalar>>; // (B, keys, kv_stride)
@group(0) @binding(4) var<storage, read_write> output: array<vec4<Scalar>>; // (B, queries, heads * head_dim)

override CAUSAL: bool = false;

// Loads four channels of four tokens, one token per column.
fn q_block(at: vec4<u32>, d: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(q[at.x + d]), vec4<f32>(q[at.y + d]), vec4<f32>(q[at.z + d]), vec4<f32>(q[at.w + d]));
}
fn k_block(at: vec4<u32>, d: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(k[at.x + d]), vec4<f32>(k[at.y + d]), vec4<f32>(k[at.z + d]), vec4<f32>(k[at.w + d]));
}
fn v_block(at: vec4<u32>, d: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(v[at.x + d]), vec4<f32>(v[at.y + d]), vec4<f32>(v[at.z + d]), vec4<f32>(v[at.w + d]));
}

// Load and store four channels of four queries' outputs, one query per column. Queries past the end repeat the last one
// and compute the same values, so it does not matter which of them is stored last.
fn load_output(at: vec4<u32>, d: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(output[at.x + d]), vec4<f32>(output[at.y + d]), vec4<f32>(output[at.z + d]), vec4<f32>(output[at.w + d]));
}
fn store_output(at: vec4<u32>, d: u32, values: mat4x4<f32>) {
    output[at.x + d] = vec4<Scalar>(values[0]);
    output[at.y + d] = vec4<Scalar>(values[1]);
    output[at.z + d] = vec4<Scalar>(values[2]);
    output[at.w + d] = vec4<Scalar>(values[3]);
}

// Scales the scores of four keys from `key` on, one query per column, and masks keys past a query's limit.
fn apply_mask(scores: mat4x4<f32>, key: u32, limits: vec4<u32>) -> mat4x4<f32> {
    let keys = key + vec4(0u, 1u, 2u, 3u);
    let masked = vec4(MASKED);
    return mat4x4(
        select(masked, scores[0] * params.scale, keys < vec4(limits.x)),
        select(masked, scores[1] * params.scale, keys < vec4(limits.y)),
        select(masked, scores[2] * params.scale, keys < vec4(limits.z)),
        select(masked, scores[3] * params.scale, keys < vec4(limits.w)),
    );
}

fn max_scores(scores: mat4x4<f32>) -> vec4<f32> {
    let rows = transpose(scores);
    return max(max(rows[0], rows[1]), max(rows[2], rows[3]));
}

fn exp_scores(scores: mat4x4<f32>, row_max: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(
        exp(scores[0] - row_max.x),
        exp(scores[1] - row_max.y),
        exp(scores[2] - row_max.z),
        exp(scores[3] - row_max.w),
    );
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let query = id.x * 4u;
    if query >= params.queries { return; }
    let head_dim_vec4 = params.head_dim / 4u;
    let width = params.heads * head_dim_vec4;
    // Queries and keys past the end repeat the last one; such keys are masked below.
    let queries = min(query + vec4(0u, 1u, 2u, 3u), vec4(params.queries - 1u));
    let output_at = (id.z * params.queries + queries) * width + id.y * head_dim_vec4;
    let q_at = (id.z * params.queries + queries) * (params.q_stride / 4u) + id.y * head_dim_vec4;
    let k_offset = params.k_offset / 4u;
    let v_offset = params.v_offset / 4u;
    let kv_stride = params.kv_stride / 4u;
    let limits = select(vec4(params.keys), queries + 1u, CAUSAL);
    // The output buffer serves as the accumulator: an array of accumulators would take too many registers.
    let state_at = (id.z * params.heads + id.y) * ((params.queries + 3u) / 4u) + id.x;
    var state = RowState(vec4(MASKED), vec4(0.0));
    if params.first_key == 0u {
        for (var d = 0u; d < head_dim_vec4; d++) { store_output(output_at, d, mat4x4<f32>()); }
    } else {
        state = load_state(state_at);
    }
    var row_max = state.row_max;
    var row_sum = state.row_sum;
    for (var key = params.first_key; key < min(limits.w, params.end_key); key += 16u) {
        let keys = key + vec4(0u, 1u, 2u, 3u);
        let last = vec4(params.keys - 1u);
        let base = id.z * params.keys;
        let at0 = (base + min(keys, last)) * kv_stride + id.y * head_dim_vec4;
        let at1 = (base + min(keys + 4u, last)) * kv_stride + id.y * head_dim_vec4;
        let at2 = (base + min(keys + 8u, last)) * kv_stride + id.y * head_dim_vec4;
        let at3 = (base + min(keys + 12u, last)) * kv_stride + id.y * head_dim_vec4;
        var scores0 = mat4x4<f32>(); var scores1 = mat4x4<f32>();
        var scores2 = mat4x4<f32>(); var scores3 = mat4x4<f32>();
        for (var d = 0u; d < head_dim_vec4; d++) {
            let q4 = q_block(q_at, d);
            scores0 += transpose(k_block(at0, d + k_offset)) * q4;
            scores1 += transpose(k_block(at1, d + k_offset)) * q4;
            scores2 += transpose(k_block(at2, d + k_offset)) * q4;
            scores3 += transpose(k_block(at3, d + k_offset)) * q4;
        }
        scores0 = apply_mask(scores0, key, limits);
        scores1 = apply_mask(scores1, key + 4u, limits);
        scores2 = apply_mask(scores2, key + 8u, limits);
        scores3 = apply_mask(scores3, key + 12u, limits);
        let max01 = max(max_scores(scores0), max_scores(scores1));
        let max23 = max(max_scores(scores2), max_scores(scores3));
        let new_max = max(max(row_max, max01), max23);
        let rescale = exp(row_max - new_max);
        row_max = new_max;
        scores0 = exp_scores(scores0, row_max);
        scores1 = exp_scores(scores1, row_max);
        scores2 = exp_scores(scores2, row_max);
        scores3 = exp_scores(scores3, row_max);
        row_sum = row_sum * rescale + vec4(1.0) * (scores0 + scores1 + scores2 + scores3);
        for (var d = 0u; d < head_dim_vec4; d++) {
            let sum = load_output(output_at, d);
            store_output(output_at, d, mat4x4(sum[0] * rescale.x, sum[1] * rescale.y, sum[2] * rescale.z, sum[3] * rescale.w)
                + v_block(at0, d + v_offset) * scores0 + v_block(at1, d + v_offset) * scores1 + v_block(at2, d + v_offset) * scores2 + v_block(at3, d + v_offset) * scores3);
        }
    }
    if params.end_key < params.keys {
        store_state(state_at, RowState(row_max, row_sum));
        return;
    }
    for (var d = 0u; d < head_dim_vec4; d++) {
        let sum = load_output(output_at, d);
        store_output(output_at, d, mat4x4(sum[0] / row_sum.x, sum[1] / row_sum.y, sum[2] / row_sum.z, sum[3] / row_sum.w));
    }
}
