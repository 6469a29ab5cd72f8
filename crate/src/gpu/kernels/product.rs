//! Turns what matmul and conv2d share into the parts of their launches; see product.wgsl.

use super::epilogue::EpilogueParams;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::ops::{Prologue, Storage};

/// Columns of the tile that one workgroup makes, in tile.wgsl.
const TILE_COLUMNS: u32 = 64;
/// Workgroups that keep a large graphics card busy.
const FULL_OCCUPANCY_GROUPS: u64 = 256;
/// Bit of the flags in epilogue.wgsl that says that each item has a matrix.
const BATCHED_MATRICES: u32 = 16;

/// A matrix product, whatever its rows are.
pub struct Product<'a> {
    /// Stem of the kernel without tiles, whose invocations make 8 rows x 8 columns; the ending names
    /// the tiled one.
    pub untiled: &'static str,
    /// (rows, columns, depth).
    pub size: (u64, usize, usize),
    /// Whether each item of the batch has a matrix of its own.
    pub batched: bool,
    /// What the rows are made of, of a kernel that can make them of more than x; its inputs come
    /// after the bias.
    pub prologue: Option<Prologue>,
    /// What follows.
    pub epilogue: EpilogueParams<'a>,
    /// How the matrix lies.
    pub stored: Storage,
}

impl Product<'_> {
    /// Whether rows of all tensors are whole vec4s, as product.wgsl needs.
    pub fn is_aligned(&self) -> bool {
        let (_, columns, inner) = self.size;
        let beside = self.prologue == Some(Prologue::Concat) && !self.left().is_multiple_of(4);
        !beside && columns % 4 == 0 && inner % 4 == 0 && self.epilogue.is_aligned(columns)
    }

    /// Columns of x.
    fn left(&self) -> usize {
        self.epilogue.inputs[0].last().copied().unwrap_or(1)
    }

    /// The launch; `rest` are the parameters after those that every product has.
    pub fn launch(&self, rest: &[u32], style: Style) -> Result<Launch, LaunchError> {
        let tiled = self.epilogue.kernel;
        let count = |n: usize| to_u32(tiled, n);
        let (rows, columns, inner) = (to_u32(tiled, self.size.0)?, count(self.size.1)?, count(self.size.2)?);
        let mut params = self.epilogue.params((rows, columns, inner))?;
        params[6] |= if self.batched { BATCHED_MATRICES } else { 0 };
        let (beside, eps) = match self.prologue {
            Some(Prologue::Concat) => (true, None),
            Some(Prologue::LayerNorm { eps }) => (false, Some(eps)),
            _ => (false, None),
        };
        params.extend_from_slice(rest);
        params.resize(18, 0);
        params.extend([count(self.left())?, eps.unwrap_or(0.0).to_bits()]);
        let tile_rows = tile_rows(rows, columns);
        let (kernel, groups) = match style {
            Style::Tiled => (tiled, [rows.div_ceil(tile_rows), columns.div_ceil(TILE_COLUMNS), 1]),
            Style::Untiled => (self.untiled, untiled_groups(rows, columns)),
        };
        let mut launch = Launch::new(kernel, 0, params, groups).with("STORAGE", self.stored.code());
        if style == Style::Tiled {
            launch = launch.with("ROWS", tile_rows);
        }
        // What a product does not have, the matrix stands in for, and is not read.
        launch.bindings = self.epilogue.bindings(1);
        launch.bindings.extend([0, 1].map(Binding::Input));
        if self.prologue.is_some() {
            launch = launch.with("PROLOGUE", if beside { 1 } else { 2 * u32::from(eps.is_some()) });
            let at = 2 + usize::from(self.epilogue.bias.is_some());
            let or_matrix = |there: bool, input: usize| Binding::Input(if there { input } else { 1 });
            launch.bindings.extend([or_matrix(beside || eps.is_some(), at), or_matrix(eps.is_some(), at + 1)]);
        }
        Ok(launch)
    }
}

/// Workgroups of 4 x 4 invocations, each of 8 rows x 8 columns.
pub fn untiled_groups(rows: u32, columns: u32) -> [u32; 3] {
    [columns.div_ceil(4 * 8), rows.div_ceil(4 * 8), 1]
}

/// Rows of a tile: as many as leave enough workgroups to fill the device.
fn tile_rows(rows: u32, columns: u32) -> u32 {
    let groups = |tile: u32| u64::from(rows.div_ceil(tile)) * u64::from(columns.div_ceil(TILE_COLUMNS));
    [128, 64].into_iter().find(|&tile| groups(tile) >= FULL_OCCUPANCY_GROUPS).unwrap_or(32)
}
