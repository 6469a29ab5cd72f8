//! Autotuning of tile shapes: each class of matmul, convolution and attention launches is timed once in a handful of
//! variants. The result is serializable.

use super::config::KernelConfig;
use super::device::{Gpu, GpuError};
use super::kernel::{Binding, Launch, SUBGROUPS, Scalar, Style};
use super::kernels::{self, BufferRef};
use super::roofline::BenchBudget;
use super::runner::{Arena, Runner, lower_step};
use crate::num::low_word;
use crate::ops::{Conv2d, Op, Storage};
use crate::plan::{Builder, Plan, PlanError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;
use web_time::Instant;

/// Time after which no further class is tuned.
const TIME_LIMIT: Duration = Duration::from_secs(4);
/// Dispatch time above which the device is too slow for tuning.
const SLOW_KERNEL: Duration = Duration::from_millis(400);
/// Budget for measuring one variant; its best round counts.
const BUDGET: BenchBudget = BenchBudget { rounds: 3, limit: Duration::from_millis(120) };
/// Maximum time of a variant relative to the best so far for it to win: keeps measurement noise from choosing.
const MAX_TIME_RATIO: f64 = 0.97;
/// Maximum relative time of an f16 variant: saving a tenth of the time justifies the loss of precision.
const MAX_TIME_RATIO_F16: f64 = 0.9;
/// Class of Winograd's algorithm in a [`Tuning`]; its value is the minimum number of channels.
const WINOGRAD: &str = "winograd";
/// Minimum number of channels for Winograd's algorithm on untuned GPUs: with half as many, its extra memory traffic can
/// outweigh the savings on a large GPU.
pub const WINOGRAD_MIN_CHANNELS_GPU: usize = 256;
/// Minimum number of channels on software rasterizers: measured a third faster with 64.
const WINOGRAD_MIN_CHANNELS_SOFTWARE: usize = 64;
/// Channel counts at which Winograd's algorithm is timed, on a 64x64 feature map.
const WINOGRAD_WIDTHS: [usize; 3] = [128, 256, 512];
/// Minimum number of channels that disables Winograd's algorithm: more than any layer has.
const WINOGRAD_DISABLED: usize = 1 << 20;
/// Tile heights of matmul and conv2d, in rows.
const TILES: [u32; 3] = [32, 64, 128];
/// Index of the first f16 variant of matmul and conv2d; f16 variants have the same tile heights as the f32 ones, in order.
pub const F16_VARIANT: usize = TILES.len() + 1;

/// Tuning result of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tuning {
    /// Adapter, backend and kernel hash; see [`Gpu::tuned_for`].
    pub device: String,
    /// Launch class -> index of the fastest variant; for `winograd`, the minimum number of channels.
    pub best: BTreeMap<String, usize>,
}

/// How the variant of a launch is selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TileChoice {
    /// By the heuristic on its size.
    #[default]
    Rule,
    /// By the tuning result; by the heuristic for classes that are not tuned.
    Tuned(Tuning),
    /// The variant with this index if it exists, and Winograd's algorithm in every plan that allows it; for tests.
    Forced(usize),
}

/// Optional features that variants may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariantSupport {
    /// f16 math in products.
    pub f16: bool,
    /// Subgroup reductions in norms.
    pub subgroups: bool,
}

/// Returns the variants of a launch: its tile shapes and supported features, in an order that does not depend on the
/// launch's own shape; empty if there is only one. A variant that needs too many workgroups is replaced by the launch
/// itself.
pub fn variants(launch: &Launch, support: VariantSupport) -> Vec<Launch> {
    let or_original = |variant: Launch| if variant.fits() { variant } else { launch.clone() };
    unchecked_variants(launch, support).into_iter().map(or_original).collect()
}

