//! Turns doubt about a driver into an answer: each kernel family runs once on numbers whose result
//! the definitions know. A family that fails as tiles is tried without them; where products of halves,
//! Winograd's algorithm or sums by subgroups fail, they are not used.

use super::config::KernelConfig;
use super::device::{Gpu, GpuError};
use super::kernel::Style;
use super::runner::{Arena, Runner};
use super::tune::{TileChoice, F16_VARIANT};
use crate::num::{host_len, numel};
use crate::ops::{Add, Attention, Broadcast, Conv2d, Activation, Geglu, GroupNorm, LayerNorm, Matmul, Op, Unary};
use crate::plan::{Builder, Plan, PlanError, interpret};

/// Kernels agree with definitions to 5e-6; a driver that computes something else is far off.
const TOLERANCE: f64 = 1e-3;
/// The same of products of halves, in roundings to 11 bits: u = 2^-11 is the most that one errs, 0.41 u
/// what it errs at random. Both factors and their product are rounded (0.7 u together), and each of
/// the 16 sums of a tile's depth at its size then (0.41 u times the root of 1 + 2 + … + 16, over
/// that of 16: 1.2 u). Independent, they make 1.4 u; a device may also cut digits off, which doubles it.
pub const TOLERANCE_F16: f64 = 4.0 / 2048.0;

impl Gpu {
    /// Makes sure that this device computes what it should, and chooses a style of kernels that
    /// does. An error names what fails in every style.
    pub async fn self_test(&self) -> Result<(), GpuError> {
        self.self_test_within(TOLERANCE).await?;
        self.test_f16_math_within(TOLERANCE_F16).await;
        self.test_winograd_within(TOLERANCE).await;
        self.test_subgroups_within(TOLERANCE).await;
        Ok(())
    }

    /// Gives up sums by subgroups where a norm by them is further than `tolerance` from its definition.
    pub async fn test_subgroups_within(&self, tolerance: f64) {
        // Only tuning chooses them, and it leaves other devices alone.
        if self.style() == Style::Tiled && self.has_subgroups() {
            let config = KernelConfig { tile_choice: TileChoice::Forced(1), ..self.config() };
            let is_norm = |op: &Op| matches!(op, Op::GroupNorm(_) | Op::LayerNorm(_));
            let failed = self.failures(&config, tolerance, &is_norm).await;
            self.set_has_subgroups(failed.is_ok_and(|failed| failed.is_empty()));
        }
    }

    /// Gives up Winograd's algorithm where it is further than `tolerance` from the definition.
    pub async fn test_winograd_within(&self, tolerance: f64) {
        if !self.uses_winograd() {
            return;
        }
        let conv = Conv2d { kernel: 3, stride: 1, padding: 1, bias: true, ..Default::default() };
        // As few numbers as its kernels take: odd edges, a tile more than fill a portion's rows.
        let shapes = [vec![1, 31, 33, 4], vec![4, 36], vec![4]];
        let config = KernelConfig { tile_choice: TileChoice::Forced(0), ..self.config() };
        let distance = self.distance(&config, &conv.into(), &shapes).await;
        self.set_uses_winograd(distance.is_ok_and(|distance| distance <= tolerance));
    }

    /// Gives up products of halves where one is further than `tolerance` from its definition, or where
    /// what is too large for them would not be seen.
    pub async fn test_f16_math_within(&self, tolerance: f64) {
        if self.style() == Style::Tiled && self.f16_math() {
            let config = KernelConfig { tile_choice: TileChoice::Forced(F16_VARIANT), ..self.config() };
            let is_product = |op: &Op| matches!(op, Op::Matmul(_) | Op::Conv2d(_));
            let failed = self.failures(&config, tolerance, &is_product).await;
            let shows = self.shows_what_is_too_large(&config).await;
            self.set_f16_math(failed.is_ok_and(|failed| failed.is_empty()) && shows.unwrap_or(false));
        }
    }

    /// Whether numbers beyond 65504 become infinite; a device may also round them to it, unseen. Times
    /// 0.01, so that no product of a rounded one is too large by itself.
    async fn shows_what_is_too_large(&self, config: &KernelConfig) -> Result<bool, GpuError> {
        let linear = Matmul { transpose_b: true, ..Default::default() };
        let plan = single(&linear.into(), &[vec![4, 4], vec![4, 4]])?;
        let kernel = self.computed(config, &plan, &[vec![1e5; 16], vec![1e-2; 16]]).await?;
        Ok(kernel.iter().all(|value| !value.is_finite()))
    }

    /// The self test of f32 kernels within another relative distance.
    pub async fn self_test_within(&self, tolerance: f64) -> Result<(), GpuError> {
        let first = self.style();
        let other = if first == Style::Tiled { Style::Untiled } else { Style::Tiled };
        let mut failed = Vec::new();
        for style in [first, other] {
            let config = KernelConfig { style, tile_choice: TileChoice::Rule, ..self.config() };
            failed = self.failures(&config, tolerance, &|_| true).await?;
            if failed.is_empty() {
                self.set_style(style);
                return Ok(());
            }
        }
        let what = format!("{} on {}", failed.join(", "), self.info().adapter);
        let message = "its results are wrong, so pictures would be too; update the graphics driver or the browser";
        Err(GpuError::Fault { what, message: message.into() })
    }

