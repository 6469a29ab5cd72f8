//! Turns a 3x3 convolution of many channels into Winograd's F(2x2, 3x3): for each tile of 2x2 pixels 16
//! products of numbers where there are 36, between steps that only add.
//!
//! Kernels G g G^T and windows of the map B^T d B become 16 matrices each, a product each makes
//! the sums m, and A^T m A the pixels. Tiles are taken in portions, so that what lies between the
//! steps stays small and near. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2015.

use super::epilogue::EpilogueParams;
use super::product::Product;
use super::{BufferRef, Dispatch, KernelSequence};
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32, workgroup_grid};
use crate::num::{host_len, numel};
use crate::ops::{Epilogue, Conv2d, Storage, leading};

/// Tensors between the stages: matrices of the kernels, of the map, and their products.
pub const SCRATCH: usize = 3;
const KERNELS: BufferRef = BufferRef::Scratch(0);
const MAP: BufferRef = BufferRef::Scratch(1);
const SUMS: BufferRef = BufferRef::Scratch(2);

/// Numbers of a tile after its transformation; each is of a product of its own.
const PLACES: u64 = 16;
/// Tiles come in multiples of this: the rows of a product's workgroup are all of one place.
const TILES: u64 = 128;
/// Most numbers of a portion's matrices: 8 MiB, which the cache of a large card holds.
const CHUNK_TILES: u64 = 2 << 20;
/// Most numbers of the kernels' matrices: those that every device binds.
const MAX_KERNELS: u64 = 32 << 20;
/// With fewer tiles, bringing the kernels into their form costs what the products gain.
const MIN_TILES: u64 = 256;

/// The work of a convolution of at least `least` channels on both sides; None for one that gains
/// nothing from it.
pub fn lower(
    op: &Conv2d,
    inputs: &[&[usize]],
    output: &[usize],
    stored: Storage,
    style: Style,
    least: usize,
) -> Result<Option<KernelSequence>, LaunchError> {
    let count = |n: u64| to_u32("winograd", n);
    let (channels, outputs) = (inputs[0][3] as u64, inputs[1][0] as u64);
    let (height, width) = (inputs[0][1], inputs[0][2]);
    let (large, wide) = op.upsampled_size(height, width);
    let tiles = numel(&[output[0], output[1].div_ceil(2), output[2].div_ceil(2)]);
    let ending = EpilogueParams {
        kernel: "winograd_sums",
        inputs,
        bias: op.bias.then_some(2),
        epilogue: op.epilogue,
        epilogue_start: op.epilogue_start(),
        item_rows: numel(&output[1..3]),
    };
    let is_such = (op.kernel, op.stride, op.padding, op.pad_end, op.epilogue.geglu) == (3, 1, 1, 0, false);
    let is_aligned = channels % 4 == 0 && outputs % 4 == 0 && ending.is_aligned(inputs[1][0]);
    let is_bound = PLACES * channels * outputs <= MAX_KERNELS;
    if !is_such || !is_bound || !is_aligned || channels.min(outputs) < least as u64 || tiles < MIN_TILES {
        return Ok(None);
    }
    let portion = (CHUNK_TILES / PLACES / channels.max(outputs) / TILES).max(1) * TILES;
    let portion = portion.min(tiles.next_multiple_of(TILES));
    let mut stages = Vec::new();
    let mut stage = |launch, inputs: &[BufferRef], output, flops: u64| {
        stages.push(Dispatch { launch, inputs: inputs.to_vec(), output, flops });
    };

    let fours = outputs * channels / 4;
    let params = vec![count(fours)?, count(channels / 4)?];
    let kernels = Launch::new("winograd_weight", 1, params, workgroup_grid("winograd_weight", fours.div_ceil(256))?);
    stage(kernels.with("STORAGE", stored.code()), &[BufferRef::Input(1)], KERNELS, 2 * PLACES * outputs * channels);

    let mut first = 0;
    while first < tiles {
        let here = portion.min((tiles - first).next_multiple_of(TILES));
        let fours = here * channels / 4;
        let map_sizes = [height, width, large, wide].map(|size| size as u64);
        let sizes = [&[fours, channels / 4][..], &map_sizes, &[tiles, first]].concat();
        let params = sizes.into_iter().map(count).collect::<Result<Vec<_>, _>>()?;
        let map = Launch::new("winograd_map", 1, params, workgroup_grid("winograd_map", fours.div_ceil(256))?);
        stage(map, &[BufferRef::Input(0)], MAP, 2 * PLACES * here * channels);

        let [places, rows] = [PLACES, here].map(host_len);
        let shapes: [&[usize]; 2] = [&[places, rows, inputs[0][3]], &[places, inputs[1][0], inputs[0][3]]];
        let product = Product {
            untiled: "matmul_untiled",
            size: (PLACES * here, inputs[1][0], inputs[0][3]),
            batched: true,
            prologue: Some(Default::default()),
            epilogue: EpilogueParams {
                kernel: "matmul",
                inputs: &shapes,
                bias: None,
                epilogue: Epilogue::default(),
                epilogue_start: 2,
                item_rows: here,
            },
            stored: Storage::F32,
        };
        let launch = product.launch(&[], style)?.with("TRANSPOSE_B", true);
        stage(launch, &[MAP, KERNELS], SUMS, 2 * PLACES * here * channels * outputs);

        let mut params = ending.params((count(leading(output))?, count(outputs)?, count(here)?))?;
        let [rows, columns] = [output[1], output[2]].map(|size| count(size as u64));
        params.extend([0, 0, 0, 0, rows?, columns?, 0, 0, 0, 0, count(first)?, 0]);
        let groups = workgroup_grid("winograd_sums", (here * outputs / 4).div_ceil(64))?;
        let mut sums = Launch::new("winograd_sums", 0, params, groups);
        // Inputs are the step's, but for the first.
        sums.bindings = ending.bindings(0);
        sums.bindings.push(Binding::Input(0));
        let rest = (1..inputs.len()).map(BufferRef::Input);
        let operands: Vec<BufferRef> = [SUMS].into_iter().chain(rest).collect();
        stage(sums, &operands, BufferRef::Output, 2 * PLACES * here * outputs);
        first += portion;
    }
    let scratch = [outputs * channels, portion * channels, portion * outputs].map(|numbers| PLACES * numbers);
    Ok(Some(KernelSequence { dispatches: stages, scratch }))
}
