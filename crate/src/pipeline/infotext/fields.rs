//! The `Name: value` pairs of an infotext's last line.

/// Splits a line into its comma-separated `Name: value` pairs. A value that is a JSON string, list or object
/// may itself contain commas. Text outside such pairs is returned with an empty name.
pub(super) fn parameters(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    let mut stray = String::new();
    while let Some((before, after)) = rest.split_once(':') {
        let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '-' | '/');
        let name = before.trim_end_matches(in_name).len();
        let name = name + before[name..].len() - before[name..].trim_start_matches([' ', '-', '/']).len();
        let (before, name) = before.split_at(name);
        if name.chars().nth(1).is_none() {
            stray += &rest[..rest.len() - after.len()];
            rest = after;
            continue;
        }
        stray += before;
        push_stray(&mut found, &mut stray);
        let after = after.trim_start();
        let length = json_length(after).unwrap_or_else(|| after.find(',').unwrap_or(after.len()));
        let (value, tail) = after.split_at(length);
        let value = value.trim_end();
        let unquoted = if value.starts_with('"') { serde_json::from_str(value).ok() } else { None };
        found.push((name.trim_end().to_owned(), unquoted.unwrap_or_else(|| value.to_owned())));
        rest = tail.strip_prefix(',').unwrap_or(tail);
    }
    stray += rest;
    push_stray(&mut found, &mut stray);
    found
}

fn push_stray(found: &mut Vec<(String, String)>, stray: &mut String) {
    let text = stray.trim_matches([' ', ',']);
    if !text.is_empty() {
        found.push((String::new(), text.to_owned()));
    }
    stray.clear();
}

/// Returns the length of the JSON value at the start of a text, if a comma or the end follows.
fn json_length(text: &str) -> Option<usize> {
    if !text.starts_with(['"', '[', '{']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    let tail = text[values.byte_offset()..].trim_start();
    (tail.is_empty() || tail.starts_with(',')).then_some(text.len() - tail.len())
}
