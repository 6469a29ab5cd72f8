//! Turns the machine's graphics processor into a device with buffers and a pipeline cache.

use super::kernel::{self, Launch, LaunchError, Scalar, Style};
use super::tune::{Choice, WINOGRAD_OF_CARDS};
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
    Apart { plan: String, name: String },
    /// A step has no kernel for its shapes.
    #[error("{label}: {source}")]
    NoLaunch { label: String, source: LaunchError },
    /// The plan names a tensor that nobody gave.
    #[error("the plan `{plan}` needs `{name}`, which is not there")]
    Missing { plan: String, name: String },
    /// A tensor of another size.
    #[error("`{name}` has {found} numbers, the plan wants {wanted}")]
    Length { name: String, found: u64, wanted: u64 },
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
pub struct Means {
    /// Most bytes of one binding.
    pub max_binding: u64,
    /// Whether weights stay in the halves that their file has.
    pub keeps_halves: bool,
    /// How its kernels are written.
    pub style: Style,
    /// Channels from which on Winograd's algorithm is used where a plan allows it.
    pub winograd: usize,
}

impl Means {
    /// Those of a graphics card that binds no more than every WebGPU device does: 128 MiB.
    pub const COMMON: Means =
        Means { max_binding: 128 << 20, keeps_halves: true, style: Style::Tiled, winograd: WINOGRAD_OF_CARDS };
}

/// Buffers that a device has made, and bytes of those that are still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Made {
    /// Buffers so far.
    pub buffers: usize,
    /// Bind groups so far.
    pub bind_groups: usize,
    /// Pipelines so far.
    pub pipelines: usize,
    /// Bytes of the buffers that somebody still holds.
    pub bytes: u64,
}

