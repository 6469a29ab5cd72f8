//! Launches of matrix products, shared by matmul and conv2d; see product.wgsl.

use super::epilogue::{BATCHED_MATRICES, EpilogueParams, ProductParams};
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::gpu::kernels::Kernel;
use crate::ops::{BLOCK, ProductOperands, Prologue, Storage};

/// Columns of a workgroup's tile in tile.wgsl.
const TILE_COLUMNS: u32 = 64;
/// Number of workgroups that keeps a large GPU busy.
const FULL_OCCUPANCY_GROUPS: u64 = 256;

/// A matrix product; its rows are matrix rows (matmul) or output pixels (conv2d).
pub struct Product<'a> {
    /// The untiled kernel, whose invocations compute 8 rows x 8 columns each; `epilogue` holds the tiled one.
    pub untiled: Kernel,
    /// (rows, columns, depth).
    pub size: (u64, usize, usize),
    /// Whether each batch item has its own matrix.
    pub batched: bool,
    /// The prologue, for kernels that support one.
    pub prologue: Option<Prologue>,
    /// The epilogue.
    pub epilogue: EpilogueParams<'a>,
    /// Storage type of the matrix.
    pub stored: Storage,
}

impl Product<'_> {
    /// Returns whether the rows of all tensors consist of whole vec4s, as product.wgsl requires.
    pub fn is_aligned(&self) -> bool {
        let (_, columns, inner) = self.size;
        let is_concat_unaligned = self.prologue == Some(Prologue::Concat) && !self.x_columns().is_multiple_of(4);
        !is_concat_unaligned && columns % 4 == 0 && inner % 4 == 0 && self.epilogue.is_aligned(columns)
    }

    /// Columns of x.
    fn x_columns(&self) -> usize {
        self.epilogue.inputs[self.epilogue.operands.x].last().copied().unwrap_or(1)
    }

    /// Returns the launch; `params` has what only convolutions have.
    pub fn launch(&self, params: ProductParams, style: Style) -> Result<Launch, LaunchError> {
        let tiled = self.epilogue.kernel;
        let count = |n: usize| to_u32(tiled, n);
        let (rows, columns, inner) = (to_u32(tiled, self.size.0)?, count(self.size.1)?, count(self.size.2)?);
        let (is_concat, eps) = match self.prologue {
            Some(Prologue::Concat) => (true, None),
            Some(Prologue::LayerNorm { eps }) => (false, Some(eps)),
            _ => (false, None),
        };
        let params = ProductParams {
            flags: if self.batched { BATCHED_MATRICES } else { 0 },
            x_columns: count(self.x_columns())?,
            eps: eps.unwrap_or(0.0),
            ..params
        };
        let params = self.epilogue.params((rows, columns, inner), params)?;
        let tile_rows = tile_rows(rows, columns);
        let (kernel, groups) = match style {
            Style::Tiled => (tiled, [rows.div_ceil(tile_rows), columns.div_ceil(TILE_COLUMNS), 1]),
            Style::Untiled => (self.untiled, untiled_groups(rows, columns)),
        };
        let mut launch = Launch::new(kernel, 0, params, groups).with("STORAGE", self.stored.code());
        if style == Style::Tiled {
            launch = launch.with("ROWS", tile_rows);
        }
        if self.stored.blocks().is_some() {
            let widths = [self.size.2, self.x_columns()];
            launch = launch.with("WHOLE_BLOCKS", widths.iter().all(|width| width.is_multiple_of(BLOCK)));
        }
        // Absent inputs are bound to the matrix, which the shader does not read through these bindings.
        let ProductOperands { x, weight, skip, norm, .. } = self.epilogue.operands;
        launch.bindings = self.epilogue.bindings(weight);
        launch.bindings.extend([x, weight].map(Binding::Input));
        if self.prologue.is_some() {
            launch = launch.with("PROLOGUE", if is_concat { 1 } else { 2 * u32::from(eps.is_some()) });
            let inputs = [skip.or(norm.map(|norm| norm.scale)), norm.map(|norm| norm.scale_sums)];
            launch.bindings.extend(inputs.map(|input| Binding::Input(input.unwrap_or(weight))));
        }
        Ok(launch)
    }
}

/// Returns the grid of an untiled product: workgroups of 4 x 4 invocations with 8 rows x 8 columns each.
pub fn untiled_groups(rows: u32, columns: u32) -> [u32; 3] {
    [columns.div_ceil(4 * 8), rows.div_ceil(4 * 8), 1]
}

/// Returns the tile height: the largest that leaves enough workgroups to fill the device.
fn tile_rows(rows: u32, columns: u32) -> u32 {
    let groups = |tile: u32| u64::from(rows.div_ceil(tile)) * u64::from(columns.div_ceil(TILE_COLUMNS));
    [128, 64].into_iter().find(|&tile| groups(tile) >= FULL_OCCUPANCY_GROUPS).unwrap_or(32)
}
