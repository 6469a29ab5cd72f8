//! The GPU device: adapter selection, buffers and transfers.

use super::config::{KernelConfig, TileChoice, WeightChoice, Winograd};
use super::kernel::{Launch, LaunchError, Scalar, Style};
use super::pipelines::{BackgroundCompiler, Pipelines};
use super::wgsl;
use crate::ops::{SUPERBLOCK, Storage};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use ts_rs::TS;

/// Errors from device creation, allocation, compilation and execution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message explains its fields")]
pub enum GpuError {
    /// No adapter, or none that WebGPU, Vulkan, Metal or DirectX 12 supports.
    #[error(
        "no usable GPU: {0}. On the web, use a current Chrome, Edge, Safari or Firefox with WebGPU enabled; on Linux without a graphics driver, install mesa-vulkan-drivers"
    )]
    NoAdapter(String),
    /// Device creation failed.
    #[error("cannot open the GPU: {0}. Close other programs that use it, or restart the browser")]
    NoDevice(String),
    /// A tensor exceeds the maximum binding size.
    #[error("{what} needs a buffer of {bytes} bytes, but this GPU binds at most {limit}: choose a smaller image")]
    TooLarge { what: String, bytes: u64, limit: u64 },
    /// Allocation failed for lack of memory.
    #[error("out of GPU memory ({0}): choose a smaller image or close other programs")]
    OutOfMemory(String),
    /// The parts of a concatenated weight are not adjacent in one buffer.
    #[error("the plan `{plan}` reads `{name}` as one tensor, but the parts are not contiguous in GPU memory")]
    NotContiguous { plan: String, name: String },
    /// No kernel supports a step's shapes.
    #[error("{label}: {source}")]
    NoLaunch { label: String, source: LaunchError },
    /// A tensor of the plan is missing.
    #[error("the plan `{plan}` needs `{name}`, which is missing")]
    Missing { plan: String, name: String },
    /// Wrong number of elements.
    #[error("`{name}` has {found} elements, but the plan expects {wanted}")]
    LengthMismatch { name: String, found: u64, wanted: u64 },
    /// Wrong storage type.
    #[error("`{name}` is stored in GPU memory as {found:?}, but must be {wanted:?}")]
    StorageMismatch { name: String, found: Storage, wanted: Storage },
    /// A write past a tensor's end, or to half of a word or a part of a superblock.
    #[error(
        "cannot write {count} elements at offset {first} of a {storage:?} tensor with {len} elements: the range must lie within the tensor, 16-bit elements must be written in whole pairs, and blocks in whole superblocks"
    )]
    Write { first: u64, count: u64, len: u64, storage: Storage },
    /// An error reported by the driver: a bug in this program or in the driver.
    #[error("the graphics driver reported an error in {what}: {message}")]
    Fault { what: String, message: String },
    /// Device lost (driver reset, sleep, switch to another GPU).
    #[error("the GPU device was lost ({0}): reload and try again, with a smaller image if it happens again")]
    Lost(String),
}

/// Device description for display and reports.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct GpuInfo {
    /// Adapter name, as reported by the driver or the browser.
    pub adapter: String,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// Software rasterizer: the adapter runs on the CPU.
    pub software: bool,
    /// Whether the device has `shader-f16`, i.e. f16 arithmetic.
    pub shader_f16: bool,
    /// Maximum size of a storage buffer binding in bytes.
    #[ts(type = "number")]
    pub max_binding: u64,
}

/// Counters of the resources that a device has created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceStats {
    /// Buffers created so far.
    pub buffers: usize,
    /// Bind groups created so far.
    pub bind_groups: usize,
    /// Pipelines created so far.
    pub pipelines: usize,
    /// Bytes of live buffers.
    pub bytes: u64,
    /// Maximum of these bytes so far.
    pub peak_bytes: u64,
}

/// Destroys a buffer and subtracts its bytes from the count when the last clone is dropped. A browser would keep
/// the buffer until its garbage collector runs, which does not account for GPU memory.
#[derive(Debug)]
pub(super) struct AllocationGuard {
    buffer: wgpu::Buffer,
    stats: Rc<Cell<ResourceStats>>,
}

impl Drop for AllocationGuard {
    fn drop(&mut self) {
        // Work that is already submitted can still use the buffer.
        self.buffer.destroy();
        let stats = self.stats.get();
        self.stats.set(ResourceStats { bytes: stats.bytes - self.buffer.size(), ..stats });
    }
}

