//! Turns what matmul and conv2d share into the parts of their launches; see product.wgsl.

use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, number};
use crate::ops::{After, Before, Function, Storage};

/// Columns of the tile that one workgroup makes, in tile.wgsl.
const TILE: u32 = 64;
/// Workgroups that keep a large graphics card busy.
const BUSY: u32 = 256;

/// A matrix product, whatever its rows are.
pub struct Product<'a> {
    /// Stem of the tiled kernel.
    pub tiled: &'static str,
    /// Stem of the other, whose invocations make 8 rows x 8 columns.
    pub direct: &'static str,
    /// (rows, columns, depth).
    pub size: (usize, usize, usize),
    /// Rows of an item of the batch.
    pub item_rows: usize,
    /// Whether a bias follows the matrix among the inputs.
    pub bias: bool,
    /// What the rows are made of, of a kernel that can make them of more than x; its inputs come
    /// after the bias.
    pub before: Option<Before>,
    /// What follows.
    pub after: After,
    /// Shapes of the inputs.
    pub inputs: &'a [&'a [usize]],
    /// How the matrix lies.
    pub stored: Storage,
}

impl Product<'_> {
    /// Whether rows of all tensors are whole vec4s, as product.wgsl needs.
    pub fn is_aligned(&self) -> bool {
        let (_, columns, inner) = self.size;
        let shift = self.after.shift.unwrap_or(0) + self.shift_width();
        let beside = self.before == Some(Before::Beside) && self.left() % 4 != 0;
        !beside && self.after.stored(columns) % 4 == 0 && columns % 4 == 0 && inner % 4 == 0 && shift % 4 == 0
    }

    fn before_at(&self) -> usize {
        2 + usize::from(self.bias)
    }

    fn after_at(&self) -> usize {
        self.before_at() + self.before.unwrap_or_default().inputs()
    }

    /// Columns of x.
    fn left(&self) -> usize {
        self.inputs[0].last().copied().unwrap_or(1)
    }

    fn shift_width(&self) -> usize {
        self.after.shift.map_or(0, |_| self.inputs[self.after_at()].iter().product::<usize>() / self.inputs[0][0])
    }

    /// The launch; `rest` are the parameters after those of product.wgsl that every product has.
    pub fn launch(&self, rest: &[u32], style: Style) -> Result<Launch, LaunchError> {
        let count = |n| number(self.tiled, n);
        let (rows, columns, inner) = (count(self.size.0)?, count(self.size.1)?, count(self.size.2)?);
        let mut params = vec![rows, columns, inner, count(self.item_rows)?, count(self.shift_width())?];
        params.push(count(self.after.shift.unwrap_or(0))?);
        let (beside, eps) = match self.before {
            Some(Before::Beside) => (true, None),
            Some(Before::Normed { eps }) => (false, Some(eps)),
            _ => (false, None),
        };
        let After { shift, gate, residual, .. } = self.after;
        let flags = [self.bias, shift.is_some(), gate, residual];
        params.push(flags.iter().enumerate().map(|(bit, &flag)| u32::from(flag) << bit).sum());
        params.push(function(self.after.function));
        params.extend_from_slice(rest);
        params.resize(18, 0);
        params.extend([count(self.left())?, eps.unwrap_or(0.0).to_bits()]);
        let tile_rows = tile_rows(rows, columns);
        let (kernel, groups) = match style {
            Style::Tiled => (self.tiled, [rows.div_ceil(tile_rows), columns.div_ceil(TILE), 1]),
            Style::Direct => (self.direct, direct_groups(rows, columns)),
        };
        let mut launch = Launch::new(kernel, 2, params, groups).with("STORAGE", self.stored.code());
        if style == Style::Tiled {
            launch = launch.with("ROWS", tile_rows);
        }
        // What a product does not have, the matrix stands in for, and is not read.
        let or_matrix = |there: bool, input: usize| Binding::Input(if there { input } else { 1 });
        let residual_at = self.after_at() + usize::from(shift.is_some());
        let parts =
            [or_matrix(self.bias, 2), or_matrix(shift.is_some(), self.after_at()), or_matrix(residual, residual_at)];
        launch.bindings.splice(2..2, parts);
        if self.before.is_some() {
            launch = launch.with("BEFORE", if beside { 1 } else { 2 * u32::from(eps.is_some()) });
            let parts =
                [or_matrix(beside || eps.is_some(), self.before_at()), or_matrix(eps.is_some(), self.before_at() + 1)];
            launch.bindings.extend(parts);
        }
        Ok(launch)
    }
}

/// Workgroups of 4 x 4 invocations, each of 8 rows x 8 columns.
pub fn direct_groups(rows: u32, columns: u32) -> [u32; 3] {
    [columns.div_ceil(4 * 8), rows.div_ceil(4 * 8), 1]
}

/// Rows of a tile: as many as leave enough workgroups to fill the device.
fn tile_rows(rows: u32, columns: u32) -> u32 {
    let groups = |tile: u32| rows.div_ceil(tile) * columns.div_ceil(TILE);
    [128, 64].into_iter().find(|&tile| groups(tile) >= BUSY).unwrap_or(32)
}

/// A function's number in product.wgsl.
fn function(function: Option<Function>) -> u32 {
    match function {
        None => 0,
        Some(Function::Silu) => 1,
        Some(Function::Gelu) => 2,
        Some(Function::QuickGelu) => 3,
    }
}
