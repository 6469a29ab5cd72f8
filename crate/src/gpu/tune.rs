//! Autotuning of tile shapes: each class of matmul, convolution and attention launches is timed once in a handful of
//! variants. The result is serializable.

use super::config::{KernelConfig, TileChoice, Tuning, Winograd};
use super::device::{Gpu, GpuError};
use super::kernel::{Binding, BufferRef, Dispatch, KernelSequence, Launch, Scalar, Style};
use super::lower::lower_step;
use super::pipelines::{PipelineKey, pipeline_key};
use super::roofline::BenchBudget;
use super::runner::Runner;
use super::variants::{VariantSupport, class, variants};
use crate::ops::{Conv2d, Op, Storage};
use crate::plan::{Builder, Plan, PlanError, Step};
use std::collections::{BTreeMap, HashMap};
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
/// Channel counts at which Winograd's algorithm is timed, on a 64x64 feature map.
const WINOGRAD_WIDTHS: [usize; 3] = [128, 256, 512];
/// Minimum number of channels in a [`Tuning`] if Winograd's algorithm is never faster: more than any layer has.
const WINOGRAD_NEVER: usize = 1 << 20;

/// Builds a 3x3 convolution for timing; the contents of its input and weights do not matter.
fn convolution_plan(channels: usize) -> Result<Plan, PlanError> {
    let mut builder = Builder::new(Tuning::WINOGRAD);
    let x = builder.input("x", &[1, 64, 64, channels]);
    let weight = builder.input("weight", &[channels, 9 * channels]);
    let op = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
    let y = builder.push(op, &[x, weight], Tuning::WINOGRAD)?;
    builder.output("y", y);
    Ok(Plan { allows_winograd: true, ..builder.finish() })
}

/// A dispatch to tune: its step, place among the step's dispatches, and the length and storage type of its tensors.
struct Workload<'a> {
    plan: &'a Plan,
    step: &'a Step,
    stored: Vec<Storage>,
    index: usize,
    /// The launch that the size heuristic chooses.
    launch: Launch,
    support: VariantSupport,
    inputs: Vec<(u64, Storage)>,
    output: u64,
    flops: u64,
}

impl Workload<'_> {
    /// Returns the launch of each variant, by index.
    fn variants(&self, config: &KernelConfig) -> Result<Vec<Launch>, GpuError> {
        let count = variants(&self.launch, self.support).len();
        let forced = |index| {
            let config = KernelConfig { tiles: TileChoice::Forced(index), ..config.clone() };
            let mut sequence = lowered(self.plan, self.step, &self.stored, &config)?;
            Ok(sequence.dispatches.swap_remove(self.index).launch)
        };
        (0..count).map(forced).collect()
    }
}

fn lowered(plan: &Plan, step: &Step, stored: &[Storage], config: &KernelConfig) -> Result<KernelSequence, GpuError> {
    lower_step(plan, step, stored, config).map_err(|source| GpuError::NoLaunch { label: step.label.clone(), source })
}

/// Returns all dispatches of a plan, with the launches that the size heuristic chooses. `storages` holds the storage
/// types of its values.
fn workloads<'a>(plan: &'a Plan, storages: &[Storage], config: &KernelConfig) -> Result<Vec<Workload<'a>>, GpuError> {
    let config = KernelConfig { tiles: TileChoice::Rule, ..config.clone() };
    let mut workloads = Vec::new();
    for step in &plan.steps {
        let stored: Vec<Storage> = step.inputs.iter().map(|id| storages[id.0]).collect();
        let sequence = lowered(plan, step, &stored, &config)?;
        let layout = |buffer: BufferRef| match buffer {
            BufferRef::Input(input) => (plan.value(step.inputs[input]).numel(), stored[input]),
            BufferRef::Output => (plan.value(step.output).numel(), Storage::F32),
            BufferRef::Scratch(index) => (sequence.scratch[index], Storage::F32),
        };
        for (index, dispatch) in sequence.dispatches.iter().enumerate() {
            workloads.push(Workload {
                plan,
                step,
                stored: stored.clone(),
                index,
                launch: dispatch.launch.clone(),
                support: VariantSupport::of(plan.allows_f16_math, &config),
                inputs: dispatch.inputs.iter().map(|&input| layout(input)).collect(),
                output: layout(dispatch.output).0,
                flops: dispatch.flops,
            });
        }
    }
    Ok(workloads)
}

