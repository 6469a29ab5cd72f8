// Sums over all invocations of a workgroup, for norms, where the device has subgroups: each sums by
// itself, and what is left for workgroup memory is a number of each.

override THREADS: u32 = 64;
var<workgroup> firsts: array<f32, THREADS>;
var<workgroup> seconds: array<f32, THREADS>;

// Sum of all invocations' values, of which `second` tells the second call from the first, whose
// numbers some may still be reading. Which invocations are a subgroup, and how many, WGSL leaves open:
// one of each stores its sum in a place of its own and the others zeros, and each subgroup shares all
// places between its invocations.
fn workgroup_sum(local: u32, value: f32, second: bool) -> f32 {
    let size = subgroupAdd(1u);
    let rank = subgroupExclusiveAdd(1u);
    let sum = subgroupAdd(value);
    let own = select(0.0, sum, rank == 0u);
    if second { seconds[local] = own; } else { firsts[local] = own; }
    workgroupBarrier();
    var part = 0.0;
    for (var i = rank; i < THREADS; i += size) { part += select(firsts[i], seconds[i], second); }
    return subgroupAdd(part);
}