/// A tensor in GPU memory. Clones share its data; parts of a larger tensor share that tensor's buffer.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub(super) buffer: wgpu::Buffer,
    /// Byte offset of the first element in the buffer.
    pub(super) offset: u64,
    /// Size of the binding in bytes, padding included.
    pub(super) bytes: u64,
    pub(super) _guard: Rc<AllocationGuard>,
    /// Number of elements.
    pub len: u64,
    /// Storage type of the elements.
    pub storage: Storage,
}

impl Tensor {
    /// Returns the tensor as a bind group resource.
    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        let size = wgpu::BufferSize::new(self.bytes);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.buffer, offset: self.offset, size })
    }
}

/// Floating-point operations per submission until the device's throughput is known: about 50 ms at 40 GFLOP/s.
const FIRST_SUBMISSION_FLOPS: u64 = 2_000_000_000;

/// An open device.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: GpuInfo,
    scalar: Scalar,
    has_subgroups: bool,
    workgroup_memory: u32,
    pub(super) submission_flops: Cell<u64>,
    pub(super) pipelines: Pipelines,
    stats: Rc<Cell<ResourceStats>>,
    pub(super) staging: RefCell<Option<wgpu::Buffer>>,
    fault: Arc<Mutex<Option<GpuError>>>,
}

