//! WebAssembly bindings: calls from JavaScript -> calls of the library -> plain JavaScript values.
//!
//! The only module that depends on JavaScript. The types of the interface are compiled for every
//! target, so that their TypeScript declarations can be generated and tested natively.

#[cfg(target_os = "unknown")]
mod bench;
#[cfg(target_os = "unknown")]
mod convert;
#[cfg(target_os = "unknown")]
mod device;
#[cfg(target_os = "unknown")]
mod edits;
#[cfg(target_os = "unknown")]
mod engine;
#[cfg(target_os = "unknown")]
mod headers;
#[cfg(target_os = "unknown")]
mod numbers;
#[cfg(target_os = "unknown")]
mod probe;
#[cfg(target_os = "unknown")]
mod progress;
#[cfg(target_os = "unknown")]
mod sources;
#[cfg(target_os = "unknown")]
mod tuning;
pub mod types;
