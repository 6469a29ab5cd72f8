//! Training information from a header's metadata: settings, datasets, buckets, tags and trigger words.
//! Missing information is omitted. training.toml lists the metadata keys.

use crate::model::toml_table;
use crate::num::{parse_number, to_whole};
use crate::sentence::{Sentence, Value as Words, sentence};
use crate::sorting;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use ts_rs::TS;

/// Maximum number of listed tags.
const MAX_TAGS: usize = 100;

/// Minimum fraction of a folder's captions that contain a trigger word.
const TRIGGER_FREQUENCY: f64 = 0.95;

/// Training information from a header.
#[derive(Debug, Clone, PartialEq, Default, Serialize, TS)]
pub struct Training {
    /// The trainer, detected from its metadata keys.
    pub trainer: Option<String>,
    /// Settings in a fixed order; missing ones are omitted.
    pub settings: Vec<Setting>,
    /// Trigger words, most certain first.
    pub trigger_words: Vec<TriggerWord>,
    /// The most frequent caption tags, at most 100.
    pub tags: Vec<TagCount>,
    /// Number of distinct tags.
    pub tag_total: usize,
    /// Folders of training images.
    pub datasets: Vec<Dataset>,
    /// Resolution buckets.
    pub buckets: Vec<Bucket>,
    /// The metadata key that holds a preview image as a data URL.
    pub preview_key: Option<String>,
}

/// A training setting.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Setting {
    /// Identifier: `optimizer`, …
    pub name: String,
    /// Display name.
    pub label: Sentence,
    /// Its value: a text of the header, or a phrase.
    #[ts(type = "Sentence | string")]
    pub value: Words,
}

/// A trigger word.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct TriggerWord {
    /// The word or phrase.
    pub text: String,
    /// Its source: a metadata key, or a phrase that names a folder.
    #[ts(type = "Sentence | string")]
    pub source: Words,
}

/// A tag and its number of captions.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct TagCount {
    /// The tag.
    pub tag: String,
    /// Number of captions with the tag.
    #[ts(type = "number")]
    pub count: u64,
}

/// A folder of training images.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Dataset {
    /// Folder name.
    pub folder: String,
    /// Number of images.
    #[ts(type = "number")]
    pub images: u64,
    /// Repeats of each image per epoch.
    #[ts(type = "number")]
    pub repeats: u64,
}

/// A resolution bucket.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Bucket {
    /// Width in pixels.
    #[ts(type = "number")]
    pub width: u64,
    /// Height in pixels.
    #[ts(type = "number")]
    pub height: u64,
    /// Number of images, counting repeats.
    #[ts(type = "number")]
    pub images: u64,
}

#[derive(Deserialize)]
struct Table {
    setting: Vec<Row>,
    trainer: Vec<Mark>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    keys: Vec<String>,
    #[serde(default)]
    shape: Shape,
    /// The key with the start of a duration.
    since: Option<String>,
}

/// Format of a value.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shape {
    #[default]
    Plain,
    /// Seconds since 1970, or any other text unchanged.
    Time,
    /// A difference in seconds.
    Duration,
    /// A path, shortened to its file name.
    File,
    /// A Python call, without its package path.
    Call,
    /// "(512, 512)" or "512x512".
    Size,
    /// A flag, omitted unless true.
    True,
}

#[derive(Deserialize)]
struct Mark {
    name: String,
    key: String,
    holds: Option<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml_table::parse(embedded!("analysis/training.toml")).expect("training.toml is checked by a test")
});

/// Returns the training information in the metadata; `None` if there is none.
pub fn training(metadata: &BTreeMap<String, String>) -> Option<Training> {
    let source = Source { metadata, parsed: HashMap::new() };
    let found = source.training();
    (found != Training::default()).then_some(found)
}

/// Metadata with a cache of parsed JSON values.
struct Source<'a> {
    metadata: &'a BTreeMap<String, String>,
    parsed: HashMap<&'a str, Value>,
}

