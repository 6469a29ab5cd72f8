// (O, 9 * C) -> (16, O, C): G g G^T of each kernel; see winograd.rs. One invocation makes
// four kernels of neighbouring channels.

struct Params { count: u32, fours: u32 } // of a place of the tile, and channels: in vec4s

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<Scalar>>;

override STORAGE: u32 = 0; // of x: 0 f32, 1 f16 in pairs, 2 bf16 in pairs

fn across(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> Line {
    return Line(a, 0.5 * (a + b + c), 0.5 * (a - b + c), c);
}

fn weight(i: u32) -> vec4<f32> {
    if STORAGE == 0u { return bitcast<vec4<f32>>(x[i]); }
    let eight = x[i / 2u];
    return widened(select(eight.xy, eight.zw, i % 2u == 1u), STORAGE);
}

// A row of the kernel that begins at i.
fn line(i: u32) -> Line {
    return across(weight(i), weight(i + params.fours), weight(i + 2u * params.fours));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let kernel = i / params.fours * 9u * params.fours + i % params.fours;
    let a = line(kernel);
    let b = line(kernel + 3u * params.fours);
    let c = line(kernel + 6u * params.fours);
    store(i, 0u, across(a.a, b.a, c.a));
    store(i, 1u, across(a.b, b.b, c.b));
    store(i, 2u, across(a.c, b.c, c.c));
    store(i, 3u, across(a.d, b.d, c.d));
}
