//! Winograd convolution F(2x2, 3x3): 16 instead of 36 multiplications per tile of 2x2 output pixels, between transforms
//! that only add.
//!
//! The filter transform G g G^T and the input transform B^T d B yield 16 matrices each; their 16 products are m, and
//! the output transform A^T m A yields the pixels. Tiles are processed in chunks, so that the intermediate tensors are
//! small and stay in the cache. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.

use super::epilogue::{EpilogueParams, ProductParams};
use super::product::Product;
use crate::gpu::kernel::{
    Binding, BufferRef, Dispatch, KernelSequence, Launch, LaunchError, Style, to_u32, workgroup_grid,
};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::{host_len, numel};
use crate::ops::{Conv2d, Epilogue, Prologue, Storage, leading, operand_indices};

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

/// Transformed filters.
const FILTERS: BufferRef = BufferRef::Scratch(0);
/// Transformed input.
const INPUT: BufferRef = BufferRef::Scratch(1);
/// Products of both.
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
    let operands = op.operand_indices();
    let epilogue = EpilogueParams {
        kernel: Kernel::WinogradSums,
        inputs,
        operands,
        epilogue: op.epilogue,
        item_rows: numel(&output[1..3]),
    };
    let (x, filters) = (inputs[operands.x], inputs[operands.weight]);
    let winograd = Winograd { x, outputs: filters[0], output, upsampled: op.upsampled_size(x[1], x[2]), epilogue };
    if stored.blocks().is_some() || !winograd.supports(op) || !winograd.is_worthwhile(min_channels) {
        return Ok(None);
    }
    let (channels, outputs, tiles) = (x[3] as u64, filters[0] as u64, winograd.tiles());
    let max_chunk = (MAX_CHUNK_ELEMENTS / MATRICES / channels.max(outputs) / TILE_MULTIPLE).max(1) * TILE_MULTIPLE;
    let max_chunk = max_chunk.min(tiles.next_multiple_of(TILE_MULTIPLE));
    let mut dispatches = vec![winograd.filter_transform(stored)?];
    let mut first = 0;
    while first < tiles {
        let chunk = max_chunk.min((tiles - first).next_multiple_of(TILE_MULTIPLE));
        dispatches.push(winograd.input_transform(first, chunk)?);
        dispatches.push(winograd.product(chunk, style)?);
        dispatches.push(winograd.output_transform(first, chunk)?);
        first += max_chunk;
    }
    let scratch = [outputs * channels, max_chunk * channels, max_chunk * outputs].map(|elements| MATRICES * elements);
    Ok(Some(KernelSequence { dispatches, scratch }))
}

/// The shapes of one convolution.
struct Winograd<'a> {
    x: &'a [usize],
    /// Output channels.
    outputs: usize,
    output: &'a [usize],
    /// Height and width of the input after upsampling.
    upsampled: (usize, usize),
    epilogue: EpilogueParams<'a>,
}