impl<'a> Source<'a> {
    fn training(mut self) -> Training {
        let marked = |mark: &&Mark| {
            let holds = |value: &String| mark.holds.as_ref().is_none_or(|word| value.contains(word.as_str()));
            self.metadata.get(&mark.key).is_some_and(holds)
        };
        let trainer = TABLE.trainer.iter().find(marked).map(|mark| mark.name.clone());
        let mut settings: Vec<Setting> = Vec::new();
        for row in &TABLE.setting {
            let Some(value) = row.keys.iter().find_map(|key| self.value(key)) else { continue };
            let since = row.since.as_ref().and_then(|key| self.value(key));
            let Some(value) = row.shape.format(&value, since.as_deref()) else { continue };
            let label = sentence!(&format!("setting.{}", row.name));
            settings.push(Setting { name: row.name.clone(), label, value });
        }
        let folders = self.folders();
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (tag, count) in folders.iter().flat_map(|folder| &folder.tags) {
            *counts.entry(tag).or_default() += count;
        }
        let mut tags: Vec<TagCount> =
            counts.into_iter().map(|(tag, count)| TagCount { tag: tag.to_owned(), count }).collect();
        sorting::sort_by_key(&mut tags, |tag| std::cmp::Reverse(tag.count));
        let tag_total = tags.len();
        tags.truncate(MAX_TAGS);
        Training {
            trainer,
            settings,
            trigger_words: self.trigger_words(&folders),
            tags,
            tag_total,
            datasets: folders.iter().filter_map(Folder::dataset).collect(),
            buckets: self.buckets(),
            preview_key: self.preview_key(),
        }
    }

    /// Returns the parsed JSON under a key.
    fn json(&mut self, key: &str) -> Option<&Value> {
        let (key, text) = self.metadata.get_key_value(key)?;
        if !self.parsed.contains_key(key.as_str()) {
            self.parsed.insert(key, serde_json::from_str(text).unwrap_or(Value::Null));
        }
        self.parsed.get(key.as_str())
    }

    /// Returns the value under a key or JSON path as text; `None` if it is missing or empty.
    fn value(&mut self, key: &str) -> Option<String> {
        let text = match key.split_once('/') {
            None => self.metadata.get(key)?.clone(),
            Some((key, path)) => {
                let value = path.split('/').try_fold(self.json(key)?, |value, part| match part.parse::<usize>() {
                    Ok(index) if value.is_array() => value.get(index),
                    _ => value.get(part),
                })?;
                match value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    Value::Bool(value) => value.to_string(),
                    Value::Array(list) => list.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
                    _ => return None,
                }
            }
        };
        let text = text.trim();
        (!matches!(text, "" | "None" | "null" | "{}" | "[]")).then(|| text.to_owned())
    }

    /// Returns the image folders with their tags, from sd-scripts' older keys and its newer list of datasets.
    fn folders(&mut self) -> Vec<Folder> {
        let mut folders: Vec<Folder> = Vec::new();
        let json = |key: &str, source: &mut Self| source.json(key).cloned().unwrap_or(Value::Null);
        add_folders(&mut folders, &json("ss_dataset_dirs", self), &json("ss_tag_frequency", self));
        for dataset in json("ss_datasets", self).as_array().into_iter().flatten() {
            let mut dataset_folders = Vec::new();
            add_folders(&mut dataset_folders, &Value::Null, &dataset["tag_frequency"]);
            for subset in dataset["subsets"].as_array().into_iter().flatten() {
                let path = subset["image_dir"].as_str().unwrap_or_default();
                let folder = entry(&mut dataset_folders, path.rsplit(['/', '\\']).next().unwrap_or(path));
                folder.images = folder.images.max(subset["img_count"].as_u64().unwrap_or(0));
                folder.repeats = folder.repeats.max(subset["num_repeats"].as_u64().unwrap_or(0));
            }
            folders.extend(dataset_folders);
        }
        folders
    }

    fn trigger_words(&mut self, folders: &[Folder]) -> Vec<TriggerWord> {
        let mut words: Vec<TriggerWord> = Vec::new();
        let mut add = |text: &str, source: Words| {
            let text = text.trim();
            if !text.is_empty() && !words.iter().any(|word| word.text.eq_ignore_ascii_case(text)) {
                words.push(TriggerWord { text: text.into(), source });
            }
        };
        for key in ["modelspec.trigger_phrase", "trigger_words", "trained_words", "instance_prompt", "trigger_word"] {
            for text in self.value(key).iter().flat_map(|text| text.split(',')) {
                add(text.trim_matches(['[', ']', '"', ' ']), key.into());
            }
        }
        for folder in folders {
            let captions =
                if folder.images > 0 { folder.images } else { folder.tags.iter().map(|tag| tag.1).max().unwrap_or(0) };
            let is_frequent = |count: u64| captions > 1 && count as f64 >= TRIGGER_FREQUENCY * captions as f64;
            for (tag, _) in folder.tags.iter().filter(|(_, count)| is_frequent(*count)).take(3) {
                add(tag, sentence!("trigger.captions", folder = &folder.name).into());
            }
            // sd-scripts folder names: REPEATS_CONCEPT.
            if let Some((repeats, concept)) = folder.name.split_once('_')
                && repeats.parse::<u32>().is_ok()
            {
                add(concept, sentence!("trigger.folder", folder = &folder.name).into());
            }
        }
        words
    }

    fn buckets(&mut self) -> Vec<Bucket> {
        let mut list = Vec::new();
        let mut add = |info: &Value| {
            for bucket in info["buckets"].as_object().into_iter().flat_map(|buckets| buckets.values()) {
                let integer = |value: &Value| value.as_u64().unwrap_or(0);
                let (width, height) = (integer(&bucket["resolution"][0]), integer(&bucket["resolution"][1]));
                if width > 0 && height > 0 {
                    list.push(Bucket { width, height, images: integer(&bucket["count"]) });
                }
            }
        };
        if let Some(info) = self.json("ss_bucket_info") {
            add(info);
        }
        if let Some(datasets) = self.json("ss_datasets") {
            datasets.as_array().into_iter().flatten().for_each(|dataset| add(&dataset["bucket_info"]));
        }
        sorting::sort_by_key(&mut list, |bucket| std::cmp::Reverse(bucket.images));
        list
    }

    fn preview_key(&self) -> Option<String> {
        let image = |(_, value): &(&String, &String)| value.starts_with("data:image/");
        self.metadata.iter().find(image).map(|(key, _)| key.clone())
    }
}

