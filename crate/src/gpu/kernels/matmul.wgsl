// (M, K) x matrix -> (M, N); see ops/matmul.rs. One workgroup makes a tile of ROWS x 64.

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = group.x * ROWS;
    let fours = params.inner / 4u;
    // Rows past the end repeat the last one; their sums are not stored.
    let four = local / 4u;
    let starts = min(first + four * 4u + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u)) * fours;
    for (var start = 0u; start < params.inner; start += DEPTH) {
        let k = start / 4u + local % 4u;
        var rows = mat4x4<f32>();
        if k < fours {
            rows = mat4x4(vec4<f32>(x[starts.x + k]), vec4<f32>(x[starts.y + k]), vec4<f32>(x[starts.z + k]), vec4<f32>(x[starts.w + k]));
        }
        fill_rows(four, local % 4u, rows);
        fill_matrix(group.y, local, start);
        workgroupBarrier();
        multiply_tiles(local);
        workgroupBarrier();
    }
    finish_tile(first, group.y, local);
}
