// Count, mean and sum of squares about it of each group, a strip joined to those before it; see
// ops/moments.rs. One workgroup: one group of one item, read twice, so that nothing cancels.

struct Params { height: u32, width: u32, channels: u32, groups: u32, start: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (B, H, W, C)
@group(0) @binding(2) var<storage, read> before: array<Scalar>; // (B, G, 3)
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // (B, G, 3)

override GOES_ON: bool = false;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let size = params.channels / params.groups;
    let numbers = params.count * params.width * size;
    let base = (id.y * params.height + params.start) * params.width * params.channels + id.x * size;

    var sum = 0.0;
    for (var i = local; i < numbers; i += THREADS) { sum += f32(x[base + i / size * params.channels + i % size]); }
    var count = f32(numbers);
    var mean = workgroup_sum(local, sum, false) / count;

    var off = 0.0;
    var squares = 0.0;
    for (var i = local; i < numbers; i += THREADS) {
        off = f32(x[base + i / size * params.channels + i % size]) - mean;
        squares = fma(off, off, squares);
    }
    squares = workgroup_sum(local, squares, true);

    if local > 0u { return; }
    let at = (id.y * params.groups + id.x) * 3u;
    if GOES_ON {
        let all = f32(before[at]) + count;
        off = mean - f32(before[at + 1u]);
        squares += f32(before[at + 2u]) + off * off * f32(before[at]) * (count / all);
        mean = f32(before[at + 1u]) + off * (count / all);
        count = all;
    }
    output[at] = Scalar(count);
    output[at + 1u] = Scalar(mean);
    output[at + 2u] = Scalar(squares);
}
