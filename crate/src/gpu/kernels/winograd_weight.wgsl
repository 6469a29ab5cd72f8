// Winograd filter transform (O, 9 * C) -> (16, O, C): G g G^T of each filter; see winograd.rs. One invocation
// transforms the filters of four adjacent channels.

// Size of a matrix, and number of channels, both in vec4s.
struct Params { count: u32, channels_vec4: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<Scalar>>;

override STORAGE: u32 = 0; // storage type of x: 0 f32, 1 f16 in pairs, 2 bf16 in pairs

fn transform(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> Line {
    return Line(a, 0.5 * (a + b + c), 0.5 * (a - b + c), c);
}

fn load_weight4(i: u32) -> vec4<f32> {
    if STORAGE == 0u { return bitcast<vec4<f32>>(x[i]); }
    let words = x[i / 2u];
    return unpack4(select(words.xy, words.zw, i % 2u == 1u), STORAGE);
}

// Transforms the row of a filter that starts at i.
fn transformed_row(i: u32) -> Line {
    return transform(load_weight4(i), load_weight4(i + params.channels_vec4), load_weight4(i + 2u * params.channels_vec4));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let at = i / params.channels_vec4 * 9u * params.channels_vec4 + i % params.channels_vec4;
    let a = transformed_row(at);
    let b = transformed_row(at + 3u * params.channels_vec4);
    let c = transformed_row(at + 6u * params.channels_vec4);
    store(i, 0u, transform(a.a, b.a, c.a));
    store(i, 1u, transform(a.b, b.b, c.b));
    store(i, 2u, transform(a.c, b.c, c.c));
    store(i, 3u, transform(a.d, b.d, c.d));
}
