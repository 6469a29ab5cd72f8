//! Turns what a device was found able to do, and what is wanted of it, into switches for plans made from
//! now on.

use super::device::Gpu;

impl Gpu {
    /// Whether weights stay in the halves that their file has: less memory, more work a number.
    pub fn keeps_halves(&self) -> bool {
        self.keeps_halves.get()
    }

    /// Chooses it for weights loaded from now on.
    pub fn set_keeps_halves(&self, keep: bool) {
        self.keeps_halves.set(keep);
    }

    /// Whether products of plans that allow it may be formed of halves: where the device has
    /// `shader-f16`, until a result is wrong or too large for it.
    pub fn multiplies_halves(&self) -> bool {
        self.multiplies_halves.get()
    }

    /// Chooses it for plans made from now on; a device without `shader-f16` never does.
    pub fn set_multiplies_halves(&self, multiply: bool) {
        self.multiplies_halves.set(multiply && self.info().shader_f16);
    }

    /// Whether convolutions of plans that allow it may be computed by Winograd's algorithm, until a result
    /// is wrong.
    pub fn uses_winograd(&self) -> bool {
        self.uses_winograd.get()
    }

    /// Chooses it for plans made from now on.
    pub fn set_uses_winograd(&self, uses: bool) {
        self.uses_winograd.set(uses);
    }

    /// Whether norms may sum by subgroups: where the device has them, until a result is wrong.
    pub fn has_subgroups(&self) -> bool {
        self.has_subgroups.get()
    }

    /// Says whether it has them; on the web wgpu does not know.
    pub fn set_has_subgroups(&self, has: bool) {
        self.has_subgroups.set(has);
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
