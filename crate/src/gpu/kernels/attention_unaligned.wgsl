// Loads and stores of attention.wgsl for head dimensions that are not multiples of 4.

@group(0) @binding(1) var<storage, read> q: array<Scalar>; // (B, queries, q_stride)
@group(0) @binding(2) var<storage, read> k: array<Scalar>; // (B, keys, kv_stride)
@group(0) @binding(3) var<storage, read> v: array<Scalar>; // (B, keys, kv_stride)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (B, queries, heads * SIZE)

// Each loads or stores four channels from element `at` on, of which only `count` belong to the head.
fn within(count: u32, values: vec4<f32>) -> vec4<f32> { return select(vec4(0.0), values, vec4(0u, 1u, 2u, 3u) < vec4(count)); }
fn load_q(at: u32, count: u32) -> vec4<f32> {
    return within(count, vec4(f32(q[at]), f32(q[at + 1u]), f32(q[at + 2u]), f32(q[at + 3u])));
}
fn load_k(at: u32, count: u32) -> vec4<f32> {
    return within(count, vec4(f32(k[at]), f32(k[at + 1u]), f32(k[at + 2u]), f32(k[at + 3u])));
}
fn load_v(at: u32, count: u32) -> vec4<f32> {
    return within(count, vec4(f32(v[at]), f32(v[at + 1u]), f32(v[at + 2u]), f32(v[at + 3u])));
}
fn load_output(at: u32, count: u32) -> vec4<f32> {
    return within(count, vec4(f32(output[at]), f32(output[at + 1u]), f32(output[at + 2u]), f32(output[at + 3u])));
}
fn store_output(at: u32, count: u32, values: vec4<f32>) {
    for (var i = 0u; i < min(count, 4u); i++) { output[at + i] = Scalar(values[i]); }
}
