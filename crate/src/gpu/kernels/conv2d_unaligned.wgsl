// Convolution (B, H, W, C) -> (B, H', W', O) for channel counts that are not multiples of 4; see ops/conv2d.rs. One
// invocation computes 4 adjacent pixels x 4 channels.

struct Params {
    batch: u32, height: u32, width: u32, channels: u32, out_height: u32, out_width: u32, outputs: u32, kernel: u32, stride: u32, padding: u32,
}

// Offset of the input pixel under a tap of an output pixel, and a mask of 1; both are 0 outside the feature map.
fn source(pixel: u32, tap: vec2<u32>) -> vec2<u32> {
    let image = pixel / (params.out_height * params.out_width);
    let position = vec2(pixel / params.out_width % params.out_height, pixel % params.out_width);
    let at = vec2<i32>(position * params.stride + tap) - i32(params.padding);
    let inside = image < params.batch && all(at >= vec2(0)) && at.x < i32(params.height) && at.y < i32(params.width);
    if !inside { return vec2(0u); }
    return vec2(((image * params.height + u32(at.x)) * params.width + u32(at.y)) * params.channels, 1u);
}

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.y * 4u;
    let channel = id.x * 4u;
    let pixels = params.batch * params.out_height * params.out_width;
    if pixel >= pixels || channel >= params.outputs { return; }
    let row_stride = params.kernel * params.kernel * params.channels;
    let rows = min(channel + vec4(0u, 1u, 2u, 3u), vec4(params.outputs - 1u)) * row_stride;
    var sum0 = vec4(0.0); var sum1 = vec4(0.0); var sum2 = vec4(0.0); var sum3 = vec4(0.0);
    for (var tap = 0u; tap < params.kernel * params.kernel; tap++) {
        let tap_position = vec2(tap / params.kernel, tap % params.kernel);
        let source0 = source(pixel, tap_position);
        let source1 = source(pixel + 1u, tap_position);
        let source2 = source(pixel + 2u, tap_position);
        let source3 = source(pixel + 3u, tap_position);
        let mask = vec4<f32>(vec4(source0.y, source1.y, source2.y, source3.y));
        if all(mask == vec4(0.0)) { continue; }
        let taps = rows + tap * params.channels;
        for (var c = 0u; c < params.channels; c++) {
            let b = load_weight4(taps + c);
            let a = mask * vec4(f32(x[source0.x + c]), f32(x[source1.x + c]), f32(x[source2.x + c]), f32(x[source3.x + c]));
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
        }
    }
    store(pixel, channel, sum0, pixels, params.outputs);
    store(pixel + 1u, channel, sum1, pixels, params.outputs);
    store(pixel + 2u, channel, sum2, pixels, params.outputs);
    store(pixel + 3u, channel, sum3, pixels, params.outputs);
}
