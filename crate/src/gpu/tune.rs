//! Turns a graphics card into the tile shapes that suit it: each class of products, convolutions and
//! attentions is timed once in a handful of shapes. What comes out is text that can be kept.

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

/// No class is begun after this time.
const TIME_LIMIT: Duration = Duration::from_secs(4);
/// A dispatch that takes longer says that this device has no time for tuning.
const SLOW_KERNEL: Duration = Duration::from_millis(400);
/// One variant's measurement: its best round counts.
const BUDGET: BenchBudget = BenchBudget { rounds: 3, limit: Duration::from_millis(120) };
/// A variant must be this much faster than what the rule of sizes chooses, or noise would choose.
const MIN_GAIN: f64 = 0.97;
/// Halves cost digits, so they must be worth them: a tenth of the time.
const MIN_GAIN_F16: f64 = 0.9;
/// What stands for Winograd's algorithm among the classes: its number is the fewest channels it is used for.
const WINOGRAD: &str = "winograd";
/// The fewest that it is used for on graphics cards of which nothing is known: with half as many, what
/// it reads and writes can cost a large card what it saves.
pub const WINOGRAD_MIN_CHANNELS_GPU: usize = 256;
/// The same on software devices, where it was a third faster with these.
const WINOGRAD_MIN_CHANNELS_SOFTWARE: usize = 64;
/// Widths that it is timed at, on a map of 64x64.
const WINOGRAD_WIDTHS: [usize; 3] = [128, 256, 512];
/// More channels than a layer has.
const NEVER: usize = 1 << 20;
/// Tile shapes of products and convolutions, in rows.
const TILES: [u32; 3] = [32, 64, 128];
/// Index of the first of their variants that multiplies halves: the tile shapes again, in order.
pub const F16_VARIANT: usize = TILES.len() + 1;

/// Tile shapes of one device, by class of launch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tuning {
    /// Whose they are: adapter, driver as far as it is told, and this program's kernels.
    pub device: String,
    /// Class -> index of the variant that was fastest; of Winograd's algorithm, channels.
    pub best: BTreeMap<String, usize>,
}

/// What a device is to use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TileChoice {
    /// What the rule of sizes says.
    #[default]
    Rule,
    /// What was fastest.
    Tuned(Tuning),
    /// The variant with this index, wherever there are as many, and Winograd's algorithm wherever a plan
    /// allows it: for tests of each.
    Forced(usize),
}

/// What a device offers beside f32 and workgroup memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariantSupport {
    /// Products may be of halves.
    pub halves: bool,
    /// Norms may sum by subgroups.
    pub subgroups: bool,
}

/// The same work in each tile shape, and in each of what is offered, in an order that does not depend
/// on the launch's own; empty where there is no choice. In place of a shape that would take more
/// workgroups than a device does stands the launch itself.
pub fn variants(launch: &Launch, offers: VariantSupport) -> Vec<Launch> {
    let or_itself = |variant: Launch| if variant.fits() { variant } else { launch.clone() };
    shapes(launch, offers).into_iter().map(or_itself).collect()
}

fn shapes(launch: &Launch, offers: VariantSupport) -> Vec<Launch> {
    let other = |changes: &[(&str, usize)], groups: u32| {
        let mut variant = launch.clone();
        for (name, value) in &mut variant.constants {
            if let Some((_, new)) = changes.iter().find(|(known, _)| known == name) {
                *value = *new as f64;
            }
        }
        variant.groups[0] = groups;
        variant
    };
    match launch.kernel {
        "matmul" | "conv2d" => {
            let (rows, columns) = (launch.params[0], launch.params[1]);
            let tile = |tile: u32| other(&[("ROWS", tile as usize)], rows.div_ceil(tile));
            let kernel = if launch.kernel == "matmul" { "matmul_untiled" } else { "conv2d_untiled" };
            let constants = launch.constants.iter().copied().filter(|(name, _)| *name != "ROWS").collect();
            let groups = kernels::untiled_groups(rows, columns);
            let direct = Launch { kernel, constants, groups, ..launch.clone() };
            let tiles = TILES.map(tile);
            let of_halves = tiles.clone().map(|tile| Launch { operand_type: Scalar::F16, ..tile });
            let of_halves = of_halves.into_iter().filter(|_| offers.halves);
            tiles.into_iter().chain([direct]).chain(of_halves).collect()
        }
        "attention" => {
            let (asked, size) = (launch.params[0], launch.params[4] as usize);
            let block = |(queries, keys, own): (usize, usize, usize)| {
                other(&[("QUERIES", queries), ("KEYS", keys), ("OWN", own)], asked.div_ceil(low_word(queries as u64)))
            };
            kernels::attention_blocks(size).take(4).map(block).collect()
        }
        kernel => match summed_by_subgroups(kernel) {
            Some(kernel) if offers.subgroups => vec![launch.clone(), Launch { kernel, ..launch.clone() }],
            _ => Vec::new(),
        },
    }
}

