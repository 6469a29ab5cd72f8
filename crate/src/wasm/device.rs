//! The open GPU, and the CPU.

use crate::device::{self, Pause};
use crate::gpu::{Gpu, KernelConfig, Tuning};
use js_sys::Promise;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

/// An open GPU and the configuration of its kernels.
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

/// Returns the CPU, which lets the worker receive messages between portions of work.
pub(super) fn cpu() -> device::Device {
    device::Device::Cpu(Pause::new(receive_messages))
}

/// Lets the worker receive messages, such as a cancellation, by waiting for one from itself.
async fn receive_messages() {
    let Ok(channel) = MessageChannel::new() else { return };
    let promise = Promise::new(&mut |resolve, _| {
        channel.port1().set_onmessage(Some(&resolve));
        let _ = channel.port2().post_message(&JsValue::NULL);
    });
    let _ = JsFuture::from(promise).await;
    channel.port1().close();
}
