// Multi-head attention, softmax(Q Kᵀ / sqrt(d)) V per head; see ops/attention.rs. Does not materialize the score
// matrix: keys are processed in blocks, with a running maximum and sum per query (online softmax, Milakov and
// Gimelshein 2018; FlashAttention, Dao et al. 2022). One workgroup per QUERIES queries of a head and batch item.

// q, k and v may be parts of a single tensor: rows of q are `q_stride` apart, rows of k and v `kv_stride`. k and v
// start at `k_offset` and `v_offset` within their rows.
struct Params {
    queries: u32, keys: u32, heads: u32, scale: f32, head_dim: u32, q_stride: u32, kv_stride: u32, k_offset: u32, v_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Scalar>; // (B, queries, q_stride)
@group(0) @binding(2) var<storage, read> k: array<Scalar>; // (B, keys, kv_stride)
@group(0) @binding(3) var<storage, read> v: array<Scalar>; // (B, keys, kv_stride)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (B, queries, heads * SIZE)

override SIZE: u32 = 40; // head dimension
override QUERIES: u32 = 16;
override KEYS: u32 = 16;
override CAUSAL: bool = false;
// Outputs per invocation: QUERIES * SIZE / 64, at most 32.
override OUTPUTS: u32 = 10;

const THREADS: u32 = 64;

var<workgroup> tile_q: array<f32, QUERIES * SIZE>;
var<workgroup> tile_kv: array<f32, KEYS * SIZE>;
var<workgroup> scores: array<f32, QUERIES * KEYS>;
var<workgroup> row_max: array<f32, QUERIES>;
var<workgroup> row_sum: array<f32, QUERIES>;
var<workgroup> rescale: array<f32, QUERIES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = group.x * QUERIES;
    let head = group.y;
    let item = group.z;
    let width = params.heads * SIZE;

    for (var i = local; i < QUERIES * SIZE; i += THREADS) {
        let query = first + i / SIZE;
        var value = 0.0;
        if query < params.queries { value = f32(q[(item * params.queries + query) * params.q_stride + head * SIZE + i % SIZE]); }
        tile_q[i] = value * params.scale;
    }
    if local < QUERIES {
        row_max[local] = -3.4e38;
        row_sum[local] = 0.0;
    }
    var sums: array<f32, 32>;
    for (var i = 0u; i < OUTPUTS; i++) { sums[i] = 0.0; }

    for (var start = 0u; start < params.keys; start += KEYS) {
        workgroupBarrier();
        for (var i = local; i < KEYS * SIZE; i += THREADS) {
            let key = start + i / SIZE;
            var value = 0.0;
            if key < params.keys { value = f32(k[(item * params.keys + key) * params.kv_stride + params.k_offset + head * SIZE + i % SIZE]); }
            tile_kv[i] = value;
        }
        workgroupBarrier();
        for (var i = local; i < QUERIES * KEYS; i += THREADS) {
            let query = i / KEYS;
            let key = i % KEYS;
            var dot = 0.0;
            for (var d = 0u; d < SIZE; d++) { dot = fma(tile_q[query * SIZE + d], tile_kv[key * SIZE + d], dot); }
            let is_masked = start + key >= params.keys || (CAUSAL && start + key > first + query);
            scores[i] = select(dot, -3.4e38, is_masked);
        }
        workgroupBarrier();
        if local < QUERIES {
            var new_max = row_max[local];
            for (var key = 0u; key < KEYS; key++) { new_max = max(new_max, scores[local * KEYS + key]); }
            var sum = 0.0;
            for (var key = 0u; key < KEYS; key++) {
                let score = scores[local * KEYS + key];
                let weight = select(exp(score - new_max), 0.0, score <= -3.3e38);
                scores[local * KEYS + key] = weight;
                sum += weight;
            }
            rescale[local] = exp(row_max[local] - new_max);
            row_sum[local] = row_sum[local] * rescale[local] + sum;
            row_max[local] = new_max;
        }
        for (var i = local; i < KEYS * SIZE; i += THREADS) {
            let key = start + i / SIZE;
            var value = 0.0;
            if key < params.keys { value = f32(v[(item * params.keys + key) * params.kv_stride + params.v_offset + head * SIZE + i % SIZE]); }
            tile_kv[i] = value;
        }
        workgroupBarrier();
        for (var i = 0u; i < OUTPUTS; i++) {
            let at = local + i * THREADS;
            if at < QUERIES * SIZE {
                let query = at / SIZE;
                var sum = sums[i] * rescale[query];
                for (var key = 0u; key < KEYS; key++) {
                    sum = fma(scores[query * KEYS + key], tile_kv[key * SIZE + at % SIZE], sum);
                }
                sums[i] = sum;
            }
        }
    }

    for (var i = 0u; i < OUTPUTS; i++) {
        let at = local + i * THREADS;
        let query = first + at / SIZE;
        if at < QUERIES * SIZE && query < params.queries {
            output[(item * params.queries + query) * width + head * SIZE + at % SIZE] = Scalar(sums[i] / row_sum[at / SIZE]);
        }
    }
}
