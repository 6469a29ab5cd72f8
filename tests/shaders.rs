//! The WGSL of all kernels: valid for browsers, with the uniforms and bindings of their launches, and within WebGPU's
//! limits.

use lora_loupe::gpu::kernel::{Binding, BufferRef, Dispatch, KernelSequence, LaunchError, MAX_WORKGROUPS_PER_AXIS};
use lora_loupe::gpu::lower::{StepSignature, lower};
use lora_loupe::gpu::params::ParamsLayout;
use lora_loupe::gpu::{F16_VARIANT, Kernel, KernelConfig, Scalar, Style, TileChoice, Winograd, wgsl};
use lora_loupe::ops::{Activation, Attention, Conv2d, GroupNorm, LayerNorm, Matmul, Narrow, Op, Storage, Unary, Widen};
use lora_loupe_tests::ops::{Case, cases};
use std::collections::{BTreeMap, BTreeSet};

/// Checks that a kernel's struct of uniforms has the fields, offsets and size of `Params` in its WGSL.
fn check_uniforms(kernel: &str, module: &naga::Module, layout: ParamsLayout) {
    let uniform = module.global_variables.iter().find(|(_, variable)| variable.space == naga::AddressSpace::Uniform);
    let Some((_, uniform)) = uniform else { return assert_eq!(layout, ParamsLayout::of::<()>(), "{kernel}") };
    let naga::TypeInner::Struct { members, span } = &module.types[uniform.ty].inner else { panic!("{kernel}") };
    let fields: Vec<(&str, usize)> =
        members.iter().map(|member| (member.name.as_deref().unwrap_or_default(), member.offset as usize)).collect();
    assert_eq!((layout.fields, layout.size), (&fields[..], *span as usize), "{kernel}");
}

#[test]
fn every_kernel_is_valid_wgsl_for_all_types() {
    // unpack2x16float is core WebGPU, but naga has a capability for it.
    let capabilities = naga::valid::Capabilities::SHADER_FLOAT16
        | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | naga::valid::Capabilities::SUBGROUP;
    let types = [Scalar::F32, Scalar::F16];
    for &kernel in Kernel::ALL {
        let (name, layout) = (kernel.name(), kernel.params());
        // naga accepts extensions without the `enable` directives that browsers require: see `wgsl::source`.
        for (scalar, factors) in types.into_iter().flat_map(|scalar| types.map(|factors| (scalar, factors))) {
            let text = wgsl::source(kernel, scalar, factors);
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name} {scalar:?} {factors:?}: {}", error.emit_to_string(&text)));
            check_uniforms(name, &module, layout);
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
                .subgroup_operations(naga::valid::SubgroupOperationSet::all())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name} {scalar:?} {factors:?}: {}", error.emit_to_string(&text)));
        }
    }
}

/// Lowers an operation in f32, in a plan that allows Winograd's algorithm.
fn lowered(
    op: &Op,
    inputs: &[&[usize]],
    output: &[usize],
    winograd: Winograd,
    style: Style,
) -> Result<KernelSequence, LaunchError> {
    let stored = vec![Storage::F32; inputs.len()];
    let step = StepSignature { op, inputs, output, stored: &stored, allows_f16_math: false, allows_winograd: true };
    lower(&step, &KernelConfig { style, winograd, ..KernelConfig::BASELINE })
}

