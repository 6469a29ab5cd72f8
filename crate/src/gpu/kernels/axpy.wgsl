// x + alpha * y, and exactly x if alpha is 0; see ops/axpy.rs. alpha is a run-time scalar times a constant factor;
// with the gate, any scalar but 0 counts as 1.

struct Params { count: u32, scalar: u32, factor: f32, gate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (count)
@group(0) @binding(2) var<storage, read> y: array<Scalar>; // (count)
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (count)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let scalar = scalars[params.scalar];
    let alpha = select(scalar, 1.0, params.gate == 1u && scalar != 0.0) * params.factor;
    if alpha == 0.0 {
        output[i] = x[i];
    } else {
        output[i] = Scalar(f32(x[i]) + alpha * f32(y[i]));
    }
}
