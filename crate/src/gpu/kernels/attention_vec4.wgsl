// Loads and stores of attention.wgsl for head dimensions that are multiples of 4.

@group(0) @binding(1) var<storage, read> q: array<vec4<Scalar>>; // (B, queries, q_stride)
@group(0) @binding(2) var<storage, read> k: array<vec4<Scalar>>; // (B, keys, kv_stride)
@group(0) @binding(3) var<storage, read> v: array<vec4<Scalar>>; // (B, keys, kv_stride)
@group(0) @binding(4) var<storage, read_write> output: array<vec4<Scalar>>; // (B, queries, heads * SIZE)

// Each loads or stores four channels from element `at` on; `count` of them belong to the head, here always all four.
fn load_q(at: u32, count: u32) -> vec4<f32> { return vec4<f32>(q[at / 4u]); }
fn load_k(at: u32, count: u32) -> vec4<f32> { return vec4<f32>(k[at / 4u]); }
fn load_v(at: u32, count: u32) -> vec4<f32> { return vec4<f32>(v[at / 4u]); }
fn load_output(at: u32, count: u32) -> vec4<f32> { return vec4<f32>(output[at / 4u]); }
fn store_output(at: u32, count: u32, values: vec4<f32>) { output[at / 4u] = vec4<Scalar>(values); }
