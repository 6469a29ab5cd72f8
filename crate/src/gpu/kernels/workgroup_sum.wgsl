// Sums over all invocations of a workgroup, for norms.

override THREADS: u32 = 64;
var<workgroup> partial: array<f32, THREADS>;
var<workgroup> gathered: array<f32, 16>;

// Sum of all invocations' values, of which `second` tells the second call from the first. Of more
// than 16 in two stages: a barrier is dear on some devices, and so is reading all. Of fewer in one,
// the second call's elsewhere than the first's, which some may still be reading.
fn workgroup_sum(local: u32, value: f32, second: bool) -> f32 {
    let few = THREADS <= 16u;
    if few && second { gathered[local] = value; } else { partial[local] = value; }
    workgroupBarrier();
    var sum = 0.0;
    if few {
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
