//! Training runs: files that one run saved, in order, and how its changes grew from file to file.

mod difference;
mod find;
mod layers;
mod names;
mod summary;

pub use find::{Series, SeriesCandidate, SeriesFile, find_series};
pub use layers::{SeriesInput, SeriesLayer, SeriesPart, SeriesPoint, measure_series};
pub use summary::{SeriesRow, SeriesSummary, SeriesTotal};
