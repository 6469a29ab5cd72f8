// Group normalization of a strip from given moments, optionally with SiLU; see ops/normalize.rs.

struct Params { count: u32, item: u32, channels: u32, groups: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (B, H, W, C)
@group(0) @binding(2) var<storage, read> moments: array<Scalar>; // (B, G, 3)
@group(0) @binding(3) var<storage, read> weight: array<Scalar>; // (C)
@group(0) @binding(4) var<storage, read> bias: array<Scalar>; // (C)
@group(0) @binding(5) var<storage, read_write> output: array<Scalar>; // (B, H, W, C)

override SILU: bool = false;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let channel = i % params.channels;
    let at = (i / params.item * params.groups + channel / (params.channels / params.groups)) * 3u;
    let scale = inverseSqrt(f32(moments[at + 2u]) / f32(moments[at]) + params.eps);
    var value = (f32(x[i]) - f32(moments[at + 1u])) * scale * f32(weight[channel]) + f32(bias[channel]);
    if SILU { value = silu(value); }
    output[i] = Scalar(value);
}
