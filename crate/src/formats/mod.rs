//! File formats: bytes → a validated list of tensors, and tensors → f32 elements.
//!
//! Independent of LoRA and of networks. A file is read through a [`ByteSource`], header first, then tensor by tensor:
//! no reader holds a whole file or allocates more than a small multiple of the bytes actually present.

pub mod archive;
mod error;
pub mod gguf;
mod imports;
mod pickle;
pub mod safetensors;
pub mod sink;
pub mod sniff;
pub mod source;
mod state_dict;
mod tensor;
mod torch;
mod view;
#[cfg(not(target_family = "wasm"))]
pub mod web;
pub mod widen;
mod zip;

pub use ::safetensors::Dtype;
pub use archive::{Archive, Member};
pub use error::FormatError;
pub use imports::{Import, imports};
pub use pickle::Danger;
pub use safetensors::Header;
pub use sink::{ByteSink, WriteFuture};
pub use sniff::{Content, sniff};
pub use source::{Buffered, ByteSource, COPY_BLOCK, ReadFuture, blocks};
pub use tensor::{TensorBlocks, TensorInfo};
pub use view::View;

/// Reads the list of tensors of a file in any supported format, which is detected from its content.
/// Unknown formats are a [`FormatError::BadHeader`].
pub async fn read_header(source: &dyn ByteSource) -> Result<Header, FormatError> {
    let start = source.read(0..source.len().min(sniff::SNIFF_LEN as u64)).await?;
    match sniff(&start) {
        Content::Zip => torch::read_zip(source).await,
        Content::Pickle => torch::read_legacy(source).await,
        Content::Gguf => gguf::read_header(source).await,
        _ => Header::read(source).await,
    }
}
