// Convolution (B, H, W, C) -> (B, H', W', O) as an implicit GEMM; see ops/conv2d.rs. Rows are output pixels, columns
// are output channels, and the depth is (kernel row, kernel column, channel). There is no im2col buffer: input pixels
// are gathered while a tile is loaded.

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = group.x * ROWS;
    let channels_vec4 = params.channels / 4u;
    let row4 = local / 4u;
    let windows = window(first + row4 * 4u + vec4(0u, 1u, 2u, 3u));
    // Tap (column, row) and channel of this invocation's depth, updated incrementally to avoid integer division.
    var tap = vec2(0u);
    var channel = local % 4u;
    for (var start = 0u; start < params.inner; start += DEPTH) {
        while channel >= channels_vec4 {
            channel -= channels_vec4;
            tap.x++;
            if tap.x == params.kernel { tap = vec2(0u, tap.y + 1u); }
        }
        var rows = mat4x4<f32>();
        if tap.y < params.kernel {
            let source = sources(windows, tap);
            rows = mat4x4(
                source.mask.x * vec4<f32>(x[source.at.x + channel]),
                source.mask.y * vec4<f32>(x[source.at.y + channel]),
                source.mask.z * vec4<f32>(x[source.at.z + channel]),
                source.mask.w * vec4<f32>(x[source.at.w + channel]),
            );
        }
        channel += DEPTH / 4u;
        store_row_tile(row4, local % 4u, rows);
        load_matrix_tile(group.y, local, start, 0u);
        workgroupBarrier();
        multiply_tiles(local);
        workgroupBarrier();
    }
    store_tile(first, group.y, local);
}