/// Returns the dispatches to tune, one per class, heaviest class first.
fn untuned_classes<'a>(
    plans: &[(&'a Plan, &[Storage])],
    config: &KernelConfig,
    tuning: &Tuning,
) -> Result<Vec<(String, Workload<'a>)>, GpuError> {
    let mut untuned: BTreeMap<String, Workload> = BTreeMap::new();
    for (plan, storages) in plans {
        for workload in workloads(plan, storages, config)? {
            let class = class(&workload.launch, workload.support);
            if let Some(class) = class.filter(|class| !tuning.best.contains_key(class)) {
                untuned.entry(class).and_modify(|first| first.flops += workload.flops).or_insert(workload);
            }
        }
    }
    let mut untuned: Vec<(String, Workload)> = untuned.into_iter().collect();
    untuned.sort_by_key(|(_, workload)| std::cmp::Reverse(workload.flops));
    Ok(untuned)
}

impl KernelConfig {
    /// Returns whether this device's kernels can be tuned: not those of software rasterizers, nor forced ones.
    fn is_tunable(&self, gpu: &Gpu) -> bool {
        self.style == Style::Tiled && !gpu.info().software && !matches!(self.tiles, TileChoice::Forced(_))
    }
}

impl Gpu {
    /// Returns whether the kernels are untuned and [`Gpu::tune`] would tune them.
    pub fn needs_tuning(&self, config: &KernelConfig) -> bool {
        config.is_tunable(self) && config.tiles == TileChoice::Rule
    }

    /// Returns the configuration with a stored tuning result; unchanged if that is of another device or build.
    pub fn with_stored_tuning(&self, config: KernelConfig, stored: Tuning) -> KernelConfig {
        if stored.device == self.tuning_key() { config.with_tuning(stored) } else { config }
    }

    /// Tunes the untuned launch classes of these plans for a few seconds at most, heaviest first, and returns the
    /// configuration with the result. Each plan comes with the storage types of its values. `on_progress` receives the
    /// number of finished classes and their total, and can stop the tuning; results up to then are used. Does nothing
    /// on software rasterizers.
    pub async fn tune(
        &self,
        config: &KernelConfig,
        plans: &[(&Plan, &[Storage])],
        on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<KernelConfig, GpuError> {
        match config.is_tunable(self) {
            true => self.tune_all(config, plans, on_progress).await,
            false => Ok(config.clone()),
        }
    }

    /// Like [`Gpu::tune`], but on any device; tunes tiled kernels regardless of the configuration's style.
    pub async fn tune_all(
        &self,
        config: &KernelConfig,
        plans: &[(&Plan, &[Storage])],
        on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<KernelConfig, GpuError> {
        let tiled = KernelConfig { style: Style::Tiled, ..config.clone() };
        let mut tuning = match &config.tiles {
            TileChoice::Tuned(tuning) => tuning.clone(),
            _ => Tuning { device: self.tuning_key(), best: BTreeMap::new() },
        };
        let untuned = untuned_classes(plans, &tiled, &tuning)?;
        let has_convolution = |plan: &Plan| plan.steps.iter().any(|step| matches!(step.op, Op::Conv2d(_)));
        let tunes_winograd = plans.iter().any(|(plan, _)| plan.allows_winograd && has_convolution(plan))
            && config.winograd != Winograd::Disabled
            && !tuning.best.contains_key(Tuning::WINOGRAD);
        let (start, count) = (Instant::now(), untuned.len() + usize::from(tunes_winograd));
        // Set if the tuning is stopped or the device turns out to be slow.
        let mut is_stopped = false;
        for (index, (class, workload)) in untuned.into_iter().enumerate() {
            if start.elapsed() > TIME_LIMIT {
                break;
            }
            let best = match on_progress(index, count) {
                ControlFlow::Break(()) => None,
                ControlFlow::Continue(()) => self.fastest_variant(&workload, &tiled).await?,
            };
            let Some(best) = best else {
                is_stopped = true;
                break;
            };
            tuning.best.insert(class, best);
        }
        // Last, since it depends on the selected tiles; exempt from the time limit, since it runs only once.
        if tunes_winograd && !is_stopped && on_progress(count - 1, count).is_continue() {
            let tiled = tiled.with_tuning(tuning.clone());
            if let Some(channels) = self.fastest_winograd(&tiled).await? {
                tuning.best.insert(Tuning::WINOGRAD.into(), channels);
            }
        }
        Ok(config.clone().with_tuning(tuning))
    }

    /// Finds the minimum number of channels with which Winograd's algorithm is faster; None on slow devices.
    async fn fastest_winograd(&self, config: &KernelConfig) -> Result<Option<usize>, GpuError> {
        for channels in WINOGRAD_WIDTHS {
            let [direct, winograd] = self.time_winograd(config, channels).await?;
            if winograd < direct * MAX_TIME_RATIO {
                return Ok(Some(channels));
            }
            if direct > SLOW_KERNEL.as_secs_f64() * 1e3 {
                return Ok(None);
            }
        }
        Ok(Some(WINOGRAD_NEVER))
    }

    /// Returns the times in milliseconds of a convolution, directly and with Winograd's algorithm.
    async fn time_winograd(&self, config: &KernelConfig, channels: usize) -> Result<[f64; 2], GpuError> {
        let plan = convolution_plan(channels)
            .map_err(|error| GpuError::Fault { what: Tuning::WINOGRAD.into(), message: error.to_string() })?;
        let mut times = [0.0; 2];
        for (winograd, time) in [Winograd::Disabled, Winograd::MinChannels(0)].into_iter().zip(&mut times) {
            let config = KernelConfig { winograd, ..config.clone() };
            let runner = Runner::new(self, &config, &plan, &|_| None).await?;
            let rounds = self.time(BUDGET, &|| runner.run(self)).await?;
            *time = rounds.into_iter().fold(f64::INFINITY, f64::min);
        }
        Ok(times)
    }

    /// Returns the index of the fastest variant; None if the device is too slow for tuning.
    async fn fastest_variant(&self, workload: &Workload<'_>, config: &KernelConfig) -> Result<Option<usize>, GpuError> {
        // The contents do not matter: a single tensor, large enough for every input, serves as all of them.
        let largest = workload.inputs.iter().map(|&(len, storage)| storage.bytes(len)).max().unwrap_or(4);
        let input = self.tensor("the tuning input", largest.div_ceil(4))?;
        let output = self.tensor("the tuning output", workload.output)?;
        let candidates = workload.variants(config)?.into_iter().enumerate();
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

    /// Compiles the pipelines of these plans ahead of time. Each plan comes with the storage types of its values. Without
    /// a compiler in the background they are compiled one by one, so that cancellation and other work wait for at most one.
    pub async fn warm(&self, config: &KernelConfig, plans: &[(&Plan, &[Storage])]) -> Result<(), GpuError> {
        let mut launches: HashMap<PipelineKey, Launch> = HashMap::new();
        for (plan, storages) in plans {
            for step in &plan.steps {
                let stored: Vec<Storage> = step.inputs.iter().map(|id| storages[id.0]).collect();
                for Dispatch { launch, .. } in lowered(plan, step, &stored, config)?.dispatches {
                    launches.insert(pipeline_key(&launch), launch);
                }
            }
        }
        launches.retain(|key, _| !self.pipelines.contains(key));
        let background = self.pipelines.background.borrow().clone();
        if let Some(compiler) = background {
            compiler.begin();
            for launch in launches.values() {
                self.pipelines.create(&self.device, self.scalar(), launch);
            }
            compiler.finish().await;
        }
        for launch in launches.values() {
            self.with_error_scopes(launch.kernel.name(), || Ok(self.pipeline(launch))).await?;
            self.finished().await?;
        }
        Ok(())
    }
}
