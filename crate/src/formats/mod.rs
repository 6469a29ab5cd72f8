//! Turns a file's bytes into a checked list of tensors, and tensors into f32 numbers.
//!
//! Nothing here knows of LoRA or of networks. A file is read through a [`ByteSource`], header
//! first, then tensor by tensor: no reader holds a whole file, and none allocates more than a
//! small multiple of the bytes that are really there.

mod error;
pub mod safetensors;
pub mod sniff;
pub mod source;
pub mod widen;

pub use ::safetensors::Dtype;
pub use error::FormatError;
pub use safetensors::{Header, TensorInfo};
pub use sniff::{Content, sniff};
pub use source::{Buffered, ByteSource, Reading};
