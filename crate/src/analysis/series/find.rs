//! The files of training runs among many files, by their names and metadata.

use super::names::{Mark, split};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// A file that may belong to a training run.
#[derive(Debug, Clone, Copy)]
pub struct SeriesCandidate<'a> {
    /// Name or path.
    pub name: &'a str,
    /// Metadata of its header.
    pub metadata: &'a BTreeMap<String, String>,
}

/// The files of a training run, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Series {
    /// Name of the run.
    pub name: String,
    /// Its files, the first one first; at least two.
    pub files: Vec<SeriesFile>,
}

/// A file of a training run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SeriesFile {
    /// Index among the candidates.
    pub index: usize,
    /// Name or path.
    pub name: String,
    /// Epochs trained, if known.
    #[ts(type = "number | null")]
    pub epoch: Option<u64>,
    /// Steps trained, if known.
    #[ts(type = "number | null")]
    pub step: Option<u64>,
}

impl SeriesFile {
    /// Reads the file's place in its run from its header, else from its name.
    fn of(index: usize, candidate: SeriesCandidate, mark: Option<Mark>) -> SeriesFile {
        let number = |key: &str| candidate.metadata.get(key).and_then(|value| value.trim().parse().ok());
        let info = candidate.metadata.get("training_info").and_then(|text| serde_json::from_str(text).ok());
        let info = |key: &str| info.as_ref().and_then(|info: &serde_json::Value| info[key].as_u64());
        let (epoch, step) = match mark {
            Some(Mark::Epoch(epoch)) => (Some(epoch), None),
            Some(Mark::Step(step)) => (None, Some(step)),
            None => (None, None),
        };
        SeriesFile {
            index,
            name: candidate.name.into(),
            epoch: number("ss_epoch").or_else(|| info("epoch")).or(epoch),
            step: number("ss_steps").or_else(|| info("step")).or(step),
        }
    }

    /// Returns the order within a run: by steps if all files have them, else by epochs; a file without a number was saved at the
    /// end.
    fn order(&self, by_step: bool) -> (u64, u64) {
        let (first, second) = if by_step { (self.step, self.epoch) } else { (self.epoch, self.step) };
        (first.unwrap_or(u64::MAX), second.unwrap_or(u64::MAX))
    }
}

/// Finds the training runs among files: those with one name but for its number, or with one session in their metadata.
pub fn find_series(candidates: &[SeriesCandidate]) -> Vec<Series> {
    let mut runs: Vec<(Run, Vec<SeriesFile>)> = Vec::new();
    for (index, &candidate) in candidates.iter().enumerate() {
        let (name, mark) = split(candidate.name);
        let file = SeriesFile::of(index, candidate, mark);
        let run = Run { name, session: candidate.metadata.get("ss_session_id").cloned() };
        match runs.iter_mut().find(|(known, _)| known.is_same(&run)) {
            Some((known, files)) => {
                known.session = known.session.take().or(run.session);
                files.push(file);
            }
            None => runs.push((run, vec![file])),
        }
    }
    let series = |(run, mut files): (Run, Vec<SeriesFile>)| {
        let by_step = files.iter().all(|file| file.step.is_some());
        files.sort_by_key(|file| file.order(by_step));
        let numbered = files.iter().filter(|file| file.epoch.is_some() || file.step.is_some()).count();
        let orders: Vec<(u64, u64)> = files.iter().map(|file| file.order(by_step)).collect();
        let grows = orders.windows(2).all(|pair| pair[0] < pair[1]);
        (files.len() > 1 && numbered > 0 && grows).then_some(Series { name: run.name, files })
    };
    runs.into_iter().filter_map(series).collect()
}

/// What the files of a run have in common.
struct Run {
    name: String,
    session: Option<String>,
}

impl Run {
    fn is_same(&self, other: &Run) -> bool {
        let same_session = self.session.is_some() && self.session == other.session;
        same_session || self.name.eq_ignore_ascii_case(&other.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &[(&str, &str)])]) -> Vec<(String, Vec<usize>)> {
        let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let metadata: Vec<BTreeMap<String, String>> =
            files.iter().map(|(_, entries)| entries.iter().map(entry).collect()).collect();
        let candidates: Vec<SeriesCandidate> =
            files.iter().zip(&metadata).map(|(file, metadata)| SeriesCandidate { name: file.0, metadata }).collect();
        let order = |series: Series| (series.name, series.files.iter().map(|file| file.index).collect());
        find_series(&candidates).into_iter().map(order).collect()
    }

    #[test]
    fn runs_are_found_by_name() {
        let files = [
            ("cat.safetensors", &[][..]),
            ("cat-000010.safetensors", &[]),
            ("Cat-000002.safetensors", &[]),
            ("dog.safetensors", &[]),
        ];
        assert_eq!(found(&files), [("cat".to_owned(), vec![2, 1, 0])], "the file without a number is the last");
        assert!(found(&[("cat.safetensors", &[]), ("dog.safetensors", &[])]).is_empty());
        assert!(found(&[("a/cat.safetensors", &[]), ("b/cat.safetensors", &[])]).is_empty(), "copies are no run");
    }

    #[test]
    fn headers_come_before_names() {
        let at = |epoch, step| [("ss_session_id", "7"), ("ss_epoch", epoch), ("ss_steps", step)];
        let (first, second, last) = (at("1", "100"), at("2", "200"), at("3", "300"));
        let files = [
            ("final.safetensors", &last[..]),
            ("renamed.safetensors", &first[..]),
            ("cat-000009.safetensors", &second[..]),
        ];
        assert_eq!(found(&files)[0].1, [1, 2, 0]);
        let of_ai_toolkit = |info| [("training_info", info)];
        let (early, late) =
            (of_ai_toolkit(r#"{"step": 250, "epoch": 4}"#), of_ai_toolkit(r#"{"step": 500, "epoch": 9}"#));
        assert_eq!(found(&[("x_000000500.safetensors", &late), ("x_000000250.safetensors", &early)])[0].1, [1, 0]);
    }
}
