//! Kernels compiled for AMD cards that are not there: Mesa's RADV driver compiles for a card that `RADV_FORCE_FAMILY`
//! names, and reports what it made of a pipeline. Nothing can run on such a device.

use ash::vk;
use lora_loupe::gpu::{Launch, Scalar, wgsl};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// What RADV makes of a kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// Vector registers of an invocation.
    pub vgprs: u64,
    /// Vector registers that did not fit and are kept in memory.
    pub spilled: u64,
    /// Subgroups that a SIMD unit can hold at once; the driver counts one of 64 invocations as two on RDNA.
    pub waves: u64,
    /// Bytes of workgroup memory.
    pub lds: u64,
    /// Instructions of one iteration of the inner loop; 0 if there is none.
    #[serde(rename = "loop")]
    pub inner_loop: u64,
    /// Share of multiply-adds among them, in f32 multiply-adds per instruction: a packed f16 one counts twice.
    pub fma: f64,
    /// The compiler's own estimate of cycles.
    pub cycles: u64,
}

/// Returns the driver's manifest, if it is installed where Linux distributions install it.
pub fn manifest() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let name = format!("radeon_icd.{}.json", std::env::consts::ARCH);
    let mut paths =
        folders.iter().flat_map(|folder| [name.as_str(), "radeon_icd.json"].map(|n| Path::new(folder).join(n)));
    paths.find(|path| path.is_file())
}

/// A Vulkan device that only compiles.
pub struct Compiler {
    device: ash::Device,
    instance: ash::Instance,
    _entry: ash::Entry,
    executable: ash::khr::pipeline_executable_properties::Device,
    /// The driver's name of the device, and its version.
    pub name: String,
    /// Major version of Mesa.
    pub mesa: u32,
}

