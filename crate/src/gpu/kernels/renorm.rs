//! Launch of the rescaling of rows or columns to given norms.

use crate::gpu::kernel::{Launch, LaunchError, to_u32, workgroup_grid};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::ops::{Axis, Renorm};

params! {
    /// Uniforms of renorm.wgsl.
    RenormParams { count: u32, columns: u32, repeats: u32, stride: u32, members: u32, offset: u32 }
}

/// Returns the launch of renorm.wgsl.
pub fn launch(op: &Renorm, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let (rows, columns) = (output[0], output[1]);
    let count = inputs[2][0];
    let (repeats, stride, members) = match op.axis {
        Axis::Rows => (columns, 1, columns),
        Axis::Columns => (columns / count, count, rows * (columns / count)),
    };
    let offset = if op.axis == Axis::Rows { columns } else { 1 };
    let size = |n: usize| to_u32(Kernel::Renorm, n);
    let params = RenormParams {
        count: size(count)?,
        columns: size(columns)?,
        repeats: size(repeats)?,
        stride: size(stride)?,
        members: size(members)?,
        offset: size(offset)?,
    };
    Ok(Launch::new(Kernel::Renorm, 3, params, workgroup_grid(Kernel::Renorm, count as u64)?))
}