/// Takes its bytes off the count when the last holder of a buffer lets it go.
#[derive(Debug)]
pub(super) struct Counted {
    bytes: u64,
    made: Rc<Cell<Made>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let made = self.made.get();
        self.made.set(Made { bytes: made.bytes - self.bytes, ..made });
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
    pub(super) _counted: Rc<Counted>,
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
    style: Cell<Style>,
    pub(super) keeps_halves: Cell<bool>,
    pub(super) multiplies_halves: Cell<bool>,
    pub(super) uses_winograd: Cell<bool>,
    pub(super) has_subgroups: Cell<bool>,
    pub(super) choice: RefCell<Choice>,
    pub(super) wants_tuning: Cell<bool>,
    pub(super) submission_flops: Cell<u64>,
    pipelines: RefCell<HashMap<PipelineKey, wgpu::ComputePipeline>>,
    made: Rc<Cell<Made>>,
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
        let keeps_halves = Cell::new(!info.software);
        let multiplies_halves = Cell::new(info.shader_f16);
        let has_subgroups = Cell::new(adapter.features().contains(wgpu::Features::SUBGROUP));
        let style = if info.software { Style::Direct } else { Style::Tiled };
        Ok(Gpu {
            device,
            queue,
            info,
            scalar: Scalar::F32,
            style: Cell::new(style),
            keeps_halves,
            multiplies_halves,
            uses_winograd: Cell::new(true),
            has_subgroups,
            choice: RefCell::default(),
            wants_tuning: Cell::new(false),
            submission_flops: Cell::new(FIRST_SUBMISSION_FLOPS),
            pipelines: RefCell::default(),
            made: Rc::default(),
            staging: RefCell::default(),
            fault,
        })
    }

    /// What the device is.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// What decides how plans are made for it.
    pub fn means(&self) -> Means {
        let (max_binding, keeps_halves) = (self.info.max_binding, self.keeps_halves());
        Means { max_binding, keeps_halves, style: self.style(), winograd: self.winograd() }
    }

    /// How tensors are stored.
    pub fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// How its kernels are written.
    pub fn style(&self) -> Style {
        self.style.get()
    }

    /// Writes the kernels of plans made from now on in another style.
    pub fn set_style(&self, style: Style) {
        self.style.set(style);
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
    pub async fn guarded<T>(&self, what: &str, make: impl FnOnce() -> Result<T, GpuError>) -> Result<T, GpuError> {
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
        Ok(Tensor { buffer, offset: 0, bytes, _counted: self.count(bytes), len, storage })
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
    pub(super) fn count(&self, bytes: u64) -> Rc<Counted> {
        let made = self.made.get();
        self.made.set(Made { buffers: made.buffers + 1, bytes: made.bytes + bytes, ..made });
        Rc::new(Counted { bytes, made: self.made.clone() })
    }

    /// Counts a bind group.
    pub(super) fn count_bind_group(&self) {
        let made = self.made.get();
        self.made.set(Made { bind_groups: made.bind_groups + 1, ..made });
    }

    /// What was made so far, and what of it is there.
    pub fn made(&self) -> Made {
        Made { pipelines: self.pipelines_made(), ..self.made.get() }
    }

    /// Writes all numbers of a tensor.
    pub fn write(&self, tensor: &Tensor, data: &[f32]) {
        self.write_at(tensor, 0, data);
    }

    /// Writes some numbers of a tensor, from the even place `first` on; an odd count only at its end.
    pub fn write_at(&self, tensor: &Tensor, first: u64, data: &[f32]) {
        let each = match tensor.storage {
            Storage::F32 => self.scalar.bytes(),
            Storage::F16 | Storage::Bf16 => 2,
        };
        let put = |bytes: &[u8]| self.queue.write_buffer(&tensor.buffer, tensor.offset + first * each, bytes);
        match (tensor.storage, self.scalar) {
            (Storage::F32, Scalar::F32) => put(bytemuck::cast_slice(data)),
            (Storage::F16, _) | (Storage::F32, Scalar::F16) => {
                let mut halves: Vec<half::f16> = data.iter().map(|&value| half::f16::from_f32(value)).collect();
                halves.resize(halves.len().next_multiple_of(2), half::f16::ZERO);
                put(bytemuck::cast_slice(&halves));
            }
            (Storage::Bf16, _) => {
                let mut halves: Vec<half::bf16> = data.iter().map(|&value| half::bf16::from_f32(value)).collect();
                halves.resize(halves.len().next_multiple_of(2), half::bf16::ZERO);
                put(bytemuck::cast_slice(&halves));
            }
        }
    }

    /// A tensor with these numbers.
    pub fn upload(&self, what: &str, data: &[f32], storage: Storage) -> Result<Tensor, GpuError> {
        let tensor = self.tensor_stored(what, data.len() as u64, storage)?;
        self.write(&tensor, data);
        Ok(tensor)
    }

    /// Writes the bits of some halves of a tensor of halves, from the even place `first` on; an odd
    /// count only at its end.
    pub fn write_halves_at(&self, tensor: &Tensor, first: u64, halves: &[u16]) {
        let put = |at: u64, halves: &[u16]| {
            self.queue.write_buffer(&tensor.buffer, tensor.offset + at * 2, bytemuck::cast_slice(halves));
        };
        let (even, last) = halves.split_at(halves.len() / 2 * 2);
        put(first, even);
        if let [odd] = last {
            put(first + even.len() as u64, &[*odd, 0]);
        }
    }

    /// Copies all numbers of one tensor over another of the same length.
    pub fn copy(&self, from: &Tensor, to: &Tensor) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let bytes = from.bytes.min(to.bytes);
        encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &to.buffer, to.offset, bytes);
        self.queue.submit([encoder.finish()]);
    }

    /// The pipeline of a launch, made at its first use.
    pub(super) fn pipeline(&self, launch: &Launch) -> Result<wgpu::ComputePipeline, GpuError> {
        let constants: Vec<(&'static str, u64)> =
            launch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        let key = (launch.kernel, constants, launch.factors);
        if let Some(pipeline) = self.pipelines.borrow().get(&key) {
            return Ok(pipeline.clone());
        }
        let text = kernel::text(launch.kernel, self.scalar, launch.factors).ok_or_else(|| GpuError::Fault {
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

fn named(what: &str, error: wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory(what.into()),
        other => GpuError::Fault { what: what.into(), message: other.to_string() },
    }
}
