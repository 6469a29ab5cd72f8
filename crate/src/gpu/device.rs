//! Turns the machine's graphics processor into a device with buffers and a pipeline cache.

use super::config::KernelConfig;
use super::kernel::{self, Launch, LaunchError, Scalar, Style};
use super::tune::{TileChoice, WINOGRAD_MIN_CHANNELS_GPU};
use crate::ops::Storage;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use ts_rs::TS;

/// Why the graphics processor did not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum GpuError {
    /// There is none, or none that WebGPU or Vulkan, Metal or DirectX 12 can use.
    #[error(
        "no usable graphics processor: {0}. On the web, use a current Chrome, Edge, Safari or Firefox with WebGPU switched on; on Linux without a graphics driver, install mesa-vulkan-drivers"
    )]
    NoAdapter(String),
    /// It refused to open.
    #[error("the graphics processor did not open: {0}. Close other programs that use it, or restart the browser")]
    NoDevice(String),
    /// A tensor is larger than one binding may be.
    #[error("{what} needs {bytes} bytes at once, this device binds at most {limit}: choose a smaller picture")]
    TooLarge { what: String, bytes: u64, limit: u64 },
    /// Memory is used up.
    #[error("out of graphics memory while making {0}: choose a smaller picture or close other programs")]
    OutOfMemory(String),
    /// Weights that a plan reads as one are not in one buffer.
    #[error("the plan `{plan}` reads `{name}` and what follows it as one tensor, but they lie apart")]
    NotContiguous { plan: String, name: String },
    /// A step has no kernel for its shapes.
    #[error("{label}: {source}")]
    NoLaunch { label: String, source: LaunchError },
    /// The plan names a tensor that nobody gave.
    #[error("the plan `{plan}` needs `{name}`, which is not there")]
    Missing { plan: String, name: String },
    /// A tensor of another size.
    #[error("`{name}` has {found} numbers, the plan wants {wanted}")]
    LengthMismatch { name: String, found: u64, wanted: u64 },
    /// A tensor whose numbers lie otherwise.
    #[error("`{name}` lies in graphics memory as {found:?}, it must be {wanted:?}")]
    StorageMismatch { name: String, found: Storage, wanted: Storage },
    /// Numbers written past a tensor's end, or to half of a word.
    #[error(
        "cannot write {count} numbers from place {first} on to a tensor of {len} in {storage:?}: they must lie within it, and halves in whole pairs"
    )]
    Write { first: u64, count: u64, len: u64, storage: Storage },
    /// The driver reported a fault; a defect of this program or of the driver.
    #[error("the graphics driver reported a fault in {what}: {message}")]
    Fault { what: String, message: String },
    /// The device is gone (driver reset, sleep, other graphics card).
    #[error("the graphics processor was lost ({0}): reload and try again, with a smaller picture if it happens again")]
    Lost(String),
}

/// What the device is, for people and for reports.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct GpuInfo {
    /// The adapter's name, or what the browser tells of it.
    pub adapter: String,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// It is the processor in disguise.
    pub software: bool,
    /// Arithmetic in 16-bit floats is possible.
    pub shader_f16: bool,
    /// Most bytes of one binding.
    #[ts(type = "number")]
    pub max_binding: u64,
}

/// What of a device decides how plans are made for it and how much memory they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceCaps {
    /// Most bytes of one binding.
    pub max_binding: u64,
    /// Whether weights stay in the halves that their file has.
    pub f16_weights: bool,
    /// How its kernels are written.
    pub style: Style,
    /// Channels from which on Winograd's algorithm is used where a plan allows it.
    pub winograd: usize,
}

impl DeviceCaps {
    /// Those of a graphics card that binds no more than every WebGPU device does: 128 MiB.
    pub const BASELINE: DeviceCaps =
        DeviceCaps { max_binding: 128 << 20, f16_weights: true, style: Style::Tiled, winograd: WINOGRAD_MIN_CHANNELS_GPU };
}

/// Buffers that a device has made, and bytes of those that are still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceStats {
    /// Buffers so far.
    pub buffers: usize,
    /// Bind groups so far.
    pub bind_groups: usize,
    /// Pipelines so far.
    pub pipelines: usize,
    /// Bytes of the buffers that somebody still holds.
    pub bytes: u64,
}

