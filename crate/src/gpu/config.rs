//! Kernel configuration of a device: detected features and chosen options.

use super::device::{DeviceCaps, Gpu};
use super::kernel::Style;
use super::tune::TileChoice;

/// Options that select the kernels of a plan. A device's configuration applies to plans compiled later; tests and
/// benchmarks compile plans with a modified copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelConfig {
    /// Kernel style.
    pub style: Style,
    /// Whether 16-bit weights stay f16 or bf16 on the GPU: halves memory, adds a conversion per load.
    pub f16_weights: bool,
    /// Whether matmul and convolution may multiply in f16 in plans that allow it. Requires `shader-f16`; disabled once
    /// a result is wrong or overflows.
    pub f16_math: bool,
    /// Whether convolutions may use Winograd's algorithm in plans that allow it; disabled once a result is wrong.
    pub uses_winograd: bool,
    /// Whether norms may use subgroup reductions: requires the feature; disabled once a result is wrong.
    pub has_subgroups: bool,
    /// Tile shape selection.
    pub tile_choice: TileChoice,
}

impl KernelConfig {
    /// Returns the capabilities that planning depends on, for a maximum binding size of `max_binding` bytes.
    pub fn caps(&self, max_binding: u64) -> DeviceCaps {
        DeviceCaps {
            max_binding,
            f16_weights: self.f16_weights,
            style: self.style,
            winograd_min_channels: self.winograd_min_channels(),
        }
    }
}

impl Gpu {
    /// Returns the configuration for plans compiled from now on.
    pub fn config(&self) -> KernelConfig {
        self.config.borrow().clone()
    }

    /// Replaces the configuration.
    pub fn set_config(&self, config: KernelConfig) {
        self.config.replace(config);
    }

    /// Returns the kernel style.
    pub fn style(&self) -> Style {
        self.config.borrow().style
    }

    /// Sets the kernel style for plans compiled from now on.
    pub fn set_style(&self, style: Style) {
        self.config.borrow_mut().style = style;
    }

    /// See [`KernelConfig::f16_weights`].
    pub fn f16_weights(&self) -> bool {
        self.config.borrow().f16_weights
    }

    /// Sets it for weights loaded from now on.
    pub fn set_f16_weights(&self, enabled: bool) {
        self.config.borrow_mut().f16_weights = enabled;
    }

    /// See [`KernelConfig::f16_math`].
    pub fn f16_math(&self) -> bool {
        self.config.borrow().f16_math
    }

    /// Sets it for plans compiled from now on; it stays off on devices without `shader-f16`.
    pub fn set_f16_math(&self, enabled: bool) {
        self.config.borrow_mut().f16_math = enabled && self.info().shader_f16;
    }

    /// See [`KernelConfig::uses_winograd`].
    pub fn uses_winograd(&self) -> bool {
        self.config.borrow().uses_winograd
    }

    /// Sets it for plans compiled from now on.
    pub fn set_uses_winograd(&self, enabled: bool) {
        self.config.borrow_mut().uses_winograd = enabled;
    }

    /// See [`KernelConfig::has_subgroups`].
    pub fn has_subgroups(&self) -> bool {
        self.config.borrow().has_subgroups
    }

    /// Sets it for plans compiled from now on; on the web wgpu does not report the feature.
    pub fn set_has_subgroups(&self, enabled: bool) {
        self.config.borrow_mut().has_subgroups = enabled;
    }

    /// Sets the tile shape selection for plans compiled from now on; ignores a tuning of another device.
    pub fn set_tile_choice(&self, choice: TileChoice) {
        let is_applicable = !matches!(&choice, TileChoice::Tuned(tuning) if tuning.device != self.tuning_key());
        if is_applicable {
            self.config.borrow_mut().tile_choice = choice;
        }
    }

    /// Returns the tile shape selection.
    pub fn tile_choice(&self) -> TileChoice {
        self.config.borrow().tile_choice.clone()
    }

    /// Returns whether untuned kernels are timed before the first image.
    pub fn tuning_enabled(&self) -> bool {
        self.wants_tuning.get()
    }

    /// Enables or disables tuning; disabling it also ends a tuning in progress.
    pub fn set_tuning_enabled(&self, enabled: bool) {
        self.wants_tuning.set(enabled);
    }
}