/// The kernel that does the same by subgroups.
fn summed_by_subgroups(kernel: &str) -> Option<&'static str> {
    let is_it = |name: &str| name.strip_suffix(SUBGROUPS) == Some(kernel);
    kernels::ALL.iter().map(|(name, _)| *name).find(|name| is_it(name))
}

/// Launches that one measurement speaks for: kernel, sizes to a power of two, flags, what is offered, and
/// the constants that are no shape of a tile.
pub fn class(launch: &Launch, offers: VariantSupport) -> Option<String> {
    let size = |at: usize| launch.params.get(at).map_or(0, |&n: &u32| n.next_power_of_two().trailing_zeros());
    let of_shape = |name: &str| ["ROWS", "QUERIES", "KEYS", "OWN"].contains(&name);
    let constants = launch.constants.iter().filter(|(name, _)| !of_shape(name));
    let constants: Vec<String> = constants.map(|(name, value)| format!("{name} {value}")).collect();
    let constants = constants.join(" ");
    match launch.kernel {
        "matmul" | "conv2d" => {
            let sizes = [size(0), size(1), size(2)];
            let types = if offers.halves { " halves" } else { "" };
            Some(format!("{} {sizes:?} {constants} {}{types}", launch.kernel, launch.params[6]))
        }
        "attention" => Some(format!("attention {:?} {constants}", [size(0), size(1)])),
        kernel if offers.subgroups && summed_by_subgroups(kernel).is_some() => {
            Some(format!("{kernel} {:?}", [size(0), size(1)]))
        }
        _ => None,
    }
}