/// An image folder with its caption tags.
struct Folder {
    name: String,
    images: u64,
    repeats: u64,
    tags: Vec<(String, u64)>,
}

impl Folder {
    fn dataset(&self) -> Option<Dataset> {
        let Folder { name, images, repeats, .. } = self;
        (*images > 0).then(|| Dataset { folder: name.clone(), images: *images, repeats: *repeats })
    }
}

fn entry<'a>(folders: &'a mut Vec<Folder>, name: &str) -> &'a mut Folder {
    let at = folders.iter().position(|folder| folder.name == name).unwrap_or_else(|| {
        folders.push(Folder { name: name.into(), images: 0, repeats: 0, tags: Vec::new() });
        folders.len() - 1
    });
    &mut folders[at]
}

/// Adds sd-scripts' maps of image counts and tag counts per folder.
fn add_folders(folders: &mut Vec<Folder>, directories: &Value, frequencies: &Value) {
    for (name, directory) in directories.as_object().into_iter().flatten() {
        let folder = entry(folders, name);
        folder.images += directory["img_count"].as_u64().unwrap_or(0);
        folder.repeats = directory["n_repeats"].as_u64().unwrap_or(0);
    }
    for (name, tags) in frequencies.as_object().into_iter().flatten() {
        let folder = entry(folders, name);
        let counts = tags.as_object().into_iter().flatten();
        folder.tags.extend(counts.filter_map(|(tag, count)| Some((tag.trim().to_owned(), count.as_u64()?))));
    }
}

impl Shape {
    /// Formats a value for display; `None` if there is nothing to show.
    fn format(self, value: &str, since: Option<&str>) -> Option<Words> {
        let seconds = |text: &str| parse_number(text).filter(|seconds| seconds.is_finite());
        Some(match self {
            Shape::Plain => value.into(),
            Shape::Time => seconds(value).map_or_else(|| value.into(), |seconds| date(seconds).into()),
            Shape::Duration => {
                let seconds = (seconds(value)? - seconds(since?)?).max(0.0);
                let seconds = to_whole(seconds).unsigned_abs();
                sentence!("value.duration", hours = seconds / 3600, minutes = seconds % 3600 / 60).into()
            }
            Shape::File => value.rsplit(['/', '\\']).next().unwrap_or(value).into(),
            Shape::Call => {
                let name = value.split('(').next().unwrap_or(value);
                let short = name.rsplit('.').next().unwrap_or(name);
                format!("{short}{}", &value[name.len()..]).into()
            }
            Shape::Size => {
                let sides: Vec<&str> =
                    value.split(|c: char| !c.is_ascii_digit()).filter(|side| !side.is_empty()).collect();
                match sides.as_slice() {
                    [side] => format!("{side} x {side}").into(),
                    [width, height] => format!("{width} x {height}").into(),
                    _ => value.into(),
                }
            }
            Shape::True => matches!(value, "True" | "true" | "1").then(|| sentence!("value.yes").into())?,
        })
    }
}

