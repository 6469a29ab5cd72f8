//! Self-test of the driver: runs each kernel family once and compares the result with the reference implementation.
//! If a tiled kernel fails, the untiled ones are tried; f16 math, Winograd's algorithm and subgroup reductions are
//! disabled if they fail.

use super::config::{KernelConfig, TileChoice, Winograd};
use super::device::{Gpu, GpuError};
use super::kernel::Style;
use super::runner::Runner;
use super::variants::F16_VARIANT;
use crate::num::{host_len, numel};
use crate::ops::{
    Activation, Add, Attention, Broadcast, Conv2d, Geglu, GroupNorm, LayerNorm, Matmul, Op, PixelShuffle, Prelu, Unary,
};
use crate::plan::{Builder, Plan, PlanError, interpret};

/// Maximum relative error. Correct kernels match the reference to 5e-6; a broken driver is far off.
const TOLERANCE: f64 = 1e-3;
/// Maximum relative error of f16 products. Rounding to 11 bits errs by at most u = 2^-11, and by 0.41 u RMS. Both
/// operands and their product are rounded (0.7 u together), and so is each of the 16 partial sums of a depth tile at
/// its current magnitude (0.41 u times the root of (1 + 2 + … + 16) / 16: 1.2 u). Independent errors add up to 1.4 u;
/// a device may also truncate instead of rounding, which doubles it.
pub const TOLERANCE_F16: f64 = 4.0 / 2048.0;

impl Gpu {
    /// Tests the kernels and returns a configuration whose kernels pass: with the other style if those of `config` fail,
    /// and without optional features that fail. The error names the kernels that fail in both styles.
    pub async fn self_test(&self, config: &KernelConfig) -> Result<KernelConfig, GpuError> {
        let config = self.test_f32_within(TOLERANCE, config).await?;
        let config = self.test_f16_math_within(TOLERANCE_F16, &config).await;
        let config = self.test_winograd_within(TOLERANCE, &config).await;
        Ok(self.test_subgroups_within(TOLERANCE, &config).await)
    }

    /// Opens a device to replace a lost one, and returns it with its configuration. The same adapter keeps the
    /// configuration; its throughput is measured again. The self-test is repeated: features that fail now are disabled
    /// too, and disabled ones stay disabled.
    pub async fn reopen(lost: &Gpu, config: &KernelConfig) -> Result<(Gpu, KernelConfig), GpuError> {
        let mut gpu = Gpu::open().await?;
        gpu.pipelines.background.clone_from(&lost.pipelines.background);
        let config = if gpu.info() == lost.info() { config.clone() } else { gpu.default_config() };
        let config = gpu.self_test(&config).await?;
        Ok((gpu, config))
    }

    /// Disables subgroup reductions if the relative error of a norm that uses them exceeds `tolerance`.
    pub async fn test_subgroups_within(&self, tolerance: f64, config: &KernelConfig) -> KernelConfig {
        // Only tuning selects subgroup kernels, and it only runs with tiled ones.
        if config.style != Style::Tiled || !config.subgroups {
            return config.clone();
        }
        let forced = KernelConfig { tiles: TileChoice::Forced(1), ..config.clone() };
        let is_norm = |op: &Op| matches!(op, Op::GroupNorm(_) | Op::LayerNorm(_));
        let failed = self.failures(&forced, tolerance, &is_norm).await;
        KernelConfig { subgroups: failed.is_ok_and(|failed| failed.is_empty()), ..config.clone() }
    }

    /// Disables Winograd's algorithm if its relative error exceeds `tolerance`.
    pub async fn test_winograd_within(&self, tolerance: f64, config: &KernelConfig) -> KernelConfig {
        if config.winograd == Winograd::Disabled {
            return config.clone();
        }
        let conv = Conv2d { kernel: 3, stride: 1, padding: 1, bias: true, ..Default::default() };
        // Hardly more tiles than Winograd's algorithm needs, with odd edges and a partial last block of tiles.
        let shapes = [vec![1, 31, 33, 4], vec![4, 36], vec![4]];
        let forced = KernelConfig { winograd: Winograd::MinChannels(0), tiles: TileChoice::Rule, ..config.clone() };
        let error = self.relative_error(&forced, &conv.into(), &shapes).await;
        match error.is_ok_and(|error| error <= tolerance) {
            true => config.clone(),
            false => KernelConfig { winograd: Winograd::Disabled, ..config.clone() },
        }
    }

    /// Disables f16 math if the relative error of a product exceeds `tolerance`, or if overflows would go unnoticed.
    pub async fn test_f16_math_within(&self, tolerance: f64, config: &KernelConfig) -> KernelConfig {
        if config.style != Style::Tiled || !config.f16_math {
            return config.clone();
        }
        let forced = KernelConfig { tiles: TileChoice::Forced(F16_VARIANT), ..config.clone() };
        let is_product = |op: &Op| matches!(op, Op::Matmul(_) | Op::Conv2d(_));
        let failed = self.failures(&forced, tolerance, &is_product).await;
        let overflows = self.overflows_to_infinity(&forced).await;
        let passes = failed.is_ok_and(|failed| failed.is_empty()) && overflows.unwrap_or(false);
        KernelConfig { f16_math: passes, ..config.clone() }
    }

