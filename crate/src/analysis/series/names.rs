//! Epochs and steps in file names, as trainers write them.

/// What the number in a name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// Epochs.
    Epoch(u64),
    /// Steps.
    Step(u64),
}

/// Digits of kohya's epochs, as in `name-000001`.
const KOHYA_DIGITS: usize = 6;
/// Digits of ai-toolkit's steps, as in `name_000000500`.
const AI_TOOLKIT_DIGITS: usize = 9;

/// Splits a path into the name of the run and the number of the file: `name-000001`, `name-step00001000`, `name_epoch_3`,
/// `name-e3`, `name_000000500`, OneTrainer's `name-save-120-3-0` (step 120 in epoch 3), and folders such as
/// `checkpoint-500/pytorch_lora_weights`.
pub(super) fn split(path: &str) -> (String, Option<Mark>) {
    const SAME_IN_ALL: [&str; 4] = ["pytorch_lora_weights", "adapter_model", "lora", "model"];
    let path = path.replace('\\', "/");
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let folder = parts.next().filter(|_| SAME_IN_ALL.contains(&stem));
    marked(folder.unwrap_or(stem))
}

fn marked(stem: &str) -> (String, Option<Mark>) {
    if let Some((run, numbers)) = stem.rsplit_once("-save-")
        && let Some(step) = numbers.split('-').next().and_then(|step| step.parse().ok())
    {
        return (run.into(), Some(Mark::Step(step)));
    }
    let start = stem.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = &stem[start.len()..];
    let Ok(number) = digits.parse::<u64>() else { return (stem.into(), None) };
    let separators = ['-', '_', '.', ' '];
    let before = start.trim_end_matches(separators);
    let (run, word) = before.rsplit_once(separators).unwrap_or(("", before));
    let word = word.to_ascii_lowercase();
    let mark = match &word[..] {
        "step" | "steps" | "checkpoint" | "s" => Some(Mark::Step(number)),
        "epoch" | "epochs" | "ep" | "e" => Some(Mark::Epoch(number)),
        _ => None,
    };
    if mark.is_some() {
        return (run.trim_end_matches(separators).into(), mark);
    }
    let is_separated = before.len() < start.len();
    let mark = match digits.len() {
        AI_TOOLKIT_DIGITS.. => Some(Mark::Step(number)),
        KOHYA_DIGITS => Some(Mark::Epoch(number)),
        _ => None,
    };
    match mark.filter(|_| is_separated) {
        Some(mark) => (before.into(), Some(mark)),
        None => (stem.into(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_trainers_are_found() {
        let check = |path: &str, run: &str, mark| assert_eq!(split(path), (run.to_owned(), mark), "{path}");
        check("cat-000004.safetensors", "cat", Some(Mark::Epoch(4)));
        check("runs/cat-step00001000.safetensors", "cat", Some(Mark::Step(1000)));
        check("cat_epoch_3.safetensors", "cat", Some(Mark::Epoch(3)));
        check("my cat-e12.safetensors", "my cat", Some(Mark::Epoch(12)));
        check("cat_000000500.safetensors", "cat", Some(Mark::Step(500)));
        check("cat2024-save-120-3-0.safetensors", "cat2024", Some(Mark::Step(120)));
        check("run/checkpoint-500/pytorch_lora_weights.safetensors", "", Some(Mark::Step(500)));
        check("cat.safetensors", "cat", None);
        check("cat-v2.safetensors", "cat-v2", None);
        check("cat_2.safetensors", "cat_2", None);
        check("sd15.safetensors", "sd15", None);
    }
}
