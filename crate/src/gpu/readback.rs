//! Readback of tensors from GPU memory.

use super::device::{Gpu, GpuError, Tensor};
use super::kernel::Scalar;
use crate::num::host_len;
use crate::ops::{Blocks, Storage};

/// Maximum size of the cached staging buffer; larger ones are created for each read.
const MAX_CACHED_BYTES: u64 = 16 << 20;

impl Gpu {
    /// Reads a whole tensor as f32, after all work submitted before.
    pub async fn read(&self, tensor: &Tensor) -> Result<Vec<f32>, GpuError> {
        let size = tensor.bytes;
        // Successive reads are usually of the same size: reuse the staging buffer.
        let cached = self.staging.borrow_mut().take().filter(|cached| cached.size() == size);
        let staging = cached.unwrap_or_else(|| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&tensor.buffer, tensor.offset, &staging, 0, size);
        self.queue.submit([encoder.finish()]);

        let (done, wait) = futures_channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = done.send(result);
        });
        self.poll();
        let mapped = wait.await.map_err(|_| GpuError::Lost("it stopped responding".into()))?;
        self.check()?;
        mapped.map_err(|error| GpuError::Lost(error.to_string()))?;
        let view = staging
            .get_mapped_range(..)
            .map_err(|error| GpuError::Fault { what: "readback".into(), message: error.to_string() })?;
        let len = host_len(tensor.len);
        let mut data: Vec<f32> = match (tensor.storage, self.scalar()) {
            (Storage::F32, Scalar::F32) => bytemuck::pod_collect_to_vec(&view[..]),
            (Storage::F16, _) | (Storage::F32, Scalar::F16) => {
                bytemuck::pod_collect_to_vec::<u8, half::f16>(&view[..]).into_iter().map(half::f16::to_f32).collect()
            }
            (Storage::Bf16, _) => {
                bytemuck::pod_collect_to_vec::<u8, half::bf16>(&view[..]).into_iter().map(half::bf16::to_f32).collect()
            }
            (Storage::Q8, _) => Blocks::Q8.unpack(&view[..], len),
            (Storage::Q4, _) => Blocks::Q4.unpack(&view[..], len),
        };
        data.truncate(len);
        drop(view);
        staging.unmap();
        if size <= MAX_CACHED_BYTES {
            *self.staging.borrow_mut() = Some(staging);
        }
        Ok(data)
    }
}
