// Sums over all invocations of a workgroup, for norms, where the device has subgroups: each sums by
// itself, and what is left for workgroup memory is a number of each.

override THREADS: u32 = 64;
var<workgroup> firsts: array<f32, THREADS>;
var<workgroup> seconds: array<f32, THREADS>;

// Sum of all invocations' values, of which `second` tells the second call from the first, whose
// numbers some may still be reading. A subgroup's invocations follow each other in the workgroup.
fn total(local: u32, value: f32, second: bool) -> f32 {
    let size = subgroupAdd(1u);
    let sum = subgroupAdd(value);
    if local % size == 0u {
        if second { seconds[local / size] = sum; } else { firsts[local / size] = sum; }
    }
    workgroupBarrier();
    var all = 0.0;
    for (var i = 0u; i < THREADS / size; i++) { all += select(firsts[i], seconds[i], second); }
    return all;
}
