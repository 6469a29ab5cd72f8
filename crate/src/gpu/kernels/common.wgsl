// Shared by every kernel: storage is `Scalar`, what tiles multiply is a `Factor` (each f32 or f16,
// chosen by the lines before this file; HALVES is 1 where a factor is f16), other arithmetic is f32.

// Workgroups beyond 65535 go on in the second axis of a dispatch.
fn flat(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// erf to 1.5e-7 (Abramowitz and Stegun 7.1.26).
fn erf(x: f32) -> f32 {
    let size = abs(x);
    let t = 1.0 / (1.0 + 0.3275911 * size);
    let tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - tail * exp(-size * size));
}

fn silu(x: f32) -> f32 {
    return x / (1.0 + exp(-x));
}

fn gelu(x: f32) -> f32 {
    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
}

fn quick_gelu(x: f32) -> f32 {
    return x / (1.0 + exp(-1.702 * x));
}
