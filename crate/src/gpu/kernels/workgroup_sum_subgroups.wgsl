// Sums over all invocations of a workgroup, for devices with subgroups: workgroup memory holds only one partial sum per
// subgroup.

override THREADS: u32 = 64;
var<workgroup> first_partials: array<f32, THREADS>;
var<workgroup> second_partials: array<f32, THREADS>;

// Returns the sum of all invocations' values. May be called twice; `second` marks the second call, which uses a
// different array since some invocations may still be reading the first. WGSL does not specify the size of a subgroup
// or which invocations belong to it: each invocation has a slot, one per subgroup stores the subgroup's sum and the
// others store zeros, and the invocations of each subgroup then share the reads of all slots.
fn workgroup_sum(local: u32, value: f32, second: bool) -> f32 {
    let size = subgroupAdd(1u);
    let rank = subgroupExclusiveAdd(1u);
    let sum = subgroupAdd(value);
    let partial = select(0.0, sum, rank == 0u);
    if second { second_partials[local] = partial; } else { first_partials[local] = partial; }
    workgroupBarrier();
    var total = 0.0;
    for (var i = rank; i < THREADS; i += size) { total += select(first_partials[i], second_partials[i], second); }
    return subgroupAdd(total);
}
