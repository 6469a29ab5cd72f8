// softmax(Q Kᵀ / sqrt(d)) V without workgroup memory; see ops/attention.rs. One invocation: one
// query of one head, with the running maximum and total of attention.wgsl, four keys at a time.

struct Params { queries: u32, keys: u32, heads: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Scalar>; // (B, queries, heads * SIZE)
@group(0) @binding(2) var<storage, read> k: array<Scalar>; // (B, keys, heads * SIZE)
@group(0) @binding(3) var<storage, read> v: array<Scalar>; // (B, keys, heads * SIZE)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (B, queries, heads * SIZE)

override SIZE: u32 = 40; // numbers a head, at most 512
override CAUSAL: bool = false;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let query = id.x;
    if query >= params.queries { return; }
    let width = params.heads * SIZE;
    let own = (id.z * params.queries + query) * width + id.y * SIZE;
    let seen = select(params.keys, query + 1u, CAUSAL);
    var asked: array<f32, 512>;
    var sums: array<f32, 512>;
    for (var d = 0u; d < SIZE; d++) {
        asked[d] = f32(q[own + d]) * params.scale;
        sums[d] = 0.0;
    }
    var top = -3.4e38;
    var total = 0.0;
    for (var key = 0u; key < seen; key += 4u) {
        // Keys past the end repeat the last one, with weight 0.
        let keys = min(key + vec4(0u, 1u, 2u, 3u), vec4(seen - 1u));
        let at = (id.z * params.keys + keys) * width + id.y * SIZE;
        var scores = vec4(0.0);
        for (var d = 0u; d < SIZE; d++) {
            scores += asked[d] * vec4(f32(k[at.x + d]), f32(k[at.y + d]), f32(k[at.z + d]), f32(k[at.w + d]));
        }
        let highest = max(top, max(max(scores.x, scores.y), max(scores.z, scores.w)));
        let is_real = vec4<bool>(true, key + 1u < seen, key + 2u < seen, key + 3u < seen);
        let weights = select(vec4(0.0), exp(scores - highest), is_real);
        let shrink = exp(top - highest);
        total = total * shrink + dot(weights, vec4(1.0));
        top = highest;
        for (var d = 0u; d < SIZE; d++) {
            let values = vec4(f32(v[at.x + d]), f32(v[at.y + d]), f32(v[at.z + d]), f32(v[at.w + d]));
            sums[d] = sums[d] * shrink + dot(weights, values);
        }
    }
    for (var d = 0u; d < SIZE; d++) { output[own + d] = Scalar(sums[d] / total); }
}
