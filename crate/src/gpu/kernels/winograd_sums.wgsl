// (16, T, O) -> (B, H, W, O): A^T m A of each of T tiles, and what follows; see winograd.rs. One
// invocation makes four channels of the four pixels of a tile. Rows are pixels, columns channels,
// `inner` is T, `left` the first tile.

@group(0) @binding(5) var<storage, read> x: array<vec4<Scalar>>;

// The two sums of a line of the tile.
struct Pair { a: vec4<f32>, b: vec4<f32> }

fn across(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> Pair {
    return Pair(a + b + c, b - c - d);
}

// The line of the tile whose first number is at i.
fn line(i: u32) -> Pair {
    let place = params.inner * (params.columns / 4u);
    return across(vec4<f32>(x[i]), vec4<f32>(x[i + place]), vec4<f32>(x[i + 2u * place]), vec4<f32>(x[i + 3u * place]));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 64u + local;
    let fours = params.columns / 4u;
    let tile = params.x_columns + i / fours;
    let wide = (params.out_width + 1u) / 2u;
    let high = (params.out_height + 1u) / 2u;
    let image = tile / (wide * high);
    if i / fours >= params.inner || image * params.item_rows >= params.rows { return; }
    let lines = 4u * params.inner * fours;
    let a = line(i);
    let b = line(i + lines);
    let c = line(i + 2u * lines);
    let d = line(i + 3u * lines);
    let x_columns = across(a.a, b.a, c.a, d.a);
    let right = across(a.b, b.b, c.b, d.b);
    // One place that stores, in a loop that no compiler unrolls: its text is long.
    var sums = array<vec4<f32>, 4>(x_columns.a, right.a, x_columns.b, right.b);
    for (var pixel = 0u; pixel < min(4u, params.columns); pixel++) {
        let row = tile / wide % high * 2u + pixel / 2u;
        let column = tile % wide * 2u + pixel % 2u;
        if row < params.out_height && column < params.out_width {
            store_epilogue((image * params.out_height + row) * params.out_width + column, i % fours * 4u, sums[pixel], vec4(0.0));
        }
    }
}