    /// Returns whether values beyond 65504 become infinite; a device may also clamp them silently. They are multiplied
    /// by 0.01, so that the product of a clamped value does not overflow by itself.
    async fn overflows_to_infinity(&self, config: &KernelConfig) -> Result<bool, GpuError> {
        let linear = Matmul { transpose_b: true, ..Default::default() };
        let plan = single_op_plan(&linear.into(), &[vec![4, 4], vec![4, 4]])?;
        let kernel = self.run_kernel(config, &plan, &[vec![1e5; 16], vec![1e-2; 16]]).await?;
        Ok(kernel.iter().all(|value| !value.is_finite()))
    }

    /// Tests the f32 kernels with the given maximum relative error, and returns the configuration with a style in which
    /// all of them pass.
    pub async fn test_f32_within(&self, tolerance: f64, config: &KernelConfig) -> Result<KernelConfig, GpuError> {
        let other = if config.style == Style::Tiled { Style::Untiled } else { Style::Tiled };
        let mut failed = Vec::new();
        for style in [config.style, other] {
            let plain = KernelConfig { style, tiles: TileChoice::Rule, ..config.clone() };
            failed = self.failures(&plain, tolerance, &|_| true).await?;
            if failed.is_empty() {
                return Ok(KernelConfig { style, ..config.clone() });
            }
        }
        let what = format!("{} on {}", failed.join(", "), self.info().adapter);
        let message = "the results are wrong, so images would be too; update the graphics driver or the browser";
        Err(GpuError::Fault { what, message: message.into() })
    }

    /// Returns the names of the selected operations whose kernel's relative error exceeds `tolerance`.
    async fn failures(
        &self,
        config: &KernelConfig,
        tolerance: f64,
        is_selected: &dyn Fn(&Op) -> bool,
    ) -> Result<Vec<&'static str>, GpuError> {
        let mut failed = Vec::new();
        for (op, shapes) in cases().into_iter().filter(|(op, _)| is_selected(op)) {
            let error = self.relative_error(config, &op, &shapes).await?;
            if error.is_nan() || error > tolerance {
                failed.push(op.get().name());
            }
        }
        Ok(failed)
    }

    /// Returns ||kernel - reference|| / ||reference||.
    async fn relative_error(&self, config: &KernelConfig, op: &Op, shapes: &[Vec<usize>]) -> Result<f64, GpuError> {
        let inputs: Vec<Vec<f32>> =
            shapes.iter().zip(0..).map(|(shape, seed)| numbers(seed, host_len(numel(shape)))).collect();
        let plan = single_op_plan(op, shapes)?;
        let kernel = self.run_kernel(config, &plan, &inputs).await?;
        let mut input = |name: &str| name.parse::<usize>().ok().map(|i| inputs[i].clone());
        let outputs = interpret(&plan, &mut input, &[]).map_err(|error| plan_error(op, error))?;
        let reference = &outputs["y"];
        let squared_norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
        let difference = squared_norm(&mut kernel.iter().zip(reference).map(|(a, b)| f64::from(a - b)));
        Ok((difference / squared_norm(&mut reference.iter().map(|&x| f64::from(x)))).sqrt())
    }

    /// Runs the kernel of a single-operation plan on these inputs.
    async fn run_kernel(&self, config: &KernelConfig, plan: &Plan, inputs: &[Vec<f32>]) -> Result<Vec<f32>, GpuError> {
        let runner = Runner::new(self, config, plan, &|_| None).await?;
        for (i, data) in inputs.iter().enumerate() {
            runner.set(self, &i.to_string(), data)?;
        }
        runner.compute(self, "y").await
    }
}

/// Builds a plan of one operation with inputs `0`, `1`, … and output `y`.
fn single_op_plan(op: &Op, shapes: &[Vec<usize>]) -> Result<Plan, GpuError> {
    let name = op.get().name();
    let mut builder = Builder::new(name);
    let ids: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| builder.input(&i.to_string(), shape)).collect();
    let y = builder.push(op.clone(), &ids, name).map_err(|error| plan_error(op, error))?;
    builder.output("y", y);
    Ok(Plan { allows_f16_math: true, allows_winograd: true, ..builder.finish() })
}

fn plan_error(op: &Op, error: PlanError) -> GpuError {
    GpuError::Fault { what: op.get().name().into(), message: error.to_string() }
}

/// Returns small cases for each kernel: partial tiles, with widths that are multiples of 4 and ones that are not.
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
        (Prelu {}.into(), vec![vec![2, 3, 5, 7], vec![7]]),
        (PixelShuffle { factor: 2, inverse: false }.into(), vec![vec![2, 3, 5, 12]]),
    ]
}

/// Returns `count` pseudo-random values in [-1, 1).
pub fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let word = |i: u32| (i + 1).wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(0x9e37_79b9)) >> 8;
    (0..).take(count).map(|i| word(i) as f32 / 8_388_608.0 - 1.0).collect()
}
