//! Kernel configuration: the choices by which plans are lowered to dispatches.

use super::kernel::Style;
use super::kernels::attention::MIN_WORKGROUP_MEMORY;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// Everything besides a plan that determines its dispatches. It is a value: tuning and the self-test return another
/// one, and plans that are already compiled keep theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelConfig {
    /// Maximum size of a storage buffer binding in bytes; larger feature maps are strip-mined.
    pub max_binding: u64,
    /// Workgroup memory in bytes.
    pub workgroup_memory: u32,
    /// Kernel style.
    pub style: Style,
    /// Whether 16-bit weights stay f16 or bf16 on the GPU: halves memory, adds a conversion per load.
    pub f16_weights: bool,
    /// Choice of the storage of weights, which may override `f16_weights`.
    pub weights: WeightChoice,
    /// Whether matmul and convolution may multiply in f16 in plans that allow it. Requires `shader-f16`.
    pub f16_math: bool,
    /// Use of Winograd's algorithm for convolutions in plans that allow it.
    pub winograd: Winograd,
    /// Whether norms may use subgroup reductions. Requires the feature.
    pub subgroups: bool,
    /// Tile shape selection.
    pub tiles: TileChoice,
}

/// Choice of the storage of a model's weights. All but `Auto` save memory: what adapters change is read again from the
/// files whenever strengths change, instead of being kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum WeightChoice {
    /// As [`KernelConfig::f16_weights`] says, which suits the device.
    #[default]
    Auto,
    /// Matrices in 16 bits.
    F16,
    /// Matrices in blocks of 8-bit integers, except first and last layers and the VAE's.
    Q8,
    /// The same with 4-bit integers.
    Q4,
    /// Matrices in 16 bits, the denoiser's never all at once: each of its calls reads them from the files, part by part.
    Streamed,
}

impl WeightChoice {
    /// All choices, the one that needs the most memory first.
    pub const ALL: [WeightChoice; 5] =
        [WeightChoice::Auto, WeightChoice::F16, WeightChoice::Q8, WeightChoice::Q4, WeightChoice::Streamed];
}

/// Which convolutions use Winograd's algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winograd {
    /// None.
    Disabled,
    /// Those with as many channels as it usually needs to be faster with kernels of this style.
    ByStyle,
    /// Those with at least this many input and output channels.
    MinChannels(usize),
}

/// How the variant of a launch is selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TileChoice {
    /// By the heuristic on its size.
    #[default]
    Rule,
    /// By the tuning result; by the heuristic for classes that are not tuned.
    Tuned(Tuning),
    /// The variant with this index if it exists; for tuning and tests.
    Forced(usize),
}

/// Tuning result of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tuning {
    /// Adapter, backend and kernel hash; see [`Gpu::tuning_key`](super::Gpu::tuning_key).
    pub device: String,
    /// Launch class -> index of the fastest variant; for `winograd`, the minimum number of channels.
    pub best: BTreeMap<String, usize>,
}

impl Tuning {
    /// Class of Winograd's algorithm.
    pub const WINOGRAD: &str = "winograd";
}

/// Minimum number of channels for Winograd's algorithm on untuned GPUs: with half as many, its extra memory traffic can
/// outweigh the savings on a large GPU.
const WINOGRAD_MIN_CHANNELS_TILED: usize = 256;
/// Minimum number of channels on software rasterizers: measured a third faster with 64.
const WINOGRAD_MIN_CHANNELS_UNTILED: usize = 64;

impl KernelConfig {
    /// An untuned GPU with WebGPU's default limits, which every device supports: bindings of 128 MiB, 16 KiB of workgroup
    /// memory.
    pub const BASELINE: KernelConfig = KernelConfig {
        max_binding: 128 << 20,
        workgroup_memory: MIN_WORKGROUP_MEMORY,
        style: Style::Tiled,
        f16_weights: true,
        weights: WeightChoice::Auto,
        f16_math: false,
        winograd: Winograd::ByStyle,
        subgroups: false,
        tiles: TileChoice::Rule,
    };

    /// The CPU, whose plans are those of an untuned GPU without Winograd's algorithm and without fused layer norms.
    pub const CPU: KernelConfig =
        KernelConfig { style: Style::Untiled, winograd: Winograd::Disabled, ..KernelConfig::BASELINE };

    /// Returns whether memory is saved; see [`WeightChoice`].
    pub fn saves_memory(&self) -> bool {
        self.weights != WeightChoice::Auto
    }

    /// Returns whether the denoiser's weights are read from the files in each of its calls.
    pub fn streams_denoiser(&self) -> bool {
        self.weights == WeightChoice::Streamed
    }

    /// Returns the configuration with a tuning result, unless Winograd's algorithm is disabled: that stays.
    pub fn with_tuning(mut self, tuning: Tuning) -> KernelConfig {
        if let (Some(&channels), true) = (tuning.best.get(Tuning::WINOGRAD), self.winograd != Winograd::Disabled) {
            self.winograd = Winograd::MinChannels(channels);
        }
        self.tiles = TileChoice::Tuned(tuning);
        self
    }

    /// Returns the minimum number of input and output channels of a convolution for Winograd's algorithm, or None if it
    /// is disabled.
    pub fn winograd_min_channels(&self) -> Option<usize> {
        match (self.winograd, self.style) {
            (Winograd::Disabled, _) => None,
            (Winograd::ByStyle, Style::Tiled) => Some(WINOGRAD_MIN_CHANNELS_TILED),
            (Winograd::ByStyle, Style::Untiled) => Some(WINOGRAD_MIN_CHANNELS_UNTILED),
            (Winograd::MinChannels(channels), _) => Some(channels),
        }
    }
}