fn unchecked_variants(launch: &Launch, support: VariantSupport) -> Vec<Launch> {
    let with_constants = |changes: &[(&str, usize)], groups: u32| {
        let mut variant = launch.clone();
        for (name, value) in &mut variant.constants {
            if let Some((_, new)) = changes.iter().find(|(changed, _)| changed == name) {
                *value = *new as f64;
            }
        }
        variant.workgroups[0] = groups;
        variant
    };
    match launch.kernel {
        "matmul" | "conv2d" => {
            let (rows, columns) = (launch.uniform("rows"), launch.uniform("columns"));
            let tile = |tile: u32| with_constants(&[("ROWS", tile as usize)], rows.div_ceil(tile));
            let kernel = if launch.kernel == "matmul" { "matmul_untiled" } else { "conv2d_untiled" };
            let constants = launch.constants.iter().copied().filter(|(name, _)| *name != "ROWS").collect();
            let groups = kernels::untiled_groups(rows, columns);
            let untiled = Launch { kernel, constants, workgroups: groups, ..launch.clone() };
            let tiles = TILES.map(tile);
            let f16_tiles = tiles.clone().map(|tile| Launch { operand_type: Scalar::F16, ..tile });
            let f16_tiles = f16_tiles.into_iter().filter(|_| support.f16);
            tiles.into_iter().chain([untiled]).chain(f16_tiles).collect()
        }
        "attention" => {
            let (all_queries, head_dim) = (launch.uniform("queries"), launch.uniform("head_dim") as usize);
            let block = |(queries, keys, outputs): (usize, usize, usize)| {
                let groups = all_queries.div_ceil(low_word(queries as u64));
                with_constants(&[("QUERIES", queries), ("KEYS", keys), ("OWN", outputs)], groups)
            };
            kernels::attention_blocks(head_dim).take(4).map(block).collect()
        }
        kernel => match subgroup_kernel(kernel) {
            Some(kernel) if support.subgroups => vec![launch.clone(), Launch { kernel, ..launch.clone() }],
            _ => Vec::new(),
        },
    }
}

/// Returns the subgroup version of a kernel, if it has one.
fn subgroup_kernel(kernel: &str) -> Option<&'static str> {
    kernels::ALL.iter().map(|(name, ..)| *name).find(|name| name.strip_suffix(SUBGROUPS) == Some(kernel))
}

/// Returns the uniforms that a norm's speed depends on.
fn norm_sizes(kernel: &str) -> [&'static str; 2] {
    match kernel {
        "group_norm" => ["pixels", "channels"],
        "layer_norm" => ["rows", "width"],
        _ => ["height", "width"],
    }
}

/// Returns the class of a launch; launches of a class share a tuning result. It consists of the kernel, the sizes
/// rounded up to powers of two, flags, supported features, and all constants but the tile shape. None for kernels
/// without variants.
pub fn class(launch: &Launch, support: VariantSupport) -> Option<String> {
    let log_size = |name: &str| launch.uniform(name).next_power_of_two().trailing_zeros();
    let is_tile_shape = |name: &str| ["ROWS", "QUERIES", "KEYS", "OWN"].contains(&name);
    let constants = launch.constants.iter().filter(|(name, _)| !is_tile_shape(name));
    let constants: Vec<String> = constants.map(|(name, value)| format!("{name} {value}")).collect();
    let constants = constants.join(" ");
    match launch.kernel {
        "matmul" | "conv2d" => {
            let sizes = ["rows", "columns", "inner"].map(log_size);
            let types = if support.f16 { " halves" } else { "" };
            Some(format!("{} {sizes:?} {constants} {}{types}", launch.kernel, launch.uniform("flags")))
        }
        "attention" => Some(format!("attention {:?} {constants}", ["queries", "keys"].map(log_size))),
        kernel if support.subgroups && subgroup_kernel(kernel).is_some() => {
            Some(format!("{kernel} {:?}", norm_sizes(kernel).map(log_size)))
        }
        _ => None,
    }
}