#[test]
fn no_launch_exceeds_the_workgroup_limit() {
    let max = MAX_WORKGROUPS_PER_AXIS as usize;
    let linear = Matmul { transpose_b: true, ..Default::default() };
    let conv = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
    let one = Conv2d { kernel: 1, stride: 1, ..Default::default() };
    let attention = |heads| Attention { heads, causal: false };
    let norm = |groups| GroupNorm { groups, eps: 1e-5, silu: false, concat: false };
    let (tiled, direct) = (Style::Tiled, Style::Untiled);
    // The largest supported shape, and one more along each axis.
    let cases: Vec<(Op, Style, Vec<Vec<usize>>, bool)> = vec![
        (linear.into(), tiled, vec![vec![128 * max, 8], vec![8, 8]], true),
        (linear.into(), tiled, vec![vec![128 * max + 1, 8], vec![8, 8]], false),
        (linear.into(), tiled, vec![vec![8, 8], vec![64 * max, 8]], true),
        (linear.into(), tiled, vec![vec![8, 8], vec![64 * max + 4, 8]], false),
        (linear.into(), direct, vec![vec![32 * max, 8], vec![8, 8]], true),
        (linear.into(), direct, vec![vec![32 * max + 1, 8], vec![8, 8]], false),
        (linear.into(), direct, vec![vec![8, 8], vec![32 * max + 4, 8]], false),
        (linear.into(), tiled, vec![vec![32 * max, 3], vec![5, 3]], true),
        (linear.into(), tiled, vec![vec![32 * max + 1, 3], vec![5, 3]], false),
        (linear.into(), direct, vec![vec![3, 3], vec![32 * max + 1, 3]], false),
        // 1024 x 1024 pixels are just above the limit of kernels for unaligned channels.
        (conv.into(), tiled, vec![vec![1, 1024, 1023, 3], vec![3, 27]], true),
        (conv.into(), tiled, vec![vec![1, 1024, 1024, 3], vec![3, 27]], false),
        (conv.into(), direct, vec![vec![1, 2048, 1024, 8], vec![8, 72]], false),
        (conv.into(), tiled, vec![vec![1, 4096, 2048, 8], vec![8, 72]], false),
        (conv.into(), tiled, vec![vec![1, 2048, 2048, 8], vec![8, 72]], true),
        (one.into(), tiled, vec![vec![8, 1024, 1024, 8], vec![8, 8]], false),
        (attention(1).into(), tiled, vec![vec![max + 1, 4, 8]; 3], false),
        (attention(1).into(), tiled, vec![vec![1, 512 * max, 8]; 3], true),
        (attention(1).into(), tiled, vec![vec![1, 512 * max + 1, 8]; 3], false),
        (attention(1).into(), direct, vec![vec![1, 64 * max + 1, 8]; 3], false),
        (attention(max + 1).into(), direct, vec![vec![1, 2, 4 * (max + 1)]; 3], false),
        (norm(1).into(), tiled, vec![vec![max + 1, 2, 4], vec![4], vec![4]], false),
        (norm(max + 1).into(), tiled, vec![vec![1, 2, max + 1], vec![max + 1], vec![max + 1]], false),
        // These use a two-dimensional grid.
        (Unary { function: Activation::Silu }.into(), tiled, vec![vec![256 * max + 1]], true),
        (LayerNorm { eps: 1e-5 }.into(), tiled, vec![vec![max + 1, 4], vec![4], vec![4]], true),
    ];
    for (op, style, shapes, is_supported) in cases {
        let inputs: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let output = op.get().shape(&inputs).expect("shapes that fit");
        let sequence = lowered(&op, &inputs, &output, Winograd::Disabled, style);
        let what = format!("{style:?} {op} {shapes:?}");
        match sequence {
            Ok(sequence) => {
                let mut groups = sequence.dispatches.iter().flat_map(|dispatch| dispatch.launch.workgroups);
                assert!(is_supported && groups.all(|n| n as usize <= max), "{what}: {sequence:?}")
            }
            Err(error) => assert!(!is_supported && error.to_string().contains("workgroups"), "{what}: {error}"),
        }
    }
    // The dispatches of a Winograd convolution fit as well; its products are small.
    let wide = [vec![1, 8192, 4096, 16], vec![16, 144]];
    let inputs: Vec<&[usize]> = wide.iter().map(Vec::as_slice).collect();
    let output = Op::from(conv).get().shape(&inputs).expect("shapes that fit");
    let work = lowered(&conv.into(), &inputs, &output, Winograd::MinChannels(0), tiled).expect("dispatches");
    assert!(
        work.dispatches.len() > 4 && work.dispatches.iter().all(|stage| stage.launch.fits()),
        "{}",
        work.dispatches.len()
    );
}

/// Lowers an operation; the weight of a product is stored as `storage`.
fn dispatches(op: &Op, inputs: &[&[usize]], config: &KernelConfig, storage: Storage) -> Vec<Dispatch> {
    let weight = match op {
        Op::Matmul(op) => Some(op.operand_indices().weight),
        Op::Conv2d(op) => Some(op.operand_indices().weight),
        _ => None,
    };
    let whole = if matches!(op, Op::Widen(_)) { Storage::F16 } else { Storage::F32 };
    let mut stored = vec![whole; inputs.len()];
    if let Some(stored) = weight.and_then(|weight| stored.get_mut(weight)) {
        *stored = storage;
    }
    let output = op.get().shape(inputs).expect("shapes that fit");
    let step =
        StepSignature { op, inputs, output: &output, stored: &stored, allows_f16_math: true, allows_winograd: true };
    lower(&step, config).unwrap_or_else(|error| panic!("{op}: {error}")).dispatches
}

