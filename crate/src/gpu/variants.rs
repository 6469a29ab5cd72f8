//! Variants of a launch: tile shapes, f16 operands and subgroup reductions. Tuning chooses among them by class.

use super::config::KernelConfig;
use super::kernel::{Launch, Scalar};
use super::kernels::Kernel;
use super::kernels::attention::{self, Block};
use super::kernels::product;

/// Tile heights of matmul and conv2d, in rows.
const TILES: [u32; 3] = [32, 64, 128];
/// Index of the first f16 variant of matmul and conv2d; f16 variants have the same tile heights as the f32 ones, in order.
pub const F16_VARIANT: usize = TILES.len() + 1;

/// Optional features that variants may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariantSupport {
    /// f16 math in products.
    pub f16: bool,
    /// Subgroup reductions in norms.
    pub subgroups: bool,
    /// Workgroup memory in bytes.
    pub workgroup_memory: u32,
}

impl VariantSupport {
    /// Returns what launches of a plan may use.
    pub fn of(plan_allows_f16_math: bool, config: &KernelConfig) -> VariantSupport {
        let &KernelConfig { f16_math, subgroups, workgroup_memory, .. } = config;
        VariantSupport { f16: plan_allows_f16_math && f16_math, subgroups, workgroup_memory }
    }
}

/// Returns the variants of a launch: its tile shapes and supported features, in an order that does not depend on the
/// launch's own shape; empty if there is only one. A variant that needs too many workgroups is replaced by the launch
/// itself.
pub fn variants(launch: &Launch, support: VariantSupport) -> Vec<Launch> {
    let or_original = |variant: Launch| if variant.fits() { variant } else { launch.clone() };
    unchecked_variants(launch, support).unwrap_or_default().into_iter().map(or_original).collect()
}

fn unchecked_variants(launch: &Launch, support: VariantSupport) -> Option<Vec<Launch>> {
    match launch.kernel {
        Kernel::Matmul => product_variants(launch, Kernel::MatmulUntiled, support),
        Kernel::Conv2d => product_variants(launch, Kernel::Conv2dUntiled, support),
        Kernel::Attention | Kernel::AttentionUnaligned => attention_variants(launch, support.workgroup_memory),
        kernel => {
            let kernel = kernel.with_subgroups().filter(|_| support.subgroups)?;
            Some(vec![launch.clone(), Launch { kernel, ..launch.clone() }])
        }
    }
}

/// Returns the launch with other values of its constants and another number of workgroups on the first axis.
fn with_constants(launch: &Launch, changes: &[(&str, u32)], groups: u32) -> Launch {
    let mut variant = launch.clone();
    for (name, value) in &mut variant.constants {
        if let Some((_, new)) = changes.iter().find(|(changed, _)| changed == name) {
            *value = f64::from(*new);
        }
    }
    variant.workgroups[0] = groups;
    variant
}

fn product_variants(launch: &Launch, untiled: Kernel, support: VariantSupport) -> Option<Vec<Launch>> {
    let (rows, columns) = (launch.uniform("rows")?, launch.uniform("columns")?);
    let tiles = TILES.map(|tile| with_constants(launch, &[("ROWS", tile)], rows.div_ceil(tile)));
    let constants = launch.constants.iter().copied().filter(|(name, _)| *name != "ROWS").collect();
    let workgroups = product::untiled_groups(rows, columns);
    let untiled = Launch { kernel: untiled, constants, workgroups, ..launch.clone() };
    let f16_tiles = tiles.clone().map(|tile| Launch { operand_type: Scalar::F16, ..tile });
    let f16_tiles = f16_tiles.into_iter().filter(|_| support.f16);
    Some(tiles.into_iter().chain([untiled]).chain(f16_tiles).collect())
}

fn attention_variants(launch: &Launch, memory: u32) -> Option<Vec<Launch>> {
    let (queries, head_dim) = (launch.uniform("queries")?, launch.uniform("head_dim")?);
    let blocks = attention::blocks(head_dim as usize, memory).into_iter();
    let variant = |block: Block| with_constants(launch, &block.constants(), queries.div_ceil(block.queries()));
    Some(blocks.map(variant).collect())
}

