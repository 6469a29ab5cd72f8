//! Edits of adapter files: conversion, resizing, merging, extraction, baking, metadata.
//!
//! Every edit is planned first, from headers and small factors alone: the plan is a [`Draft`], the
//! whole header of the result with an offset for each tensor, and a preview of the changes. Then it is
//! written layer by layer, so that memory use is bounded by the largest layer, not the file.

mod apply;
mod baking;
mod comparison;
mod conflict;
mod convert;
mod deeper;
mod donors;
mod draft;
mod error;
mod export;
mod extract;
mod fix_id;
mod fixes;
mod inert;
mod inputs;
mod joint;
mod merge;
mod merge_method;
mod metadata;
mod model_side;
mod names;
mod of_base;
mod open;
mod pairs;
mod peft;
mod planned;
mod preview;
mod qkv;
mod resize;
mod verify;

pub use crate::adapters::Strengths;
pub use apply::{BakeEdit, Edit, EditProgress, Edited, Listener, MergeEdit, Preview, apply, preview};
pub use baking::BakePreview;
pub use comparison::compare_files;
pub use conflict::Conflict;
pub use convert::{AlphaPlace, Conversion, ConvertOptions, convert, convert_with_base};
pub use donors::Donors;
pub use draft::{Draft, Outcome, Thinned};
pub use error::EditError;
pub use export::{Export, ExportPreview, export};
pub use extract::{ExtractOptions, ExtractPreview, Extraction, extract};
pub use fix_id::FixId;
pub use fixes::{Fix, fixes, usual_strength};
pub use inputs::{EditInput, MergePart, Models};
pub use merge::{MergeInput, MergeOptions, MergePlan, MergePreview, merge};
pub use merge_method::MergeMethod;
pub use metadata::{MetadataChange, MetadataEdit, MetadataPreview, MetadataRewrite, edit_metadata};
pub use model_side::ModelSide;
pub use names::Target;
pub use open::Opened;
pub use pairs::{KeptRow, RankRule, energy_kept};
pub use preview::{BakedScale, ConvertPreview, DroppedKey, Rebuilt, Renamed};
pub use resize::{ResizeOptions, ResizePlan, ResizePreview, resize};
pub use verify::{MergeVerdict, Verification, verify};
