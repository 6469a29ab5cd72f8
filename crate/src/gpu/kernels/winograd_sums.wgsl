// Winograd output transform (16, T, O) -> (B, H, W, O): A^T m A of each of T tiles, then the epilogue; see winograd.rs.
// One invocation computes four channels of the four pixels of a tile. In Params, rows are pixels, columns are channels
// and `inner` is T.

@group(0) @binding(5) var<storage, read> x: array<vec4<Scalar>>;

// A transformed row or column of a tile.
struct Pair { a: vec4<f32>, b: vec4<f32> }

fn transform(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> Pair {
    return Pair(a + b + c, b - c - d);
}

// Transforms the row of the tile whose first element is at i.
fn transformed_row(i: u32) -> Pair {
    let stride = params.inner * (params.columns / 4u);
    return transform(vec4<f32>(x[i]), vec4<f32>(x[i + stride]), vec4<f32>(x[i + 2u * stride]), vec4<f32>(x[i + 3u * stride]));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 64u + local;
    let columns_vec4 = params.columns / 4u;
    let tile = params.first_tile + i / columns_vec4;
    let tiles_x = (params.out_width + 1u) / 2u;
    let tiles_y = (params.out_height + 1u) / 2u;
    let image = tile / (tiles_x * tiles_y);
    if i / columns_vec4 >= params.inner || image * params.item_rows >= params.rows { return; }
    let row_stride = 4u * params.inner * columns_vec4;
    let a = transformed_row(i);
    let b = transformed_row(i + row_stride);
    let c = transformed_row(i + 2u * row_stride);
    let d = transformed_row(i + 3u * row_stride);
    let left = transform(a.a, b.a, c.a, d.a);
    let right = transform(a.b, b.b, c.b, d.b);
    // A single call in a loop that compilers do not unroll: the inlined epilogue is large.
    var sums = array<vec4<f32>, 4>(left.a, right.a, left.b, right.b);
    for (var pixel = 0u; pixel < min(4u, params.columns); pixel++) {
        let row = tile / tiles_x % tiles_y * 2u + pixel / 2u;
        let column = tile % tiles_x * 2u + pixel % 2u;
        if row < params.out_height && column < params.out_width {
            store_epilogue((image * params.out_height + row) * params.out_width + column, i % columns_vec4 * 4u, sums[pixel], vec4(0.0));
        }
    }
}