impl Winograd<'_> {
    fn channels(&self) -> usize {
        self.x[3]
    }

    /// Tiles of 2x2 output pixels.
    fn tiles(&self) -> u64 {
        numel(&[self.output[0], self.output[1].div_ceil(2), self.output[2].div_ceil(2)])
    }

    /// Returns the floating-point operations for `count` values of each matrix; a multiply-add counts as two.
    fn flops(count: u64) -> u64 {
        2 * MATRICES * count
    }

    /// Returns whether the kernels support the convolution.
    fn supports(&self, op: &Conv2d) -> bool {
        let (channels, outputs) = (self.channels(), self.outputs);
        (op.kernel, op.stride, op.padding, op.pad_end, op.epilogue.geglu) == (3, 1, 1, 0, false)
            && MATRICES * channels as u64 * outputs as u64 <= MAX_FILTER_ELEMENTS
            && channels.is_multiple_of(4)
            && outputs.is_multiple_of(4)
            && self.epilogue.is_aligned(outputs)
    }

    /// Returns whether the convolution has enough channels and tiles to benefit.
    fn is_worthwhile(&self, min_channels: usize) -> bool {
        self.channels().min(self.outputs) >= min_channels && self.tiles() >= MIN_TILES
    }

    fn filter_transform(&self, stored: Storage) -> Result<Dispatch, LaunchError> {
        let kernel = Kernel::WinogradWeight;
        let elements = numel(&[self.outputs, self.channels()]);
        let vec4s = elements / 4;
        let params = FilterTransformParams {
            count: to_u32(kernel, vec4s)?,
            channels_vec4: to_u32(kernel, self.channels() / 4)?,
        };
        let launch =
            Launch::new(kernel, 1, params, workgroup_grid(kernel, vec4s.div_ceil(256))?).with("STORAGE", stored.code());
        let inputs = vec![BufferRef::Input(self.epilogue.operands.weight)];
        Ok(Dispatch { launch, inputs, output: FILTERS, flops: Winograd::flops(elements) })
    }

    /// Transforms the input of `chunk` tiles from tile `first` on.
    fn input_transform(&self, first: u64, chunk: u64) -> Result<Dispatch, LaunchError> {
        let kernel = Kernel::WinogradMap;
        let count = |n: usize| to_u32(kernel, n);
        let elements = chunk * self.channels() as u64;
        let vec4s = elements / 4;
        let params = InputTransformParams {
            count: to_u32(kernel, vec4s)?,
            channels_vec4: count(self.channels() / 4)?,
            height: count(self.x[1])?,
            width: count(self.x[2])?,
            upsampled_height: count(self.upsampled.0)?,
            upsampled_width: count(self.upsampled.1)?,
            tiles: to_u32(kernel, self.tiles())?,
            first: to_u32(kernel, first)?,
        };
        let launch = Launch::new(kernel, 1, params, workgroup_grid(kernel, vec4s.div_ceil(256))?);
        let inputs = vec![BufferRef::Input(self.epilogue.operands.x)];
        Ok(Dispatch { launch, inputs, output: INPUT, flops: Winograd::flops(elements) })
    }

    /// Multiplies the matrices of `chunk` tiles.
    fn product(&self, chunk: u64, style: Style) -> Result<Dispatch, LaunchError> {
        let [matrices, rows] = [MATRICES, chunk].map(host_len);
        let channels = self.channels();
        let shapes: [&[usize]; 2] = [&[matrices, rows, channels], &[matrices, self.outputs, channels]];
        let (prologue, epilogue) = (Prologue::None, Epilogue::default());
        let product = Product {
            untiled: Kernel::MatmulUntiled,
            size: (MATRICES * chunk, self.outputs, channels),
            batched: true,
            prologue: Some(prologue),
            epilogue: EpilogueParams {
                kernel: Kernel::Matmul,
                inputs: &shapes,
                operands: operand_indices(false, prologue, epilogue),
                epilogue,
                item_rows: chunk,
            },
            stored: Storage::F32,
        };
        let launch = product.launch(ProductParams::default(), style)?.with("TRANSPOSE_B", true);
        let flops = Winograd::flops(chunk * numel(&[channels, self.outputs]));
        Ok(Dispatch { launch, inputs: vec![INPUT, FILTERS], output: PRODUCTS, flops })
    }

    /// Transforms the products of `chunk` tiles from tile `first` on to output pixels, and applies the epilogue.
    fn output_transform(&self, first: u64, chunk: u64) -> Result<Dispatch, LaunchError> {
        let kernel = Kernel::WinogradSums;
        let count = |n: u64| to_u32(kernel, n);
        let elements = chunk * self.outputs as u64;
        let params = ProductParams {
            out_height: to_u32(kernel, self.output[1])?,
            out_width: to_u32(kernel, self.output[2])?,
            first_tile: count(first)?,
            ..Default::default()
        };
        let size = (count(leading(self.output))?, to_u32(kernel, self.outputs)?, count(chunk)?);
        let params = self.epilogue.params(size, params)?;
        let mut launch = Launch::new(kernel, 0, params, workgroup_grid(kernel, (elements / 4).div_ceil(64))?);
        // The products take the place of the feature map among the step's inputs.
        let x = self.epilogue.operands.x;
        launch.bindings = self.epilogue.bindings(x);
        launch.bindings.push(Binding::Input(x));
        let mut inputs: Vec<BufferRef> = (0..self.epilogue.inputs.len()).map(BufferRef::Input).collect();
        inputs[x] = PRODUCTS;
        Ok(Dispatch { launch, inputs, output: BufferRef::Output, flops: Winograd::flops(elements) })
    }
}