impl Gpu {
    /// Opens the high-performance adapter with the largest limits that it supports.
    pub async fn open() -> Result<Gpu, GpuError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter =
            instance.request_adapter(&options).await.map_err(|error| GpuError::NoAdapter(error.to_string()))?;
        let adapter_info = adapter.get_info();
        let limits = adapter.limits();
        let software = adapter_info.device_type == wgpu::DeviceType::Cpu;
        let info = GpuInfo {
            adapter: match (adapter_info.name.as_str(), software) {
                ("", true) => "a software rasterizer".into(),
                ("", false) => "an unnamed GPU".into(),
                (name, _) => name.into(),
            },
            backend: match adapter_info.backend {
                wgpu::Backend::BrowserWebGpu => "webgpu".into(),
                other => other.to_str().into(),
            },
            software,
            shader_f16: adapter.features().contains(wgpu::Features::SHADER_F16),
            max_binding: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
        };
        let workgroup_memory = limits.max_compute_workgroup_storage_size;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("lora-loupe"),
            required_features: adapter.features() & (wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP),
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) =
            adapter.request_device(&descriptor).await.map_err(|error| GpuError::NoDevice(error.to_string()))?;

        let fault = Arc::new(Mutex::new(None));
        let slot = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| record(&slot, gpu_error("a step", error))));
        let slot = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                record(&slot, GpuError::Lost(message));
            }
        });
        Ok(Gpu {
            device,
            queue,
            info,
            scalar: Scalar::F32,
            has_subgroups: adapter.features().contains(wgpu::Features::SUBGROUP),
            workgroup_memory,
            submission_flops: Cell::new(FIRST_SUBMISSION_FLOPS),
            pipelines: Pipelines::default(),
            stats: Rc::default(),
            staging: RefCell::default(),
            fault,
        })
    }

    /// Returns the device description.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// Returns the configuration of an untuned device with these features. On the web wgpu does not report subgroups.
    pub fn default_config(&self) -> KernelConfig {
        KernelConfig {
            max_binding: self.info.max_binding,
            workgroup_memory: self.workgroup_memory,
            style: if self.info.software { Style::Untiled } else { Style::Tiled },
            f16_weights: !self.info.software,
            weights: WeightChoice::Auto,
            f16_math: self.info.shader_f16,
            winograd: Winograd::ByStyle,
            subgroups: self.has_subgroups,
            tiles: TileChoice::Rule,
        }
    }

    /// Returns the key of a [`Tuning`](super::Tuning) of this device with this build's kernels.
    pub fn tuning_key(&self) -> String {
        format!("{} ({}), kernels {:08x}", self.info.adapter, self.info.backend, wgsl::hash())
    }

    /// Returns the kernels' `Scalar`: the element type of activations.
    pub fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// Destroys the device as a driver reset would, to test recovery.
    pub fn simulate_loss(&self) {
        record(&self.fault, GpuError::Lost("device destroyed on request".into()));
        self.device.destroy();
    }

    /// Returns the first uncaptured error since the last call.
    pub fn check(&self) -> Result<(), GpuError> {
        match self.fault.lock().ok().and_then(|mut fault| fault.take()) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Runs `create`, which creates resources, in error scopes; errors name `what`.
    pub async fn with_error_scopes<T>(
        &self,
        what: &str,
        create: impl FnOnce() -> Result<T, GpuError>,
    ) -> Result<T, GpuError> {
        let out_of_memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let created = create();
        let validation = validation.pop();
        let out_of_memory = out_of_memory.pop();
        let (out_of_memory, validation) = (out_of_memory.await, validation.await);
        match out_of_memory.or(validation) {
            Some(error) => Err(self.device_lost().unwrap_or_else(|| gpu_error(what, error))),
            None => created,
        }
    }

    /// Returns the device loss, if any: it is the cause of every validation error that follows it.
    fn device_lost(&self) -> Option<GpuError> {
        match self.fault.lock().ok()?.as_ref() {
            Some(GpuError::Lost(message)) => Some(GpuError::Lost(message.clone())),
            _ => None,
        }
    }

    /// Allocates a zeroed tensor of `len` elements; errors name `what`.
    pub fn tensor(&self, what: &str, len: u64) -> Result<Tensor, GpuError> {
        self.tensor_with_storage(what, len, Storage::F32)
    }

    /// Like [`Gpu::tensor`], with the given storage type.
    pub fn tensor_with_storage(&self, what: &str, len: u64, storage: Storage) -> Result<Tensor, GpuError> {
        let bytes = self.bytes(len, storage);
        if bytes > self.info.max_binding {
            return Err(GpuError::TooLarge { what: what.into(), bytes, limit: self.info.max_binding });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size: bytes, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        Ok(Tensor { _guard: self.track_buffer(&buffer), buffer, offset: 0, bytes, len, storage })
    }

    /// Returns the binding size of `len` elements in bytes: never 0, and a multiple of 16 since kernels read vec4s.
    pub(super) fn bytes(&self, len: u64, storage: Storage) -> u64 {
        match storage {
            Storage::F32 => len.max(1) * self.scalar.bytes(),
            smaller => smaller.bytes(len.max(1)),
        }
        .next_multiple_of(16)
    }

    /// Counts a buffer as created, and as live until the last clone of the returned guard is dropped.
    pub(super) fn track_buffer(&self, buffer: &wgpu::Buffer) -> Rc<AllocationGuard> {
        let stats = self.stats.get();
        let bytes = stats.bytes + buffer.size();
        let peak_bytes = stats.peak_bytes.max(bytes);
        self.stats.set(ResourceStats { buffers: stats.buffers + 1, bytes, peak_bytes, ..stats });
        Rc::new(AllocationGuard { buffer: buffer.clone(), stats: self.stats.clone() })
    }

    /// Counts a bind group.
    pub(super) fn track_bind_group(&self) {
        let stats = self.stats.get();
        self.stats.set(ResourceStats { bind_groups: stats.bind_groups + 1, ..stats });
    }

    /// Returns the resource counters.
    pub fn resource_stats(&self) -> ResourceStats {
        ResourceStats { pipelines: self.pipeline_count(), ..self.stats.get() }
    }

    /// Writes a tensor from its first element on.
    pub fn write(&self, tensor: &Tensor, data: &[f32]) -> Result<(), GpuError> {
        self.write_at(tensor, 0, data)
    }

    /// Writes elements of a tensor from index `first` on. For f16 and bf16 tensors `first` must be even, for those in
    /// blocks a multiple of [`SUPERBLOCK`], and other counts are allowed only at the tensor's end.
    pub fn write_at(&self, tensor: &Tensor, first: u64, data: &[f32]) -> Result<(), GpuError> {
        match (tensor.storage, self.scalar) {
            (Storage::F32, Scalar::F32) => self.write_elements(tensor, first, data, 0.0),
            (Storage::F16, _) | (Storage::F32, Scalar::F16) => {
                let data: Vec<half::f16> = data.iter().map(|&value| half::f16::from_f32(value)).collect();
                self.write_elements(tensor, first, &data, half::f16::ZERO)
            }
            (Storage::Bf16, _) => {
                let data: Vec<half::bf16> = data.iter().map(|&value| half::bf16::from_f32(value)).collect();
                self.write_elements(tensor, first, &data, half::bf16::ZERO)
            }
            (Storage::Q8 | Storage::Q4, _) => self.write_blocks(tensor, first, data),
        }
    }

    /// Quantizes and writes whole superblocks; the one at the tensor's end may be incomplete.
    fn write_blocks(&self, tensor: &Tensor, first: u64, data: &[f32]) -> Result<(), GpuError> {
        let end = first.checked_add(data.len() as u64).filter(|&end| end <= tensor.len);
        let is_whole = data.len().is_multiple_of(SUPERBLOCK) || end == Some(tensor.len);
        if end.is_none() || !first.is_multiple_of(SUPERBLOCK as u64) || !is_whole {
            return Err(write_error(tensor, first, data.len()));
        }
        let bytes = tensor.storage.blocks().map(|blocks| blocks.pack(data)).unwrap_or_default();
        self.queue.write_buffer(&tensor.buffer, tensor.offset + tensor.storage.bytes(first), &bytes);
        Ok(())
    }

    /// Creates a tensor with the given elements, converted to `storage`.
    pub fn upload(&self, what: &str, data: &[f32], storage: Storage) -> Result<Tensor, GpuError> {
        let tensor = self.tensor_with_storage(what, data.len() as u64, storage)?;
        self.write(&tensor, data)?;
        Ok(tensor)
    }

    /// Writes raw bits to an f16 or bf16 tensor from the even index `first` on; an odd count is allowed only at the
    /// tensor's end.
    pub fn write_u16_at(&self, tensor: &Tensor, first: u64, bits: &[u16]) -> Result<(), GpuError> {
        match tensor.storage {
            Storage::F32 | Storage::Q8 | Storage::Q4 => Err(write_error(tensor, first, bits.len())),
            Storage::F16 | Storage::Bf16 => self.write_elements(tensor, first, bits, 0),
        }
    }

    /// Writes elements without conversion; `padding` fills the last word after an odd count of 16-bit elements.
    fn write_elements<T: bytemuck::Pod>(
        &self,
        tensor: &Tensor,
        first: u64,
        data: &[T],
        padding: T,
    ) -> Result<(), GpuError> {
        let per_word = 4 / size_of::<T>();
        let end = first.checked_add(data.len() as u64).filter(|&end| end <= tensor.len);
        let is_whole = data.len().is_multiple_of(per_word) || end == Some(tensor.len);
        if end.is_none() || !first.is_multiple_of(per_word as u64) || !is_whole {
            return Err(write_error(tensor, first, data.len()));
        }
        let offset = tensor.offset + first * size_of::<T>() as u64;
        let (words, rest) = data.split_at(data.len() / per_word * per_word);
        self.queue.write_buffer(&tensor.buffer, offset, bytemuck::cast_slice(words));
        if let [last] = rest {
            let offset = offset + size_of_val(words) as u64;
            self.queue.write_buffer(&tensor.buffer, offset, bytemuck::bytes_of(&[*last, padding]));
        }
        Ok(())
    }

    /// Compiles pipelines ahead of time with this compiler from now on.
    pub fn compile_in_background(&self, compiler: Rc<dyn BackgroundCompiler>) {
        *self.pipelines.background.borrow_mut() = Some(compiler);
    }

    /// Returns the pipeline of a launch, compiled on first use.
    pub(super) fn pipeline(&self, launch: &Launch) -> wgpu::ComputePipeline {
        self.pipelines.get(&self.device, self.scalar, launch)
    }

    /// Returns the number of pipelines compiled so far.
    pub fn pipeline_count(&self) -> usize {
        self.pipelines.count()
    }

    /// Copies a tensor to another of the same length and storage type.
    pub fn copy(&self, from: &Tensor, to: &Tensor) -> Result<(), GpuError> {
        let name = || "a copy".to_owned();
        if from.len != to.len {
            return Err(GpuError::LengthMismatch { name: name(), found: from.len, wanted: to.len });
        }
        if from.storage != to.storage {
            return Err(GpuError::StorageMismatch { name: name(), found: from.storage, wanted: to.storage });
        }
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &to.buffer, to.offset, from.bytes);
        self.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Waits for all submitted work to finish.
    pub fn finished(&self) -> impl Future<Output = Result<(), GpuError>> + '_ {
        let (done, wait) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            let _ = done.send(());
        });
        async move {
            self.poll();
            wait.await.map_err(|_| GpuError::Lost("it stopped responding".into()))?;
            self.check()
        }
    }

    /// Runs the callbacks of a native device; on the web the browser runs them.
    pub(super) fn poll(&self) {
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            record(&self.fault, GpuError::Lost(error.to_string()));
        }
    }
}

/// Records an error unless an earlier one is recorded, which later ones follow from.
fn record(slot: &Mutex<Option<GpuError>>, error: GpuError) {
    if let Ok(mut slot) = slot.lock() {
        slot.get_or_insert(error);
    }
}

fn write_error(tensor: &Tensor, first: u64, count: usize) -> GpuError {
    GpuError::Write { first, count: count as u64, len: tensor.len, storage: tensor.storage }
}

fn gpu_error(what: &str, error: wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory(what.into()),
        other => GpuError::Fault { what: what.into(), message: other.to_string() },
    }
}