/// Gives a buffer's memory back and takes its bytes off the count when the last holder lets it go: a
/// browser would keep it until its collector runs, which does not see graphics memory.
#[derive(Debug)]
pub(super) struct AllocationGuard {
    buffer: wgpu::Buffer,
    made: Rc<Cell<ResourceStats>>,
}

impl Drop for AllocationGuard {
    fn drop(&mut self) {
        // What was submitted before still has it.
        self.buffer.destroy();
        let made = self.made.get();
        self.made.set(ResourceStats { bytes: made.bytes - self.buffer.size(), ..made });
    }
}

/// Numbers that live in graphics memory. Clones share them, and parts of a larger one its buffer.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub(super) buffer: wgpu::Buffer,
    /// Bytes of the buffer before the first number.
    pub(super) offset: u64,
    /// Bytes that kernels see of it.
    pub(super) bytes: u64,
    pub(super) _counted: Rc<AllocationGuard>,
    /// How many.
    pub len: u64,
    /// How they lie.
    pub storage: Storage,
}

impl Tensor {
    /// As a kernel's binding.
    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        let size = wgpu::BufferSize::new(self.bytes);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.buffer, offset: self.offset, size })
    }
}

/// Floating-point operations of a submission before the device's speed is known: about 50 ms at
/// 40 GFLOP/s.
const FIRST_SUBMISSION_FLOPS: u64 = 2_000_000_000;

type PipelineKey = (&'static str, Vec<(&'static str, u64)>, Scalar);

/// An open device.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: GpuInfo,
    scalar: Scalar,
    pub(super) config: RefCell<KernelConfig>,
    pub(super) wants_tuning: Cell<bool>,
    pub(super) submission_flops: Cell<u64>,
    pipelines: RefCell<HashMap<PipelineKey, wgpu::ComputePipeline>>,
    made: Rc<Cell<ResourceStats>>,
    pub(super) staging: RefCell<Option<wgpu::Buffer>>,
    fault: Arc<Mutex<Option<GpuError>>>,
}

impl Gpu {
    /// Opens the fastest adapter, with as large buffers as it allows.
    pub async fn open() -> Result<Gpu, GpuError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter =
            instance.request_adapter(&options).await.map_err(|error| GpuError::NoAdapter(error.to_string()))?;
        let about = adapter.get_info();
        let limits = adapter.limits();
        let software = about.device_type == wgpu::DeviceType::Cpu;
        let info = GpuInfo {
            adapter: match (about.name.as_str(), software) {
                ("", true) => "a software renderer".into(),
                ("", false) => "a graphics processor that the browser does not name".into(),
                (name, _) => name.into(),
            },
            backend: match about.backend {
                wgpu::Backend::BrowserWebGpu => "webgpu".into(),
                other => other.to_str().into(),
            },
            software,
            shader_f16: adapter.features().contains(wgpu::Features::SHADER_F16),
            max_binding: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("lora-loupe"),
            required_features: adapter.features() & (wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP),
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) =
            adapter.request_device(&descriptor).await.map_err(|error| GpuError::NoDevice(error.to_string()))?;