    /// Names of those of the operations whose kernel is further than `tolerance` from its definition.
    async fn failures(
        &self,
        config: &KernelConfig,
        tolerance: f64,
        of: &dyn Fn(&Op) -> bool,
    ) -> Result<Vec<&'static str>, GpuError> {
        let mut failed = Vec::new();
        for (op, shapes) in cases().into_iter().filter(|(op, _)| of(op)) {
            let distance = self.distance(config, &op, &shapes).await?;
            if distance.is_nan() || distance > tolerance {
                failed.push(op.get().name());
            }
        }
        Ok(failed)
    }

    /// ||kernel - definition|| / ||definition||.
    async fn distance(&self, config: &KernelConfig, op: &Op, shapes: &[Vec<usize>]) -> Result<f64, GpuError> {
        let inputs: Vec<Vec<f32>> =
            shapes.iter().zip(0..).map(|(shape, seed)| numbers(seed, host_len(numel(shape)))).collect();
        let plan = single(op, shapes)?;
        let kernel = self.computed(config, &plan, &inputs).await?;
        let mut give = |name: &str| name.parse::<usize>().ok().map(|i| inputs[i].clone());
        let definition = interpret(&plan, &mut give, &[]).map_err(|error| unbuilt(op, error))?;
        let squared = |pairs: &mut dyn Iterator<Item = f64>| pairs.map(|x| x * x).sum::<f64>();
        let wanted = &definition["y"];
        let off = squared(&mut kernel.iter().zip(wanted).map(|(a, b)| f64::from(a - b)));
        Ok((off / squared(&mut wanted.iter().map(|&x| f64::from(x)))).sqrt())
    }

    /// What the kernel of a plan's one operation makes of these inputs.
    async fn computed(&self, config: &KernelConfig, plan: &Plan, inputs: &[Vec<f32>]) -> Result<Vec<f32>, GpuError> {
        let arena = Arena::with_config(self, config.clone(), &[plan]).await?;
        let runner = Runner::within(self, plan, &|_| None, &arena).await?;
        for (i, data) in inputs.iter().enumerate() {
            runner.set(self, &i.to_string(), data)?;
        }
        runner.compute(self, "y").await
    }
}

/// A plan of one operation with inputs `0`, `1`, … and output `y`.
fn single(op: &Op, shapes: &[Vec<usize>]) -> Result<Plan, GpuError> {
    let name = op.get().name();
    let mut builder = Builder::new(name);
    let ids: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| builder.input(&i.to_string(), shape)).collect();
    let y = builder.push(op.clone(), &ids, name).map_err(|error| unbuilt(op, error))?;
    builder.output("y", y);
    Ok(Plan { allows_f16_math: true, allows_winograd: true, ..builder.finish() })
}

fn unbuilt(op: &Op, error: PlanError) -> GpuError {
    GpuError::Fault { what: op.get().name().into(), message: error.to_string() }
}

/// Small cases of each kernel: sizes that fill no tile, with widths of whole vec4s and without.
fn cases() -> Vec<(Op, Vec<Vec<usize>>)> {
    let linear = Matmul { transpose_b: true, bias: true, ..Default::default() };
    let conv = Conv2d { kernel: 3, stride: 1, padding: 1, bias: true, ..Default::default() };
    vec![
        (linear.into(), vec![vec![1, 70, 36], vec![68, 36], vec![68]]),
        (linear.into(), vec![vec![1, 9, 35], vec![13, 35], vec![13]]),
        (Matmul::default().into(), vec![vec![33, 20], vec![20, 68]]),
        (conv.into(), vec![vec![1, 9, 7, 8], vec![12, 72], vec![12]]),
        (conv.into(), vec![vec![1, 9, 7, 6], vec![10, 54], vec![10]]),
        (Attention { heads: 3, causal: true }.into(), vec![vec![1, 37, 36]; 3]),
        (
            GroupNorm { groups: 4, eps: 1e-5, silu: true, concat: false }.into(),
            vec![vec![2, 5, 9, 12], vec![12], vec![12]],
        ),
        (LayerNorm { eps: 1e-5 }.into(), vec![vec![1, 5, 77], vec![77], vec![77]]),
        (Geglu {}.into(), vec![vec![1, 9, 14]]),
        (Unary { function: Activation::QuickGelu }.into(), vec![vec![300]]),
        (Add { broadcast: Broadcast::Pixels }.into(), vec![vec![2, 3, 5, 7], vec![2, 7]]),
    ]
}

/// Numbers from -1 to 1 that repeat nowhere soon.
pub fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let word = |i: u32| (i + 1).wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(0x9e37_79b9)) >> 8;
    (0..).take(count).map(|i| word(i) as f32 / 8_388_608.0 - 1.0).collect()
}
