// Count, mean and centered sum of squares of each group over a strip, merged with those of earlier strips; see
// ops/moments.rs. One workgroup per group and batch item. Two passes avoid the cancellation of a one-pass variance.

struct Params { height: u32, width: u32, channels: u32, groups: u32, start: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (B, H, W, C)
@group(0) @binding(2) var<storage, read> before: array<Scalar>; // (B, G, 3)
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // (B, G, 3)

override GOES_ON: bool = false;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let group_size = params.channels / params.groups;
    let elements = params.count * params.width * group_size;
    let base = (id.y * params.height + params.start) * params.width * params.channels + id.x * group_size;

    var sum = 0.0;
    for (var i = local; i < elements; i += THREADS) { sum += f32(x[base + i / group_size * params.channels + i % group_size]); }
    var count = f32(elements);
    var mean = workgroup_sum(local, sum, false) / count;

    var delta = 0.0;
    var squares = 0.0;
    for (var i = local; i < elements; i += THREADS) {
        delta = f32(x[base + i / group_size * params.channels + i % group_size]) - mean;
        squares = fma(delta, delta, squares);
    }
    squares = workgroup_sum(local, squares, true);

    if local > 0u { return; }
    let at = (id.y * params.groups + id.x) * 3u;
    if GOES_ON {
        let total = f32(before[at]) + count;
        delta = mean - f32(before[at + 1u]);
        squares += f32(before[at + 2u]) + delta * delta * f32(before[at]) * (count / total);
        mean = f32(before[at + 1u]) + delta * (count / total);
        count = total;
    }
    output[at] = Scalar(count);
    output[at + 1u] = Scalar(mean);
    output[at + 2u] = Scalar(squares);
}
