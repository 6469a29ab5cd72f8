// Vertical concatenation of row ranges of up to six feature maps; see ops/rows.rs.

// `parts`: first row in the output, first row in the map, height of the map.
struct Params { count: u32, row: u32, height: u32, used: u32, parts: array<vec4<u32>, 6> }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x0: array<Scalar>; // (B, H, W, C)
@group(0) @binding(2) var<storage, read> x1: array<Scalar>;
@group(0) @binding(3) var<storage, read> x2: array<Scalar>;
@group(0) @binding(4) var<storage, read> x3: array<Scalar>;
@group(0) @binding(5) var<storage, read> x4: array<Scalar>;
@group(0) @binding(6) var<storage, read> x5: array<Scalar>;
@group(0) @binding(7) var<storage, read_write> output: array<Scalar>; // (B, rows, W, C)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let row = i / params.row;
    let y = row % params.height;
    var part = 0u;
    while part + 1u < params.used && params.parts[part + 1u].x <= y { part++; }
    let range = params.parts[part];
    let source = ((row / params.height * range.z) + range.y + y - range.x) * params.row + i % params.row;
    switch part {
        case 0u: { output[i] = x0[source]; }
        case 1u: { output[i] = x1[source]; }
        case 2u: { output[i] = x2[source]; }
        case 3u: { output[i] = x3[source]; }
        case 4u: { output[i] = x4[source]; }
        default: { output[i] = x5[source]; }
    }
}
