//! Launch of the rescaling of rows or columns to given norms.

use crate::gpu::kernel::{Launch, LaunchError, to_u32, workgroup_grid};
use crate::ops::{Axis, Renorm};

/// Returns the launch of renorm.wgsl.
pub fn launch(op: &Renorm, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let (rows, columns) = (output[0], output[1]);
    let count = inputs[2][0];
    let (repeats, stride, members) = match op.axis {
        Axis::Rows => (columns, 1, columns),
        Axis::Columns => (columns / count, count, rows * (columns / count)),
    };
    let offset = if op.axis == Axis::Rows { columns } else { 1 };
    let params = [count, columns, repeats, stride, members, offset].map(|value| to_u32("renorm", value));
    let params = params.into_iter().collect::<Result<Vec<u32>, _>>()?;
    Ok(Launch::new("renorm", 3, params, workgroup_grid("renorm", count as u64)?))
}
