// Sums over all invocations of a workgroup.

override THREADS: u32 = 64;
var<workgroup> partial: array<f32, THREADS>;
var<workgroup> gathered: array<f32, 16>;

// Returns the sum of all invocations' values. May be called twice; `second` marks the second call. With more than 16
// invocations the sum has two stages, which balances barrier cost against serial reads. Otherwise it has one stage,
// and the second call uses a different array since some invocations may still be reading the first.
fn workgroup_sum(local: u32, value: f32, second: bool) -> f32 {
    let is_single_stage = THREADS <= 16u;
    if is_single_stage && second { gathered[local] = value; } else { partial[local] = value; }
    workgroupBarrier();
    var sum = 0.0;
    if is_single_stage {
        for (var i = 0u; i < THREADS; i++) { sum += select(partial[i], gathered[i], second); }
        return sum;
    }
    if local < 16u {
        for (var i = local; i < THREADS; i += 16u) { sum += partial[i]; }
        gathered[local] = sum;
    }
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < 16u; i++) { sum += gathered[i]; }
    return sum;
}
