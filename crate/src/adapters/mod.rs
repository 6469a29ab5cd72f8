//! Adapters: tensors of a file → deltas, the change of each weight and bias of a model.
//!
//! One file per algorithm family. A family identifies its tensors by their roles and folds them into a weight with
//! a small plan, which the report runs on the CPU and image generation on the GPU. Every key of a file is either
//! part of a delta or a leftover with a reason; keys are never dropped silently.

mod adalora;
mod algorithm;
mod bake;
mod base;
mod composed;
mod config;
mod delora;
mod delta;
mod dora;
mod families;
mod fold;
mod full;
mod glora;
mod group;
mod hra;
mod ia3;
mod layer;
mod leftover;
mod locate;
mod loha;
mod lokr;
mod lora;
mod miss;
mod oft;
mod oft_v2;
mod peft_boft;
mod projections;
mod read;
mod representation;
mod rotation;
mod shira;
mod strengths;
mod tucker;
mod vera;

pub use algorithm::Algorithm;
pub use bake::{AdapterDelta, BakeError, BakedAdapter, bake, baked_size, fold_part};
pub use base::{BaseTensor, ModelFile, Places, stored_part};
pub use config::{ConfigError, ConfigSource, GGUF_KEY, METADATA_KEY, PeftConfig, PeftConfigs};
pub use delta::{Change, Delta, Factor, FactorData, Fold, Part};
pub use fold::{BASE, FOLDED, Folding, fold_on_cpu, fold_plan};
pub use group::{Group, group};
pub use leftover::{Leftover, LeftoverClass, LeftoverReason};
pub use locate::locate;
pub use read::{Adapter, Reader, read};
pub use strengths::{ParseStrengthsError, Strengths};