/// Returns the storage bindings of a kernel in its WGSL, each with whether the kernel writes it.
fn declared_bindings(kernel: Kernel, operand: Scalar) -> BTreeMap<u32, bool> {
    let module = naga::front::wgsl::parse_str(&wgsl::source(kernel, Scalar::F32, operand)).expect("valid WGSL");
    let storage = module.global_variables.iter().filter_map(|(_, variable)| match variable.space {
        naga::AddressSpace::Storage { access } => {
            let binding = variable.binding.as_ref().expect("a binding");
            assert_eq!(binding.group, 0, "{kernel}");
            Some((binding.binding, access.contains(naga::StorageAccess::STORE)))
        }
        _ => None,
    });
    storage.collect()
}

#[test]
fn every_launch_binds_what_its_kernel_declares() {
    let mut configs = Vec::new();
    for (style, winograd) in [
        (Style::Tiled, Winograd::Disabled),
        (Style::Tiled, Winograd::MinChannels(0)),
        (Style::Untiled, Winograd::Disabled),
        (Style::Untiled, Winograd::MinChannels(0)),
    ] {
        for tiles in (0..F16_VARIANT + 3).map(TileChoice::Forced) {
            let config =
                KernelConfig { style, winograd, tiles, f16_math: true, subgroups: true, ..KernelConfig::BASELINE };
            configs.extend([Storage::F32, Storage::F16].map(|storage| (config.clone(), storage)));
        }
    }
    let shapes = |case: &Case| -> (Op, Vec<Vec<usize>>) {
        let step = &case.plan.steps[0];
        (step.op.clone(), case.plan.input_shapes(step).into_iter().map(<[usize]>::to_vec).collect())
    };
    let mut steps: Vec<(Op, Vec<Vec<usize>>)> = cases().iter().map(shapes).collect();
    // More keys than one launch covers, without tiles and with them.
    for (keys, width) in [(13_000, 160), (40_000, 8)] {
        let long = [4, keys, keys].map(|tokens| vec![1, tokens, width]);
        steps.push((Attention { heads: 1, causal: false }.into(), long.to_vec()));
    }
    // Operations without goldens.
    steps.push((Widen {}.into(), vec![vec![8]]));
    steps.push((Narrow { storage: Storage::F16 }.into(), vec![vec![8]]));
    steps.push((Narrow { storage: Storage::Q8 }.into(), vec![vec![256]]));
    let mut declared = BTreeMap::new();
    for ((op, inputs), (config, storage)) in steps.iter().flat_map(|step| configs.iter().map(move |c| (step, c))) {
        let inputs: Vec<&[usize]> = inputs.iter().map(Vec::as_slice).collect();
        for Dispatch { launch, inputs, .. } in dispatches(op, &inputs, config, *storage) {
            // A kernel may keep its state in a scratch buffer.
            let may_write = |binding: &Binding| match binding {
                Binding::Input(input) => matches!(inputs[*input], BufferRef::Scratch(_)),
                other => *other == Binding::Output,
            };
            let declared = declared
                .entry((launch.kernel.name(), launch.operand_type.name()))
                .or_insert_with(|| declared_bindings(launch.kernel, launch.operand_type));
            let what = format!("{op} {config:?} {}: {declared:?}, {:?}", launch.kernel, launch.bindings);
            assert!(declared.keys().copied().eq(1..=launch.bindings.len() as u32), "{what}");
            for (writes, binding) in declared.values().zip(&launch.bindings) {
                assert!(!writes || may_write(binding), "{what}");
                assert!(*writes || *binding != Binding::Output, "{what}");
            }
        }
    }
    let launched: BTreeSet<&str> = declared.keys().map(|(kernel, _)| *kernel).collect();
    let others: Vec<&str> = Kernel::ALL.iter().map(|k| k.name()).filter(|name| !launched.contains(name)).collect();
    assert_eq!(others, ["roofline_arithmetic", "roofline_copy"]);
}
