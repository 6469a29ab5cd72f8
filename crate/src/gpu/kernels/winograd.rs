//! Winograd convolution F(2x2, 3x3): 16 instead of 36 multiplications per tile of 2x2 output pixels, between transforms
//! that only add.
//!
//! The filter transform G g G^T and the input transform B^T d B yield 16 matrices each; their 16 products are m, and
//! the output transform A^T m A yields the pixels. Tiles are processed in chunks, so that the intermediate tensors are
//! small and stay in the cache. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.

use super::epilogue::{EpilogueParams, ProductParams};
use super::product::Product;
use super::{BufferRef, Dispatch, KernelSequence};
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32, workgroup_grid};
use crate::gpu::params::params;
use crate::num::{host_len, numel};
use crate::ops::{Conv2d, Epilogue, Storage, leading};

params! {
    /// Uniforms of winograd_weight.wgsl.
    FilterTransformParams { count: u32, channels_vec4: u32 }
}

params! {
    /// Uniforms of winograd_map.wgsl.
    InputTransformParams {
        count: u32, channels_vec4: u32, height: u32, width: u32, upsampled_height: u32, upsampled_width: u32,
        tiles: u32, first: u32,
    }
}

/// Number of scratch buffers: transformed filters, transformed input, and their products.
pub const SCRATCH: usize = 3;
const FILTERS: BufferRef = BufferRef::Scratch(0);
const INPUT: BufferRef = BufferRef::Scratch(1);
const PRODUCTS: BufferRef = BufferRef::Scratch(2);

/// Elements of a transformed 4x4 tile, each in a separate matrix.
const MATRICES: u64 = 16;
/// Chunks are multiples of this number of tiles, so that the rows of a workgroup's tile belong to a single matrix.
const TILE_MULTIPLE: u64 = 128;
/// Maximum elements of a chunk's matrices: 8 MiB, which fit the cache of a large GPU.
const MAX_CHUNK_ELEMENTS: u64 = 2 << 20;
/// Maximum elements of the transformed filters: 128 MiB, which every device can bind.
const MAX_FILTER_ELEMENTS: u64 = 32 << 20;
/// Minimum number of tiles: with fewer, the filter transform costs as much as the products save.
const MIN_TILES: u64 = 256;

/// Lowers a convolution to dispatches; None if it has fewer than `min_channels` input or output channels, is
/// unsupported, or would not benefit.
pub fn lower(
    op: &Conv2d,
    inputs: &[&[usize]],
    output: &[usize],
    stored: Storage,
    style: Style,
    min_channels: usize,
) -> Result<Option<KernelSequence>, LaunchError> {
    let count = |n: u64| to_u32("winograd", n);
    let (channels, outputs) = (inputs[0][3] as u64, inputs[1][0] as u64);
    let (height, width) = (inputs[0][1], inputs[0][2]);
    let (upsampled_height, upsampled_width) = op.upsampled_size(height, width);
    let tiles = numel(&[output[0], output[1].div_ceil(2), output[2].div_ceil(2)]);
    let epilogue = EpilogueParams {
        kernel: "winograd_sums",
        inputs,
        bias: op.bias.then_some(2),
        epilogue: op.epilogue,
        epilogue_start: op.epilogue_start(),
        item_rows: numel(&output[1..3]),
    };
    let is_supported = (op.kernel, op.stride, op.padding, op.pad_end, op.epilogue.geglu) == (3, 1, 1, 0, false);
    let is_aligned = channels % 4 == 0 && outputs % 4 == 0 && epilogue.is_aligned(inputs[1][0]);
    let fits_binding = MATRICES * channels * outputs <= MAX_FILTER_ELEMENTS;
    let is_too_small = channels.min(outputs) < min_channels as u64 || tiles < MIN_TILES;
    if !is_supported || !fits_binding || !is_aligned || is_too_small {
        return Ok(None);
    }
    let max_chunk = (MAX_CHUNK_ELEMENTS / MATRICES / channels.max(outputs) / TILE_MULTIPLE).max(1) * TILE_MULTIPLE;
    let max_chunk = max_chunk.min(tiles.next_multiple_of(TILE_MULTIPLE));
    let mut dispatches = Vec::new();
    let mut push = |launch, inputs: &[BufferRef], output, flops: u64| {
        dispatches.push(Dispatch { launch, inputs: inputs.to_vec(), output, flops });
    };

    let vec4s = outputs * channels / 4;
    let params = FilterTransformParams { count: count(vec4s)?, channels_vec4: count(channels / 4)? };
    let filters = Launch::new("winograd_weight", 1, params, workgroup_grid("winograd_weight", vec4s.div_ceil(256))?);
    push(filters.with("STORAGE", stored.code()), &[BufferRef::Input(1)], FILTERS, 2 * MATRICES * outputs * channels);

    let mut first = 0;
    while first < tiles {
        let chunk = max_chunk.min((tiles - first).next_multiple_of(TILE_MULTIPLE));
        let vec4s = chunk * channels / 4;
        let size = |n: usize| count(n as u64);
        let params = InputTransformParams {
            count: count(vec4s)?,
            channels_vec4: count(channels / 4)?,
            height: size(height)?,
            width: size(width)?,
            upsampled_height: size(upsampled_height)?,
            upsampled_width: size(upsampled_width)?,
            tiles: count(tiles)?,
            first: count(first)?,
        };
        let input = Launch::new("winograd_map", 1, params, workgroup_grid("winograd_map", vec4s.div_ceil(256))?);
        push(input, &[BufferRef::Input(0)], INPUT, 2 * MATRICES * chunk * channels);

        let [matrices, rows] = [MATRICES, chunk].map(host_len);
        let shapes: [&[usize]; 2] = [&[matrices, rows, inputs[0][3]], &[matrices, inputs[1][0], inputs[0][3]]];
        let product = Product {
            untiled: "matmul_untiled",
            size: (MATRICES * chunk, inputs[1][0], inputs[0][3]),
            batched: true,
            prologue: Some(Default::default()),
            epilogue: EpilogueParams {
                kernel: "matmul",
                inputs: &shapes,
                bias: None,
                epilogue: Epilogue::default(),
                epilogue_start: 2,
                item_rows: chunk,
            },
            stored: Storage::F32,
        };
        let launch = product.launch(ProductParams::default(), style)?.with("TRANSPOSE_B", true);
        push(launch, &[INPUT, FILTERS], PRODUCTS, 2 * MATRICES * chunk * channels * outputs);

        let params = ProductParams {
            out_height: size(output[1])?,
            out_width: size(output[2])?,
            first_tile: count(first)?,
            ..Default::default()
        };
        let params = epilogue.params((count(leading(output))?, count(outputs)?, count(chunk)?), params)?;
        let groups = workgroup_grid("winograd_sums", (chunk * outputs / 4).div_ceil(64))?;
        let mut output_transform = Launch::new("winograd_sums", 0, params, groups);
        // All inputs but the first are the step's.
        output_transform.bindings = epilogue.bindings(0);
        output_transform.bindings.push(Binding::Input(0));
        let rest = (1..inputs.len()).map(BufferRef::Input);
        let operands: Vec<BufferRef> = [PRODUCTS].into_iter().chain(rest).collect();
        push(output_transform, &operands, BufferRef::Output, 2 * MATRICES * chunk * outputs);
        first += max_chunk;
    }
    let scratch = [outputs * channels, max_chunk * channels, max_chunk * outputs].map(|elements| MATRICES * elements);
    Ok(Some(KernelSequence { dispatches, scratch }))
}
