// (B, H, W, C) -> (B, H', W', O); see ops/conv2d.rs. An implicit matrix product: rows are output
// pixels, columns output channels, depth is (kernel row, kernel column, channel). Nothing is
// unrolled into memory; a pixel's neighbours are found while a tile is filled.

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = group.x * ROWS;
    let fours = params.channels / 4u;
    let four = local / 4u;
    let place = window(first + four * 4u + vec4(0u, 1u, 2u, 3u));
    // Tap (column, row) and channel of this invocation's depth: stepped on, since divisions are dear.
    var tap = vec2(0u);
    var channel = local % 4u;
    for (var start = 0u; start < params.inner; start += DEPTH) {
        while channel >= fours {
            channel -= fours;
            tap.x++;
            if tap.x == params.kernel { tap = vec2(0u, tap.y + 1u); }
        }
        var rows = mat4x4<f32>();
        if tap.y < params.kernel {
            let source = sources(place, tap);
            rows = mat4x4(
                source.live.x * vec4<f32>(x[source.at.x + channel]),
                source.live.y * vec4<f32>(x[source.at.y + channel]),
                source.live.z * vec4<f32>(x[source.at.z + channel]),
                source.live.w * vec4<f32>(x[source.at.w + channel]),
            );
        }
        channel += DEPTH / 4u;
        fill_rows(four, local % 4u, rows);
        fill_matrix(group.y, local, start, 0u);
        workgroupBarrier();
        multiply_tiles(local);
        workgroupBarrier();
    }
    finish_tile(first, group.y, local);
}