/// Formats seconds since 1970 as a date (Hinnant, "chrono-compatible low-level date algorithms").
fn date(seconds: f64) -> String {
    let days = to_whole((seconds / 86400.0).floor()).saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Option<Training> {
        training(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    /// Returns a setting's value, or "".
    fn setting(training: &Training, name: &str) -> String {
        let setting = training.settings.iter().find(|setting| setting.name == name);
        setting.map(|setting| setting.value.to_string()).unwrap_or_default()
    }

    #[test]
    fn sd_scripts_metadata_gives_settings_tags_and_buckets() {
        let found = read(&[
            ("ss_network_module", "networks.lora"),
            ("ss_network_dim", "32"),
            ("ss_network_alpha", "16.0"),
            ("ss_network_args", r#"{"conv_dim": "8", "conv_alpha": "4"}"#),
            ("ss_optimizer", "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)"),
            ("ss_unet_lr", "0.0001"),
            ("ss_text_encoder_lr", "None"),
            ("ss_resolution", "(512, 768)"),
            ("ss_sd_model_name", "/models/sd/anything.safetensors"),
            ("ss_training_started_at", "1700000000.5"),
            ("ss_training_finished_at", "1700005400.5"),
            ("ss_v_parameterization", "False"),
            ("ss_tag_frequency", r#"{"10_ohwx man": {"ohwx man": 20, "smile": 5, " hat": 19}, "5_dog": {"smile": 2}}"#),
            ("ss_dataset_dirs", r#"{"10_ohwx man": {"n_repeats": 10, "img_count": 20}}"#),
            ("ss_bucket_info", r#"{"buckets": {"0": {"resolution": [512, 768], "count": 30}, "1": {"resolution": [768, 512], "count": 170}}}"#),
        ])
        .expect("metadata of a training");
        assert_eq!(found.trainer.as_deref(), Some("sd-scripts"));
        for (name, value) in [
            ("dim", "32"),
            ("conv_dim", "8"),
            ("optimizer", "AdamW8bit(weight_decay=0.1)"),
            ("text_learning_rate", ""),
            ("v_prediction", ""),
            ("resolution", "512 x 768"),
            ("base_model", "anything.safetensors"),
            ("date", "2023-11-14"),
            ("duration", "1 h 30 min"),
        ] {
            assert_eq!(setting(&found, name), value, "{name}");
        }
        let tags: Vec<(&str, u64)> = found.tags.iter().map(|tag| (tag.tag.as_str(), tag.count)).collect();
        assert_eq!(tags, [("ohwx man", 20), ("hat", 19), ("smile", 7)]);
        let words: Vec<&str> = found.trigger_words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words, ["ohwx man", "hat", "smile", "dog"]);
        assert_eq!(found.datasets, [Dataset { folder: "10_ohwx man".into(), images: 20, repeats: 10 }]);
        assert_eq!(found.buckets[0], Bucket { width: 768, height: 512, images: 170 });
    }

    #[test]
    fn other_trainers_are_recognized() {
        let found = read(&[
            ("software", r#"{"name": "ai-toolkit", "version": "0.1"}"#),
            ("training_info", r#"{"step": 2000, "epoch": 40}"#),
            ("name", "my_lora"),
        ]);
        let found = found.expect("metadata of a training");
        assert_eq!((found.trainer.as_deref(), setting(&found, "steps")), (Some("ai-toolkit"), "2000".into()));
        let found = read(&[("lora_adapter_metadata", r#"{"unet.r": 6, "unet.lora_alpha": 3}"#)]);
        let found = found.expect("metadata of a training");
        assert_eq!((setting(&found, "dim"), setting(&found, "alpha")), ("6".into(), "3".into()));
        let found = read(&[("ot_config", r#"{"lora_rank": 16, "optimizer": {"optimizer": "PRODIGY"}}"#)]);
        assert_eq!(setting(&found.expect("metadata"), "optimizer"), "PRODIGY");
        let datasets = r#"[{"resolution": [1024, 1024], "tag_frequency": {"": {"cat": 7}},
            "subsets": [{"img_count": 7, "num_repeats": 3, "image_dir": "C:\\data\\3_cat"}]}]"#;
        let found = read(&[("ss_datasets", datasets)]).expect("metadata");
        assert_eq!(setting(&found, "resolution"), "1024 x 1024");
        assert_eq!(found.datasets, [Dataset { folder: "3_cat".into(), images: 7, repeats: 3 }]);
    }

    #[test]
    fn missing_or_invalid_metadata_gives_nothing() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("format", "pt")]), None);
        assert_eq!(read(&[("ss_tag_frequency", "not json"), ("ss_bucket_info", "[1]")]), None);
        assert_eq!(date(951_782_400.0), "2000-02-29");
    }

    #[test]
    fn tags_are_limited_to_the_most_frequent() {
        let tags: Vec<String> = (0..1000).map(|tag| format!("\"tag {tag}\": {tag}")).collect();
        let found = read(&[("ss_tag_frequency", &format!("{{\"x\": {{{}}}}}", tags.join(",")))]).expect("metadata");
        assert_eq!((found.tags.len(), found.tag_total, &*found.tags[0].tag), (100, 1000, "tag 999"));
    }
}