        let fault = Arc::new(Mutex::new(None));
        let seen = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&seen, named("a step", error))));
        let seen = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&seen, GpuError::Lost(message));
            }
        });
        let config = KernelConfig {
            style: if info.software { Style::Untiled } else { Style::Tiled },
            f16_weights: !info.software,
            f16_math: info.shader_f16,
            uses_winograd: true,
            has_subgroups: adapter.features().contains(wgpu::Features::SUBGROUP),
            tile_choice: TileChoice::Rule,
        };
        Ok(Gpu {
            device,
            queue,
            info,
            scalar: Scalar::F32,
            config: RefCell::new(config),
            wants_tuning: Cell::new(false),
            submission_flops: Cell::new(FIRST_SUBMISSION_FLOPS),
            pipelines: RefCell::default(),
            made: Rc::default(),
            staging: RefCell::default(),
            fault,
        })
    }

    /// Opens a device in place of one that was lost. Where it is the same one, all that was found out of
    /// that holds for it; its speed is measured anew. It proves its kernels again: what fails now is given up
    /// too, and what was given up stays so.
    pub async fn open_like(lost: &Gpu) -> Result<Gpu, GpuError> {
        let gpu = Gpu::open().await?;
        if gpu.info == lost.info {
            gpu.set_config(lost.config());
        }
        gpu.set_wants_tuning(lost.wants_tuning());
        gpu.self_test().await?;
        Ok(gpu)
    }

    /// What the device is.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// What decides how plans are made for it.
    pub fn caps(&self) -> DeviceCaps {
        self.config.borrow().caps(self.info.max_binding)
    }

    /// How tensors are stored.
    pub fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// Gives the device up as a driver's reset does, to see what the program does then.
    pub fn lose(&self) {
        note(&self.fault, GpuError::Lost("it was given up".into()));
        self.device.destroy();
    }

    /// The first fault since the last call that no operation reported by itself.
    pub fn check(&self) -> Result<(), GpuError> {
        match self.fault.lock().ok().and_then(|mut fault| fault.take()) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Runs `make`, which creates things on the device, and reports what it did wrong under `what`.
    pub async fn with_error_scopes<T>(&self, what: &str, make: impl FnOnce() -> Result<T, GpuError>) -> Result<T, GpuError> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validity = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make();
        let validity = validity.pop();
        let memory = memory.pop();
        let (memory, validity) = (memory.await, validity.await);
        match memory.or(validity) {
            Some(error) => Err(self.loss().unwrap_or_else(|| named(what, error))),
            None => made,
        }
    }

    /// The loss of the device, where it was lost: everything made on it since is invalid, and not by its own fault.
    fn loss(&self) -> Option<GpuError> {
        match self.fault.lock().ok()?.as_ref() {
            Some(GpuError::Lost(message)) => Some(GpuError::Lost(message.clone())),
            _ => None,
        }
    }

    /// Room for `len` numbers; `what` names them in an error. The numbers are 0 at first.
    pub fn tensor(&self, what: &str, len: u64) -> Result<Tensor, GpuError> {
        self.tensor_stored(what, len, Storage::F32)
    }

    /// The same for numbers that lie in another way.
    pub fn tensor_stored(&self, what: &str, len: u64, storage: Storage) -> Result<Tensor, GpuError> {
        let bytes = self.bytes(len, storage);
        if bytes > self.info.max_binding {
            return Err(GpuError::TooLarge { what: what.into(), bytes, limit: self.info.max_binding });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size: bytes, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        Ok(Tensor { _counted: self.track_buffer(&buffer), buffer, offset: 0, bytes, len, storage })
    }

    /// Bytes of so many numbers: a binding is never empty, and kernels read vec4s.
    pub(super) fn bytes(&self, len: u64, storage: Storage) -> u64 {
        match storage {
            Storage::F32 => len.max(1) * self.scalar.bytes(),
            halves => halves.bytes(len.max(1)),
        }
        .next_multiple_of(16)
    }

    /// Counts a buffer as made, and as there until the last holder of the count lets it go.
    pub(super) fn track_buffer(&self, buffer: &wgpu::Buffer) -> Rc<AllocationGuard> {
        let made = self.made.get();
        self.made.set(ResourceStats { buffers: made.buffers + 1, bytes: made.bytes + buffer.size(), ..made });
        Rc::new(AllocationGuard { buffer: buffer.clone(), made: self.made.clone() })
    }

    /// Counts a bind group.
    pub(super) fn track_bind_group(&self) {
        let made = self.made.get();
        self.made.set(ResourceStats { bind_groups: made.bind_groups + 1, ..made });
    }

    /// What was made so far, and what of it is there.
    pub fn resource_stats(&self) -> ResourceStats {
        ResourceStats { pipelines: self.pipelines_made(), ..self.made.get() }
    }

    /// Writes all numbers of a tensor.
    pub fn write(&self, tensor: &Tensor, data: &[f32]) -> Result<(), GpuError> {
        self.write_at(tensor, 0, data)
    }

    /// Writes some numbers of a tensor, from place `first` on. Of halves that is an even one, and an odd
    /// count only at the tensor's end.
    pub fn write_at(&self, tensor: &Tensor, first: u64, data: &[f32]) -> Result<(), GpuError> {
        match (tensor.storage, self.scalar) {
            (Storage::F32, Scalar::F32) => self.put(tensor, first, data, 0.0),
            (Storage::F16, _) | (Storage::F32, Scalar::F16) => {
                let halves: Vec<half::f16> = data.iter().map(|&value| half::f16::from_f32(value)).collect();
                self.put(tensor, first, &halves, half::f16::ZERO)
            }
            (Storage::Bf16, _) => {
                let halves: Vec<half::bf16> = data.iter().map(|&value| half::bf16::from_f32(value)).collect();
                self.put(tensor, first, &halves, half::bf16::ZERO)
            }
        }
    }

    /// A tensor with these numbers.
    pub fn upload(&self, what: &str, data: &[f32], storage: Storage) -> Result<Tensor, GpuError> {
        let tensor = self.tensor_stored(what, data.len() as u64, storage)?;
        self.write(&tensor, data)?;
        Ok(tensor)
    }

    /// Writes the bits of some halves of a tensor of halves, from the even place `first` on; an odd
    /// count only at its end.
    pub fn write_halves_at(&self, tensor: &Tensor, first: u64, halves: &[u16]) -> Result<(), GpuError> {
        match tensor.storage {
            Storage::F32 => Err(writing(tensor, first, halves.len())),
            Storage::F16 | Storage::Bf16 => self.put(tensor, first, halves, 0),
        }
    }

    /// Writes elements as they lie in memory; `last` fills the word of an odd half at the end.
    fn put<T: bytemuck::Pod>(&self, tensor: &Tensor, first: u64, data: &[T], last: T) -> Result<(), GpuError> {
        let per_word = 4 / size_of::<T>();
        let end = first.checked_add(data.len() as u64).filter(|&end| end <= tensor.len);
        let is_whole = data.len().is_multiple_of(per_word) || end == Some(tensor.len);
        if end.is_none() || !first.is_multiple_of(per_word as u64) || !is_whole {
            return Err(writing(tensor, first, data.len()));
        }
        let at = tensor.offset + first * size_of::<T>() as u64;
        let (words, rest) = data.split_at(data.len() / per_word * per_word);
        self.queue.write_buffer(&tensor.buffer, at, bytemuck::cast_slice(words));
        if let [odd] = rest {
            self.queue.write_buffer(&tensor.buffer, at + size_of_val(words) as u64, bytemuck::bytes_of(&[*odd, last]));
        }
        Ok(())
    }

    /// Copies all numbers of one tensor over another that has as many and in which they lie alike.
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

    /// The pipeline of a launch, made at its first use.
    pub(super) fn pipeline(&self, launch: &Launch) -> Result<wgpu::ComputePipeline, GpuError> {
        let constants: Vec<(&'static str, u64)> =
            launch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        let key = (launch.kernel, constants, launch.operand_type);
        if let Some(pipeline) = self.pipelines.borrow().get(&key) {
            return Ok(pipeline.clone());
        }
        let text = kernel::source(launch.kernel, self.scalar, launch.operand_type).ok_or_else(|| GpuError::Fault {
            what: launch.kernel.into(),
            message: "there is no kernel of this name".into(),
        })?;
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(launch.kernel),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(launch.kernel),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &launch.constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        self.pipelines.borrow_mut().insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// Pipelines made so far: tells whether something was compiled anew.
    pub fn pipelines_made(&self) -> usize {
        self.pipelines.borrow().len()
    }

    /// Waits until all submitted work is done.
    pub fn finished(&self) -> impl Future<Output = Result<(), GpuError>> + '_ {
        let (done, wait) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            let _ = done.send(());
        });
        async move {
            self.poll();
            wait.await.map_err(|_| GpuError::Lost("it stopped answering".into()))?;
            self.check()
        }
    }

    /// Lets a native device call its callbacks; on the web the browser does.
    pub(super) fn poll(&self) {
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            note(&self.fault, GpuError::Lost(error.to_string()));
        }
    }
}

/// Keeps the first fault: later ones follow from it.
fn note(place: &Mutex<Option<GpuError>>, fault: GpuError) {
    if let Ok(mut place) = place.lock() {
        place.get_or_insert(fault);
    }
}

fn writing(tensor: &Tensor, first: u64, count: usize) -> GpuError {
    GpuError::Write { first, count: count as u64, len: tensor.len, storage: tensor.storage }
}

fn named(what: &str, error: wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory(what.into()),
        other => GpuError::Fault { what: what.into(), message: other.to_string() },
    }
}