/// Returns a hash of this build's kernels: FNV-1a of their sources.
fn kernel_hash() -> u32 {
    let bytes = kernels::ALL.iter().flat_map(|(_, text, _)| text.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Builds a 3x3 convolution for timing; the contents of its input and weights do not matter.
fn convolution_plan(channels: usize) -> Result<Plan, PlanError> {
    let mut builder = Builder::new(WINOGRAD);
    let x = builder.input("x", &[1, 64, 64, channels]);
    let weight = builder.input("weight", &[channels, 9 * channels]);
    let op = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
    let y = builder.push(op, &[x, weight], WINOGRAD)?;
    builder.output("y", y);
    Ok(builder.finish())
}

/// Sets the minimum number of channels for Winograd's algorithm in a tuning result.
fn with_winograd_min_channels(mut choice: TileChoice, channels: usize) -> TileChoice {
    if let TileChoice::Tuned(tuning) = &mut choice {
        tuning.best.insert(WINOGRAD.into(), channels);
    }
    choice
}

/// A launch to tune, with the length and storage type of each input and the length of its output.
struct Workload {
    launch: Launch,
    support: VariantSupport,
    inputs: Vec<(u64, Storage)>,
    output: u64,
    flops: u64,
}

impl KernelConfig {
    /// Returns the optional features that launches of a plan may use.
    fn variant_support(&self, plan: &Plan) -> VariantSupport {
        VariantSupport { f16: plan.allows_f16_math && self.f16_math, subgroups: self.has_subgroups }
    }

    /// Returns the minimum number of channels for Winograd's algorithm in plans that allow it.
    pub(super) fn winograd_min_channels(&self) -> usize {
        let default = match self.style {
            Style::Tiled => WINOGRAD_MIN_CHANNELS_GPU,
            Style::Untiled => WINOGRAD_MIN_CHANNELS_SOFTWARE,
        };
        if !self.uses_winograd {
            return WINOGRAD_DISABLED;
        }
        match &self.tile_choice {
            TileChoice::Rule => default,
            TileChoice::Tuned(tuning) => tuning.best.get(WINOGRAD).copied().unwrap_or(default),
            TileChoice::Forced(_) => 0,
        }
    }

    /// Returns the selected variant of a launch of the plan.
    pub(super) fn select_variant(&self, plan: &Plan, launch: Launch) -> Launch {
        let support = self.variant_support(plan);
        let index = match &self.tile_choice {
            TileChoice::Rule => None,
            TileChoice::Forced(index) => Some(*index),
            TileChoice::Tuned(tuning) => class(&launch, support).and_then(|class| tuning.best.get(&class).copied()),
        };
        index.and_then(|index| variants(&launch, support).into_iter().nth(index)).unwrap_or(launch)
    }
}

impl Gpu {
    /// Returns the key of a [`Tuning`] of this device with this build's kernels.
    pub fn tuning_key(&self) -> String {
        let info = self.info();
        format!("{} ({}), kernels {:08x}", info.adapter, info.backend, kernel_hash())
    }

    fn can_be_tuned(&self) -> bool {
        let is_forced = matches!(self.tile_choice(), TileChoice::Forced(_));
        self.style() == Style::Tiled && !self.info().software && !is_forced && self.tuning_enabled()
    }

    /// Returns whether the device is untuned and is going to be tuned before the first image.
    pub fn needs_tuning(&self) -> bool {
        self.can_be_tuned() && self.tile_choice() == TileChoice::Rule
    }

    /// Tunes the untuned launch classes of these plans for a few seconds at most, heaviest first. Each plan comes with
    /// the storage types of its values. `on_progress` receives the number of finished classes and their total, and can
    /// stop the tuning; results up to then are used. Does nothing on software rasterizers, and unless enabled by
    /// [`Gpu::set_wants_tuning`].
    pub async fn tune(
        &self,
        plans: &[(&Plan, &[Storage])],
        on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(), GpuError> {
        if !self.can_be_tuned() {
            return Ok(());
        }
        let mut on_progress = |done, all| match self.tuning_enabled() {
            true => on_progress(done, all),
            false => ControlFlow::Break(()),
        };
        self.tune_all(plans, &mut on_progress).await
    }

    /// Like [`Gpu::tune`], but on any device; tunes tiled kernels regardless of the device's style.
    pub async fn tune_all(
        &self,
        plans: &[(&Plan, &[Storage])],
        on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(), GpuError> {
        let config = KernelConfig { style: Style::Tiled, ..self.config() };
        let mut tuning = match &config.tile_choice {
            TileChoice::Tuned(tuning) => tuning.clone(),
            _ => Tuning { device: self.tuning_key(), best: BTreeMap::new() },
        };
        let mut untuned: BTreeMap<String, Workload> = BTreeMap::new();
        for (plan, storages) in plans {
            for workload in self.workloads(plan, storages, &config)? {
                let class = class(&workload.launch, workload.support);
                if let Some(class) = class.filter(|class| !tuning.best.contains_key(class)) {
                    untuned.entry(class).and_modify(|first| first.flops += workload.flops).or_insert(workload);
                }
            }
        }
        let mut untuned: Vec<(String, Workload)> = untuned.into_iter().collect();
        untuned.sort_by_key(|(_, workload)| std::cmp::Reverse(workload.flops));
        let has_convolution = |plan: &Plan| plan.steps.iter().any(|step| matches!(step.op, Op::Conv2d(_)));
        let tunes_winograd = plans.iter().any(|(plan, _)| plan.allows_winograd && has_convolution(plan))
            && config.uses_winograd
            && !tuning.best.contains_key(WINOGRAD);
        let (start, count) = (Instant::now(), untuned.len() + usize::from(tunes_winograd));
        // Set if the tuning is stopped or the device turns out to be slow.
        let mut is_stopped = false;
        for (index, (class, workload)) in untuned.into_iter().enumerate() {
            if start.elapsed() > TIME_LIMIT {
                break;
            }
            let best =
                if on_progress(index, count).is_break() { None } else { self.fastest_variant(&workload).await? };
            let Some(best) = best else {
                is_stopped = true;
                break;
            };
            tuning.best.insert(class, best);
        }
        self.set_tile_choice(TileChoice::Tuned(tuning));
        // Last, since it depends on the selected tiles; exempt from the time limit, since it runs only once.
        if tunes_winograd && !is_stopped && on_progress(count - 1, count).is_continue() {
            self.tune_winograd().await?;
        }
        Ok(())
    }

    /// Finds the minimum number of channels with which Winograd's algorithm is faster; leaves it unset on slow devices.
    async fn tune_winograd(&self) -> Result<(), GpuError> {
        for channels in WINOGRAD_WIDTHS {
            let [direct, winograd] = self.time_winograd(channels).await?;
            if winograd < direct * MAX_TIME_RATIO {
                self.set_tile_choice(with_winograd_min_channels(self.tile_choice(), channels));
                return Ok(());
            }
            if direct > SLOW_KERNEL.as_secs_f64() * 1e3 {
                return Ok(());
            }
        }
        self.set_tile_choice(with_winograd_min_channels(self.tile_choice(), WINOGRAD_DISABLED));
        Ok(())
    }

    /// Returns the times in milliseconds of a convolution, directly and with Winograd's algorithm.
    async fn time_winograd(&self, channels: usize) -> Result<[f64; 2], GpuError> {
        let plan = convolution_plan(channels)
            .map_err(|error| GpuError::Fault { what: WINOGRAD.into(), message: error.to_string() })?;
        let tile_choice = with_winograd_min_channels(self.tile_choice(), 0);
        let config = KernelConfig { style: Style::Tiled, tile_choice, ..self.config() };
        let mut times = [0.0; 2];
        for (allows_winograd, time) in [false, true].into_iter().zip(&mut times) {
            let plan = Plan { allows_winograd, ..plan.clone() };
            let arena = Arena::with_config(self, config.clone(), &[&plan]).await?;
            let runner = Runner::with_arena(self, &plan, &|_| None, &arena).await?;
            let rounds = self.time(BUDGET, &|| runner.run(self)).await?;
            *time = rounds.into_iter().fold(f64::INFINITY, f64::min);
        }
        Ok(times)
    }

    /// Returns the index of the fastest variant; None if the device is too slow for tuning.
    async fn fastest_variant(&self, workload: &Workload) -> Result<Option<usize>, GpuError> {
        // The contents do not matter: a single tensor, large enough for every input, serves as all of them.
        let largest = workload.inputs.iter().map(|&(len, storage)| storage.bytes(len)).max().unwrap_or(4);
        let input = self.tensor("the tuning input", largest.div_ceil(4))?;
        let output = self.tensor("the tuning output", workload.output)?;
        let candidates = variants(&workload.launch, workload.support).into_iter().enumerate();
        let (mut f32_variants, f16_variants): (Vec<_>, Vec<_>) =
            candidates.partition(|(_, variant)| variant.operand_type == Scalar::F32);
        // The heuristic's choice comes first: the others have to beat it.
        f32_variants.sort_by_key(|(_, variant)| *variant != workload.launch);
        let mut best: Option<(f64, &(usize, Launch))> = None;
        for candidate in f32_variants.iter().chain(&f16_variants) {
            let variant = &candidate.1;
            let is_f16 = variant.operand_type == Scalar::F16;
            // f16 is tried only in the best f32 tile shape.
            if is_f16 && best.is_none_or(|(_, (_, fastest))| fastest.constants != variant.constants) {
                continue;
            }
            let tensors: Vec<_> =
                variant.bindings.iter().map(|b| if *b == Binding::Output { &output } else { &input }).collect();
            let start = Instant::now();
            // Skip variants that fail to compile.
            let Ok(rounds) = self.time_launch(BUDGET, variant, &tensors).await else { continue };
            let time = rounds.into_iter().fold(f64::INFINITY, f64::min);
            let max_ratio = if is_f16 { MAX_TIME_RATIO_F16 } else { MAX_TIME_RATIO };
            if best.is_none_or(|(fastest, _)| time < fastest * max_ratio) {
                best = Some((time, candidate));
            }
            if time > SLOW_KERNEL.as_secs_f64() * 1e3 || start.elapsed() > 8 * SLOW_KERNEL {
                return Ok(None);
            }
        }
        Ok(best.map(|(_, (index, _))| *index))
    }

    /// Compiles the pipelines of a plan ahead of time, one by one, so that cancellation and other work of the browser
    /// wait for at most one compilation.
    pub async fn warm(&self, plan: &Plan, storages: &[Storage]) -> Result<(), GpuError> {
        let config = self.config();
        for Workload { launch, .. } in self.workloads(plan, storages, &config)? {
            let pipelines_before = self.pipeline_count();
            let launch = config.select_variant(plan, launch);
            self.with_error_scopes(launch.kernel, || self.pipeline(&launch)).await?;
            if self.pipeline_count() > pipelines_before {
                self.finished().await?;
            }
        }
        Ok(())
    }

    /// Returns the launches of a plan as the size heuristic selects them.
    fn workloads(&self, plan: &Plan, storages: &[Storage], config: &KernelConfig) -> Result<Vec<Workload>, GpuError> {
        let caps = config.caps(self.info().max_binding);
        let mut workloads = Vec::new();
        for step in &plan.steps {
            let stored: Vec<Storage> = step.inputs.iter().map(|id| storages[id.0]).collect();
            let sequence = lower_step(plan, step, &stored, caps)?;
            let layout = |buffer: BufferRef| match buffer {
                BufferRef::Input(input) => (plan.value(step.inputs[input]).numel(), stored[input]),
                BufferRef::Output => (plan.value(step.output).numel(), Storage::F32),
                BufferRef::Scratch(index) => (sequence.scratch[index], Storage::F32),
            };
            for dispatch in &sequence.dispatches {
                let inputs = dispatch.inputs.iter().map(|&input| layout(input)).collect();
                let (launch, output, flops) = (dispatch.launch.clone(), layout(dispatch.output).0, dispatch.flops);
                workloads.push(Workload { launch, support: config.variant_support(plan), inputs, output, flops });
            }
        }
        Ok(workloads)
    }
}