/// Returns the class of a launch; launches of a class share a tuning result. It consists of the kernel, the sizes
/// rounded up to powers of two, flags, supported features, and all constants but the tile shape. None for kernels
/// without variants.
pub fn class(launch: &Launch, support: VariantSupport) -> Option<String> {
    let log_size = |name: &str| Some(launch.uniform(name)?.next_power_of_two().trailing_zeros());
    let log_sizes = |names: &[&str]| names.iter().map(|name| log_size(name)).collect::<Option<Vec<u32>>>();
    let is_tile_shape = |name: &str| ["ROWS", "DEPTH", "THREADS"].contains(&name);
    let constants = launch.constants.iter().filter(|(name, _)| !is_tile_shape(name));
    let constants: Vec<String> = constants.map(|(name, value)| format!("{name} {value}")).collect();
    let (kernel, constants) = (launch.kernel, constants.join(" "));
    match kernel {
        Kernel::Matmul | Kernel::Conv2d => {
            let sizes = log_sizes(&["rows", "columns", "inner"])?;
            let types = if support.f16 { " halves" } else { "" };
            Some(format!("{kernel} {sizes:?} {constants} {}{types}", launch.uniform("flags")?))
        }
        Kernel::Attention | Kernel::AttentionUnaligned => {
            Some(format!("{kernel} {:?} {constants}", log_sizes(&["queries", "keys"])?))
        }
        _ if !support.subgroups => None,
        Kernel::GroupNorm => Some(format!("{kernel} {:?}", log_sizes(&["pixels", "channels"])?)),
        Kernel::LayerNorm => Some(format!("{kernel} {:?}", log_sizes(&["rows", "width"])?)),
        Kernel::Moments => Some(format!("{kernel} {:?}", log_sizes(&["height", "width"])?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernel, VariantSupport, class, variants};
    use crate::gpu::Style;
    use crate::gpu::kernels::launch;
    use crate::ops::{Attention, Conv2d, GroupNorm, LayerNorm, Matmul, Moments, Op, Storage};

    /// A misspelled uniform would leave a kernel without a class, and it would never be tuned.
    #[test]
    fn every_tunable_kernel_has_variants_and_a_class() {
        let map: &[usize] = &[1, 16, 16, 64];
        let norm = GroupNorm { groups: 4, eps: 1e-5, silu: false, concat: false };
        let cases: [(Op, &[&[usize]]); 6] = [
            (Matmul { transpose_b: true, ..Default::default() }.into(), &[&[64, 64], &[64, 64]]),
            (Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() }.into(), &[map, &[64, 576]]),
            (Attention { heads: 2, causal: false }.into(), &[map, map, map]),
            (norm.into(), &[map, &[64], &[64]]),
            (LayerNorm { eps: 1e-5 }.into(), &[map, &[64], &[64]]),
            (Moments { groups: 4, start: 0, count: 16 }.into(), &[map]),
        ];
        let support = VariantSupport { f16: true, subgroups: true, workgroup_memory: 32 << 10 };
        let mut kernels = Vec::new();
        for (op, inputs) in cases {
            let output = op.get().shape(inputs).expect("matching shapes");
            let stored = vec![Storage::F32; inputs.len()];
            let launch = launch(&op, inputs, &output, &stored, Style::Tiled).expect("a launch");
            assert!(variants(&launch, support).len() > 1, "{op}");
            assert!(class(&launch, support).is_some_and(|class| class.starts_with(launch.kernel.name())), "{op}");
            kernels.push(launch.kernel);
        }
        let tunable =
            [Kernel::Matmul, Kernel::Conv2d, Kernel::Attention, Kernel::GroupNorm, Kernel::LayerNorm, Kernel::Moments];
        assert_eq!(kernels, tunable);
    }
}