impl Compiler {
    /// Opens the device that the environment selects; see [`manifest`].
    pub fn open() -> Result<Compiler, String> {
        let text = |what: &str, error: vk::Result| format!("{what}: {error}");
        // SAFETY: all pointers passed to Vulkan below live until the call returns, and nothing is submitted.
        unsafe {
            let entry = ash::Entry::load().map_err(|error| format!("the Vulkan loader: {error}"))?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let info = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&info, None).map_err(|error| text("a Vulkan instance", error))?;
            let devices = instance.enumerate_physical_devices().map_err(|error| text("the list of devices", error))?;
            let physical = *devices.first().ok_or("RADV lists no device")?;
            let properties = instance.get_physical_device_properties(physical);
            let name = properties.device_name_as_c_str().unwrap_or(c"?").to_string_lossy().into_owned();
            if !name.contains("RADV") {
                return Err(format!("the device is {name}, not one of RADV's"));
            }
            let queue = vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0]);
            let extensions = [ash::khr::pipeline_executable_properties::NAME.as_ptr()];
            let mut half = vk::PhysicalDeviceVulkan12Features::default().shader_float16(true);
            let mut statistics =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let queues = [queue];
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .push_next(&mut half)
                .push_next(&mut statistics);
            let device = instance.create_device(physical, &info, None).map_err(|error| text("a device", error))?;
            let executable = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            let version = properties.driver_version;
            let (mesa, minor) = (vk::api_version_major(version), vk::api_version_minor(version));
            let name = format!("{name}, Mesa {mesa}.{minor}.{}", vk::api_version_patch(version));
            Ok(Compiler { device, instance, _entry: entry, executable, name, mesa })
        }
    }

    /// Compiles the kernel of a launch.
    pub fn compile(&self, launch: &Launch) -> Result<Compiled, String> {
        self.compile_wgsl(&wgsl::source(launch.kernel, Scalar::F32, launch.operand_type), &launch.constants)
    }

    /// Compiles WGSL with these `override` constants.
    pub fn compile_wgsl(&self, source: &str, constants: &[(&'static str, f64)]) -> Result<Compiled, String> {
        let (words, bindings) = spirv(source, constants)?;
        let (statistics, assembly) = self.pipeline(&words, bindings).map_err(|error| format!("the driver: {error}"))?;
        let get = |name: &str| statistics.get(name).copied().ok_or(format!("the driver reports no `{name}`"));
        let (inner_loop, fma) = inner_loop(&assembly);
        Ok(Compiled {
            vgprs: get("VGPRs")?,
            spilled: get("Spilled VGPRs")?,
            waves: get("Subgroups per SIMD")?,
            lds: get("LDS size")?,
            inner_loop,
            fma,
            cycles: get("Inverse Throughput")?,
        })
    }

    /// Creates a compute pipeline and returns its statistics and its disassembly.
    fn pipeline(&self, words: &[u32], bindings: u32) -> Result<(HashMap<String, u64>, String), vk::Result> {
        let device = &self.device;
        // SAFETY: as in `open`; every object is destroyed before the function returns, or with the process on an error.
        unsafe {
            let module = device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None)?;
            let binding = |index: u32| {
                let kind = match index {
                    0 => vk::DescriptorType::UNIFORM_BUFFER,
                    _ => vk::DescriptorType::STORAGE_BUFFER,
                };
                vk::DescriptorSetLayoutBinding::default()
                    .binding(index)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            };
            let list: Vec<_> = (0..bindings).map(binding).collect();
            let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&list);
            let sets = [device.create_descriptor_set_layout(&info, None)?];
            let layout =
                device.create_pipeline_layout(&vk::PipelineLayoutCreateInfo::default().set_layouts(&sets), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(flags);
            let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = made.map_err(|(_, error)| error)?[0];
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let statistics = self.executable.get_pipeline_executable_statistics(&info)?;
            let statistics = statistics.iter().map(|statistic| (text(&statistic.name), statistic.value.u64)).collect();
            let assembly = self.assembly(&info)?;
            device.destroy_pipeline(pipeline, None);
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(sets[0], None);
            device.destroy_shader_module(module, None);
            Ok((statistics, assembly))
        }
    }

    /// Returns a pipeline's disassembly.
    fn assembly(&self, info: &vk::PipelineExecutableInfoKHR) -> Result<String, vk::Result> {
        // SAFETY: as in `open`; `data` outlives the second query.
        unsafe {
            let mut list = self.executable.get_pipeline_executable_internal_representations(info)?;
            let mut data: Vec<Vec<u8>> = list.iter().map(|part| vec![0; part.data_size]).collect();
            for (part, data) in list.iter_mut().zip(&mut data) {
                part.p_data = data.as_mut_ptr().cast();
            }
            let mut count = list.len() as u32;
            let query = self.executable.fp().get_pipeline_executable_internal_representations_khr;
            query(self.device.handle(), info, &mut count, list.as_mut_ptr()).result()?;
            let found = list.iter().zip(&data).find(|(part, _)| text(&part.name) == "Assembly");
            let bytes = found.map(|(_, data)| data.as_slice()).unwrap_or_default();
            Ok(String::from_utf8_lossy(bytes).trim_end_matches('\0').into())
        }
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        // SAFETY: nothing of the device is in use.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// Returns a string of a Vulkan struct.
fn text(chars: &[std::ffi::c_char]) -> String {
    // SAFETY: the driver ends its strings with a zero.
    unsafe { CStr::from_ptr(chars.as_ptr()) }.to_string_lossy().into_owned()
}

/// Compiles WGSL to SPIR-V about as browsers do: all indices are clamped, loops are left as they are. wgpu natively also
/// counts the iterations of each loop. Workgroup memory is not zeroed, as the kernels ask for. Also returns the number of
/// bindings.
fn spirv(source: &str, constants: &[(&'static str, f64)]) -> Result<(Vec<u32>, u32), String> {
    use naga::proc::BoundsCheckPolicy::Restrict;
    let module = naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string(source))?;
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
    validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all());
    let info = validator.validate(&module).map_err(|error| error.emit_to_string(source))?;
    let constants = constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let entry = (naga::ShaderStage::Compute, "main");
    let (module, info) = naga::back::pipeline_constants::process_overrides(&module, &info, Some(entry), &constants)
        .map_err(|error| error.to_string())?;
    let bounds_check_policies =
        naga::proc::BoundsCheckPolicies { index: Restrict, buffer: Restrict, ..Default::default() };
    let options = naga::back::spv::Options {
        lang_version: (1, 5),
        flags: naga::back::spv::WriterFlags::empty(),
        bounds_check_policies,
        zero_initialize_workgroup_memory: naga::back::spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ..Default::default()
    };
    let pipeline =
        naga::back::spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
    let words = naga::back::spv::write_vec(&module, &info, &options, Some(&pipeline)).map_err(|e| e.to_string())?;
    let bindings = module.global_variables.iter().filter_map(|(_, variable)| variable.binding).map(|b| b.binding + 1);
    Ok((words, bindings.max().unwrap_or(0)))
}

/// A block of instructions: its label, its number of instructions and of multiply-adds, and the labels to which it
/// branches.
#[derive(Default)]
struct Block<'a> {
    label: &'a str,
    instructions: u64,
    multiply_adds: u64,
    branches: Vec<&'a str>,
}

/// Returns the blocks of a disassembly, in order.
fn blocks(assembly: &str) -> Vec<Block<'_>> {
    let mut blocks = vec![Block::default()];
    for line in assembly.lines() {
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or_default();
        let block = blocks.last_mut().expect("a block");
        if let Some(label) = word.strip_suffix(':').filter(|label| label.starts_with("BB")) {
            blocks.push(Block { label, ..Block::default() });
        } else if word.starts_with(|c: char| c.is_ascii_lowercase()) && word.contains('_') {
            block.instructions += 1;
            block.multiply_adds += multiply_adds(word);
            block.branches.extend(words.next().filter(|_| word.contains("branch")));
        }
    }
    blocks
}

