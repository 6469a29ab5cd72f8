//! Inspection of adapter files: file -> report (kind, base model, affected layers, problems).

mod base;
mod blocks;
mod compare;
mod family;
mod hashes;
mod health;
mod inspect;
mod layer_comparison;
pub mod loaders;
mod low_rank;
mod matrix;
mod packed;
mod problems;
mod refusal;
mod relation;
mod report;
mod rows;
mod signature;
mod sizes;
mod spectrum;
mod summary;
mod training;
mod verdict;
mod weigh;

pub use crate::model::block;
pub use base::BaseShapes;
pub use compare::{ComparedFile, Comparison, MetadataDifference, ReadError, compare};
pub use family::{Detected, Layers, detect, own_layers};
pub use hashes::{Claim, ClaimVerdict, DataHashes, Hashes, HeaderHashes, LEGACY_HASH, MODEL_HASH, SPEC_HASH, hashes};
pub use health::{Health, HealthRow, health};
pub use inspect::{OnProgress, Progress, inspect, inspect_header, inspect_with, measure};
pub use layer_comparison::{LayerComparison, SideOfLayer, compare_forms};
pub use loaders::{LoaderStatus, LoaderVerdict, LogExplanation, explain_log};
pub use low_rank::LowRank;
pub use packed::ArchivedAdapter;
pub use relation::{Relation, relation};
pub use report::{
    Base, Container, Coverage, FileKind, ImportRow, ImportVerdict, LeftoverRow, ModuleRow, Problem, Report, Severity,
    Strength,
};
pub use rows::{GroupMeasurements, Share};
pub use signature::header_words;
pub use spectrum::Spectrum;
pub use summary::Summary;
pub use training::{Bucket, Dataset, Setting, TagCount, Training, TriggerWord, training};
pub use weigh::{LayerImpact, Measures, compare_with_base};
