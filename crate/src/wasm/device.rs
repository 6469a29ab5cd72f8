//! The open GPU.

use crate::gpu::{Gpu, KernelConfig, Tuning};
use std::rc::Rc;

/// An open device and the configuration of its kernels.
#[derive(Clone)]
pub(super) struct Device {
    pub gpu: Rc<Gpu>,
    pub config: KernelConfig,
}

impl Device {
    /// Applies stored tuning results.
    pub fn with_tuning(self, stored: Option<Tuning>) -> Device {
        match stored {
            Some(stored) => Device { config: self.gpu.with_stored_tuning(self.config, stored), gpu: self.gpu },
            None => self,
        }
    }
}
