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
mod measurements;
mod modules;
mod packed;
mod problem_class;
mod problems;
mod progress;
mod refusal;
mod relation;
mod report;
mod rows;
mod series;
mod signature;
mod sizes;
mod sketch;
mod spectrum;
mod summary;
mod training;
mod verdict;
mod weigh;

pub use crate::model::block;
pub use base::BaseShapes;
pub use compare::{ComparedFile, Comparison, MetadataDifference, ReadError, compare, metadata_differences};
pub use family::{Detected, Layers, detect, own_layers};
pub use hashes::{Claim, ClaimVerdict, DataHashes, Hashes, HeaderHashes, LEGACY_HASH, MODEL_HASH, SPEC_HASH, hashes};
pub use health::{Health, HealthRow, health};
pub use inspect::{inspect, inspect_header, inspect_with, measure};
pub use layer_comparison::{LayerComparison, SideOfLayer, compare_forms};
pub use loaders::{LoaderEffect, LoaderStatus, LoaderVerdict, LogExplanation, effects, explain_log, harms_others};
pub use measurements::GroupMeasurements;
pub use modules::{Coverage, ModuleRow, Strength};
pub use packed::ArchivedAdapter;
pub use problem_class::ProblemClass;
pub use progress::{OnProgress, Progress};
pub use relation::{Relation, relation};
pub use report::{Base, Container, FileKind, ImportRow, ImportVerdict, LeftoverRow, Problem, Report, Severity};
pub use rows::Share;
pub use series::{
    Series, SeriesCandidate, SeriesFile, SeriesInput, SeriesLayer, SeriesPart, SeriesPoint, SeriesRow, SeriesSummary,
    SeriesTotal, find_series, measure_series,
};
pub use signature::wrong_names;
pub use sketch::{Signature, signature};
pub use spectrum::Spectrum;
pub use summary::Summary;
pub use training::{Bucket, Dataset, Setting, TagCount, Training, TriggerWord, training};
pub use weigh::{LayerImpact, Measures, compare_with_base};
