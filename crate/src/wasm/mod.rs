//! WebAssembly bindings: calls from JavaScript -> calls of the library -> plain JavaScript values.
//!
//! The only module that depends on JavaScript. Three modules of WebAssembly are built from it, by the features of the same
//! names: `inspector`, which a visit starts with, `engine`, which comes with the first image, and `report`, the small one
//! of the npm package. The types of the interface are compiled for every target, so that their TypeScript declarations can
//! be generated and tested natively.

#[cfg(all(target_os = "unknown", feature = "engine"))]
mod bench;
#[cfg(all(target_os = "unknown", feature = "engine"))]
mod choice;
#[cfg(target_os = "unknown")]
mod convert;
#[cfg(all(target_os = "unknown", feature = "engine"))]
mod device;
#[cfg(all(target_os = "unknown", feature = "inspector"))]
mod edits;
#[cfg(all(target_os = "unknown", feature = "engine"))]
mod engine;
#[cfg(all(target_os = "unknown", feature = "inspector"))]
mod headers;
#[cfg(all(target_os = "unknown", feature = "inspector"))]
mod inspector;
#[cfg(all(target_os = "unknown", feature = "inspector"))]
mod numbers;
#[cfg(all(target_os = "unknown", feature = "engine"))]
mod partner;
#[cfg(all(target_os = "unknown", feature = "engine"))]
mod probe;
#[cfg(all(target_os = "unknown", any(feature = "inspector", feature = "report")))]
mod progress;
#[cfg(all(target_os = "unknown", feature = "report"))]
mod report;
#[cfg(all(target_os = "unknown", feature = "inspector"))]
mod series;
#[cfg(target_os = "unknown")]
mod sources;
#[cfg(all(target_os = "unknown", feature = "engine"))]
mod triggers;
#[cfg(all(target_os = "unknown", feature = "engine"))]
mod tuning;
pub mod types;
