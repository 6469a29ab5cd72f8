// softmax(Q Kᵀ / sqrt(d)) V, head by head; see ops/attention.rs. No score matrix: keys come in
// blocks, and each query keeps a running maximum and total (Milakov and Gimelshein 2018,
// Dao et al. 2022). One workgroup: QUERIES queries of one head of one item.

// Rows of q are `q_stride` long, those of k and v `kv_stride`, where k and v begin at their
// places: the three may be parts of one tensor.
struct Params {
    queries: u32, keys: u32, heads: u32, scale: f32, size: u32, q_stride: u32, kv_stride: u32, key_at: u32, value_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Scalar>; // (B, queries, q_stride)
@group(0) @binding(2) var<storage, read> k: array<Scalar>; // (B, keys, kv_stride)
@group(0) @binding(3) var<storage, read> v: array<Scalar>; // (B, keys, kv_stride)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (B, queries, heads * SIZE)

override SIZE: u32 = 40; // numbers a head
override QUERIES: u32 = 16;
override KEYS: u32 = 16;
override CAUSAL: bool = false;
// Outputs of one invocation: QUERIES * SIZE / 64, at most 32.
override OWN: u32 = 10;

const THREADS: u32 = 64;

var<workgroup> tile_q: array<f32, QUERIES * SIZE>;
var<workgroup> tile_kv: array<f32, KEYS * SIZE>;
var<workgroup> scores: array<f32, QUERIES * KEYS>;
var<workgroup> top: array<f32, QUERIES>;
var<workgroup> workgroup_sum: array<f32, QUERIES>;
var<workgroup> shrink: array<f32, QUERIES>;

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
        top[local] = -3.4e38;
        workgroup_sum[local] = 0.0;
    }
    var sums: array<f32, 32>;
    for (var i = 0u; i < OWN; i++) { sums[i] = 0.0; }

    for (var start = 0u; start < params.keys; start += KEYS) {
        workgroupBarrier();
        for (var i = local; i < KEYS * SIZE; i += THREADS) {
            let key = start + i / SIZE;
            var value = 0.0;
            if key < params.keys { value = f32(k[(item * params.keys + key) * params.kv_stride + params.key_at + head * SIZE + i % SIZE]); }
            tile_kv[i] = value;
        }
        workgroupBarrier();
        for (var i = local; i < QUERIES * KEYS; i += THREADS) {
            let query = i / KEYS;
            let key = i % KEYS;
            var dot = 0.0;
            for (var d = 0u; d < SIZE; d++) { dot = fma(tile_q[query * SIZE + d], tile_kv[key * SIZE + d], dot); }
            let hidden = start + key >= params.keys || (CAUSAL && start + key > first + query);
            scores[i] = select(dot, -3.4e38, hidden);
        }
        workgroupBarrier();
        if local < QUERIES {
            var highest = top[local];
            for (var key = 0u; key < KEYS; key++) { highest = max(highest, scores[local * KEYS + key]); }
            var sum = 0.0;
            for (var key = 0u; key < KEYS; key++) {
                let score = scores[local * KEYS + key];
                let weight = select(exp(score - highest), 0.0, score <= -3.3e38);
                scores[local * KEYS + key] = weight;
                sum += weight;
            }
            shrink[local] = exp(top[local] - highest);
            workgroup_sum[local] = workgroup_sum[local] * shrink[local] + sum;
            top[local] = highest;
        }
        for (var i = local; i < KEYS * SIZE; i += THREADS) {
            let key = start + i / SIZE;
            var value = 0.0;
            if key < params.keys { value = f32(v[(item * params.keys + key) * params.kv_stride + params.value_at + head * SIZE + i % SIZE]); }
            tile_kv[i] = value;
        }
        workgroupBarrier();
        for (var i = 0u; i < OWN; i++) {
            let at = local + i * THREADS;
            if at < QUERIES * SIZE {
                let query = at / SIZE;
                var sum = sums[i] * shrink[query];
                for (var key = 0u; key < KEYS; key++) {
                    sum = fma(scores[query * KEYS + key], tile_kv[key * SIZE + at % SIZE], sum);
                }
                sums[i] = sum;
            }
        }
    }

    for (var i = 0u; i < OWN; i++) {
        let at = local + i * THREADS;
        let query = first + at / SIZE;
        if at < QUERIES * SIZE && query < params.queries {
            output[(item * params.queries + query) * width + head * SIZE + at % SIZE] = Scalar(sums[i] / workgroup_sum[at / SIZE]);
        }
    }
}