/// What tells kernels of this build from those of another: FNV-1a of their texts.
fn build() -> u32 {
    let bytes = kernels::ALL.iter().flat_map(|(_, text)| text.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A convolution whose input and weights are whatever lies there.
fn convolution(channels: usize) -> Result<Plan, PlanError> {
    let mut builder = Builder::new(WINOGRAD);
    let x = builder.input("x", &[1, 64, 64, channels]);
    let weight = builder.input("weight", &[channels, 9 * channels]);
    let op = Conv2d { kernel: 3, stride: 1, padding: 1, ..Default::default() };
    let y = builder.push(op, &[x, weight], WINOGRAD)?;
    builder.output("y", y);
    Ok(builder.finish())
}

/// A tuning with another number of channels from which on Winograd's algorithm is used.
fn with_winograd(mut choice: TileChoice, least: usize) -> TileChoice {
    if let TileChoice::Tuned(tuning) = &mut choice {
        tuning.best.insert(WINOGRAD.into(), least);
    }
    choice
}

/// A launch of a plan, and the numbers and storage of what it reads and writes.
struct Measured {
    launch: Launch,
    offers: VariantSupport,
    inputs: Vec<(u64, Storage)>,
    output: u64,
    flops: u64,
}

impl KernelConfig {
    /// What it offers a plan.
    fn variant_support(&self, plan: &Plan) -> VariantSupport {
        VariantSupport { halves: plan.allows_f16_math && self.f16_math, subgroups: self.has_subgroups }
    }

    /// Channels from which on Winograd's algorithm is used where a plan allows it.
    pub(super) fn winograd(&self) -> usize {
        let rule = match self.style {
            Style::Tiled => WINOGRAD_MIN_CHANNELS_GPU,
            Style::Untiled => WINOGRAD_MIN_CHANNELS_SOFTWARE,
        };
        if !self.uses_winograd {
            return NEVER;
        }
        match &self.tile_choice {
            TileChoice::Rule => rule,
            TileChoice::Tuned(tuning) => tuning.best.get(WINOGRAD).copied().unwrap_or(rule),
            TileChoice::Forced(_) => 0,
        }
    }

    /// The launch of one of the plan's steps in the variant that was chosen for its class.
    pub(super) fn chosen(&self, plan: &Plan, launch: Launch) -> Launch {
        let offers = self.variant_support(plan);
        let index = match &self.tile_choice {
            TileChoice::Rule => None,
            TileChoice::Forced(index) => Some(*index),
            TileChoice::Tuned(tuning) => class(&launch, offers).and_then(|class| tuning.best.get(&class).copied()),
        };
        index.and_then(|index| variants(&launch, offers).into_iter().nth(index)).unwrap_or(launch)
    }
}

impl Gpu {
    /// What a [`Tuning`] of this device names.
    pub fn tuned_for(&self) -> String {
        let info = self.info();
        format!("{} ({}), kernels {:08x}", info.adapter, info.backend, build())
    }

    fn can_be_tuned(&self) -> bool {
        let is_forced = matches!(self.choice(), TileChoice::Forced(_));
        self.style() == Style::Tiled && !self.info().software && !is_forced && self.wants_tuning()
    }

    /// Whether nothing is known of this device, and will be before a picture.
    pub fn is_to_be_tuned(&self) -> bool {
        self.can_be_tuned() && self.choice() == TileChoice::Rule
    }

    /// Times the classes of these plans that no tuning knows, the heaviest first, for a few seconds at
    /// most; `storages` tells of each plan how its tensors lie. `hear` is told how many of how many
    /// are done, and may end it: what is known by then is used. Software renderers are left alone, and
    /// devices of which [`Gpu::set_wants_tuning`] does not say so.
    pub async fn tune(
        &self,
        plans: &[(&Plan, &[Storage])],
        hear: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(), GpuError> {
        if !self.can_be_tuned() {
            return Ok(());
        }
        let mut hear = |done, all| match self.wants_tuning() {
            true => hear(done, all),
            false => ControlFlow::Break(()),
        };
        self.tune_all(plans, &mut hear).await
    }

    /// The same on any device, for tiles, whatever its style is.
    pub async fn tune_all(
        &self,
        plans: &[(&Plan, &[Storage])],
        hear: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(), GpuError> {
        let config = KernelConfig { style: Style::Tiled, ..self.config() };
        let mut tuning = match &config.tile_choice {
            TileChoice::Tuned(tuning) => tuning.clone(),
            _ => Tuning { device: self.tuned_for(), best: BTreeMap::new() },
        };
        let mut unknown: BTreeMap<String, Measured> = BTreeMap::new();
        for (plan, storages) in plans {
            for measured in self.launches(plan, storages, &config)? {
                let class = class(&measured.launch, measured.offers);
                if let Some(class) = class.filter(|class| !tuning.best.contains_key(class)) {
                    unknown.entry(class).and_modify(|known| known.flops += measured.flops).or_insert(measured);
                }
            }
        }
        let mut unknown: Vec<(String, Measured)> = unknown.into_iter().collect();
        unknown.sort_by_key(|(_, measured)| std::cmp::Reverse(measured.flops));
        let is_convolution = |plan: &Plan| plan.steps.iter().any(|step| matches!(step.op, Op::Conv2d(_)));
        let by_winograd = plans.iter().any(|(plan, _)| plan.allows_winograd && is_convolution(plan))
            && config.uses_winograd
            && !tuning.best.contains_key(WINOGRAD);
        let (begun, count) = (Instant::now(), unknown.len() + usize::from(by_winograd));
        // Until it is skipped, or the device turns out to be slow.
        let mut goes_on = true;
        for (index, (class, measured)) in unknown.into_iter().enumerate() {
            if begun.elapsed() > TIME_LIMIT {
                break;
            }
            let best = if hear(index, count).is_break() { None } else { self.fastest(&measured).await? };
            let Some(best) = best else {
                goes_on = false;
                break;
            };
            tuning.best.insert(class, best);
        }
        self.choose(TileChoice::Tuned(tuning));
        // Last, since it is the tiles chosen whose times count, and in no time: it is asked once.
        if by_winograd && goes_on && hear(count - 1, count).is_continue() {
            self.tune_winograd().await?;
        }
        Ok(())
    }

    /// Finds the fewest channels with which a convolution is faster by Winograd's algorithm; what they
    /// are on a device that is slow stays open.
    async fn tune_winograd(&self) -> Result<(), GpuError> {
        for channels in WINOGRAD_WIDTHS {
            let [direct, winograd] = self.time_winograd(channels).await?;
            if winograd < direct * MIN_GAIN {
                self.choose(with_winograd(self.choice(), channels));
                return Ok(());
            }
            if direct > SLOW_KERNEL.as_secs_f64() * 1e3 {
                return Ok(());
            }
        }
        self.choose(with_winograd(self.choice(), NEVER));
        Ok(())
    }

    /// Milliseconds of a convolution of so many channels, directly and by Winograd's algorithm.
    async fn time_winograd(&self, channels: usize) -> Result<[f64; 2], GpuError> {
        let plan = convolution(channels)
            .map_err(|error| GpuError::Fault { what: WINOGRAD.into(), message: error.to_string() })?;
        let config = KernelConfig { style: Style::Tiled, tile_choice: with_winograd(self.choice(), 0), ..self.config() };
        let mut times = [0.0; 2];
        for (allows_winograd, time) in [false, true].into_iter().zip(&mut times) {
            let plan = Plan { allows_winograd, ..plan.clone() };
            let arena = Arena::with_config(self, config.clone(), &[&plan]).await?;
            let runner = Runner::within(self, &plan, &|_| None, &arena).await?;
            let rounds = self.time(BUDGET, &|| runner.run(self)).await?;
            *time = rounds.into_iter().fold(f64::INFINITY, f64::min);
        }
        Ok(times)
    }

    /// Index of the fastest variant; None where one takes so long that the rest is left.
    async fn fastest(&self, measured: &Measured) -> Result<Option<usize>, GpuError> {
        // What is read may be anything of the right size: one tensor for each way to lie.
        let largest = measured.inputs.iter().map(|&(len, storage)| storage.bytes(len)).max().unwrap_or(4);
        let source = self.tensor("what tuning reads", largest.div_ceil(4))?;
        let target = self.tensor("what tuning writes", measured.output)?;
        let candidates = variants(&measured.launch, measured.offers).into_iter().enumerate();
        let (mut whole, halves): (Vec<_>, Vec<_>) = candidates.partition(|(_, variant)| variant.operand_type == Scalar::F32);
        // The rule's own choice comes first: others have to be faster than it.
        whole.sort_by_key(|(_, variant)| *variant != measured.launch);
        let mut best: Option<(f64, &(usize, Launch))> = None;
        for candidate in whole.iter().chain(&halves) {
            let variant = &candidate.1;
            let of_halves = variant.operand_type == Scalar::F16;
            // Halves are tried in the shape that is best without them.
            if of_halves && best.is_none_or(|(_, (_, known))| known.constants != variant.constants) {
                continue;
            }
            let tensors: Vec<_> =
                variant.bindings.iter().map(|b| if *b == Binding::Output { &target } else { &source }).collect();
            let begun = Instant::now();
            // A variant that a driver refuses is no candidate.
            let Ok(rounds) = self.time_launch(BUDGET, variant, &tensors).await else { continue };
            let time = rounds.into_iter().fold(f64::INFINITY, f64::min);
            let gain = if of_halves { MIN_GAIN_F16 } else { MIN_GAIN };
            if best.is_none_or(|(known, _)| time < known * gain) {
                best = Some((time, candidate));
            }
            if time > SLOW_KERNEL.as_secs_f64() * 1e3 || begun.elapsed() > 8 * SLOW_KERNEL {
                return Ok(None);
            }
        }
        Ok(best.map(|(_, (index, _))| *index))
    }

    /// Makes the pipelines of a plan before they are needed, one after the other, so that neither the
    /// browser's other work nor a cancel waits for more than one.
    pub async fn warm(&self, plan: &Plan, storages: &[Storage]) -> Result<(), GpuError> {
        let config = self.config();
        for Measured { launch, .. } in self.launches(plan, storages, &config)? {
            let made = self.pipelines_made();
            let launch = config.chosen(plan, launch);
            self.with_error_scopes(launch.kernel, || self.pipeline(&launch)).await?;
            if self.pipelines_made() > made {
                self.finished().await?;
            }
        }
        Ok(())
    }

    /// The launches of a plan as the rule of sizes has them.
    fn launches(&self, plan: &Plan, storages: &[Storage], config: &KernelConfig) -> Result<Vec<Measured>, GpuError> {
        let means = config.caps(self.info().max_binding);
        let mut list = Vec::new();
        for step in &plan.steps {
            let stored: Vec<Storage> = step.inputs.iter().map(|id| storages[id.0]).collect();
            let work = lower_step(plan, step, &stored, means)?;
            let operand = |operand: BufferRef| match operand {
                BufferRef::Input(input) => (plan.value(step.inputs[input]).numel(), stored[input]),
                BufferRef::Output => (plan.value(step.output).numel(), Storage::F32),
                BufferRef::Scratch(index) => (work.scratch[index], Storage::F32),
            };
            for stage in &work.dispatches {
                let inputs = stage.inputs.iter().map(|&input| operand(input)).collect();
                let (launch, output, flops) = (stage.launch.clone(), operand(stage.output).0, stage.flops);
                list.push(Measured { launch, offers: config.variant_support(plan), inputs, output, flops });
            }
        }
        Ok(list)
    }
}