/// Multiply-adds of the smallest loop that counts as an inner loop.
const MIN_MULTIPLY_ADDS: u64 = 8;

/// Returns the number of instructions of the inner loop, and its share of multiply-adds: of the innermost loops with at
/// least half the share of the best one, the loop with the smallest share. Attention has two inner loops; the loop that
/// stores a product's results is none.
fn inner_loop(assembly: &str) -> (u64, f64) {
    let blocks = blocks(assembly);
    let position = |label: &str| blocks.iter().position(|block| block.label == label);
    let back = |(last, block): (usize, &Block)| -> Option<(usize, usize)> {
        let first = block.branches.iter().filter_map(|label| position(label)).filter(|&first| first <= last).min()?;
        Some((first, last))
    };
    let loops: Vec<(usize, usize)> = blocks.iter().enumerate().filter_map(back).collect();
    let is_inside = |a: &(usize, usize), b: &(usize, usize)| a != b && a.0 >= b.0 && a.1 <= b.1;
    let innermost = loops.iter().filter(|outer| !loops.iter().any(|other| is_inside(other, outer)));
    let counts = innermost.map(|&(first, last)| {
        let blocks = &blocks[first..=last];
        let instructions: u64 = blocks.iter().map(|block| block.instructions).sum();
        let multiply_adds: u64 = blocks.iter().map(|block| block.multiply_adds).sum();
        (instructions, multiply_adds)
    });
    let share = |&(instructions, multiply_adds): &(u64, u64)| multiply_adds as f64 / instructions.max(1) as f64;
    let counts: Vec<(u64, u64)> = counts.filter(|count| count.1 >= MIN_MULTIPLY_ADDS).collect();
    let best = counts.iter().map(share).fold(0.0, f64::max);
    let inner = counts.iter().filter(|count| 2.0 * share(count) >= best);
    let inner = inner.min_by(|a, b| share(a).total_cmp(&share(b))).copied().unwrap_or_default();
    (inner.0, share(&inner))
}

/// Returns the number of f32 multiply-adds to which an instruction of AMD's cards is equivalent.
fn multiply_adds(instruction: &str) -> u64 {
    let is = |names: &[&str]| names.iter().any(|name| instruction.starts_with(name));
    match instruction {
        _ if is(&["v_pk_fma_f16", "v_dual_fmac_f32", "v_dual_fmaak", "v_dual_fmamk"]) => 2,
        _ if is(&["v_fma", "v_mac_f", "v_mad_f", "v_mad_mix", "v_pk_fma"]) => 1,
        _ => 0,
    }
}
