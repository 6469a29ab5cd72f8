//! How a device's plans become kernels: what it was found able to do, and what is wanted of it.

use super::device::{Gpu, DeviceCaps};
use super::kernel::Style;
use super::tune::TileChoice;

/// All that decides which kernels a plan is made of. A device has one for the plans made from now on;
/// tests and measurements give their plans a changed copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelConfig {
    /// How kernels are written.
    pub style: Style,
    /// Whether weights stay in the halves that their file has: less memory, more work a number.
    pub f16_weights: bool,
    /// Whether products of plans that allow it may be formed of halves: where the device has
    /// `shader-f16`, until a result is wrong or too large for it.
    pub f16_math: bool,
    /// Whether convolutions of plans that allow it may be computed by Winograd's algorithm, until a result
    /// is wrong.
    pub uses_winograd: bool,
    /// Whether norms may sum by subgroups: where the device has them, until a result is wrong.
    pub has_subgroups: bool,
    /// Which of a kernel's tile shapes are used.
    pub tile_choice: TileChoice,
}

impl KernelConfig {
    /// What of it decides how plans are made and how much memory they need, where `max_binding` bytes
    /// are bound at once.
    pub fn caps(&self, max_binding: u64) -> DeviceCaps {
        DeviceCaps { max_binding, f16_weights: self.f16_weights, style: self.style, winograd: self.winograd() }
    }
}

impl Gpu {
    /// How plans made from now on become kernels.
    pub fn config(&self) -> KernelConfig {
        self.config.borrow().clone()
    }

    /// Chooses it as a whole.
    pub fn set_config(&self, config: KernelConfig) {
        self.config.replace(config);
    }

    /// How kernels are written.
    pub fn style(&self) -> Style {
        self.config.borrow().style
    }

    /// Writes the kernels of plans made from now on in another style.
    pub fn set_style(&self, style: Style) {
        self.config.borrow_mut().style = style;
    }

    /// See [`KernelConfig::keeps_halves`].
    pub fn f16_weights(&self) -> bool {
        self.config.borrow().f16_weights
    }

    /// Chooses it for weights loaded from now on.
    pub fn set_f16_weights(&self, keep: bool) {
        self.config.borrow_mut().f16_weights = keep;
    }

    /// See [`KernelConfig::multiplies_halves`].
    pub fn f16_math(&self) -> bool {
        self.config.borrow().f16_math
    }

    /// Chooses it for plans made from now on; a device without `shader-f16` never does.
    pub fn set_f16_math(&self, multiply: bool) {
        self.config.borrow_mut().f16_math = multiply && self.info().shader_f16;
    }

    /// See [`KernelConfig::uses_winograd`].
    pub fn uses_winograd(&self) -> bool {
        self.config.borrow().uses_winograd
    }

    /// Chooses it for plans made from now on.
    pub fn set_uses_winograd(&self, uses: bool) {
        self.config.borrow_mut().uses_winograd = uses;
    }

    /// See [`KernelConfig::has_subgroups`].
    pub fn has_subgroups(&self) -> bool {
        self.config.borrow().has_subgroups
    }

    /// Says whether it has them; on the web wgpu does not know.
    pub fn set_has_subgroups(&self, has: bool) {
        self.config.borrow_mut().has_subgroups = has;
    }

    /// Chooses tile shapes for plans made from now on; a tuning of another device is left out.
    pub fn choose(&self, choice: TileChoice) {
        let fits = !matches!(&choice, TileChoice::Tuned(tuning) if tuning.device != self.tuned_for());
        if fits {
            self.config.borrow_mut().tile_choice = choice;
        }
    }

    /// What was chosen.
    pub fn choice(&self) -> TileChoice {
        self.config.borrow().tile_choice.clone()
    }

    /// Whether kernels that no tuning knows are timed before a picture.
    pub fn wants_tuning(&self) -> bool {
        self.wants_tuning.get()
    }

    /// Chooses it; where it is taken back while kernels are timed, that ends.
    pub fn set_wants_tuning(&self, wants: bool) {
        self.wants_tuning.set(wants);
    }
}
