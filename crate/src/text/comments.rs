//! Comments in prompts of AUTOMATIC1111's web UI: from `#` to the end of the line.

/// Removes comments, with the line breaks around them replaced by one.
///
/// Equals the web UI's `strip_comments`: first the comments that fill a line, then those after text.
pub fn strip_comments(prompt: &str) -> String {
    let mut without_lines = String::with_capacity(prompt.len());
    let mut rest = prompt;
    let mut is_start = true;
    loop {
        let found = match is_start && rest.starts_with('#') {
            true => Some((0, 1)),
            false => rest.find("\n#").map(|at| (at, 2)),
        };
        is_start = false;
        let Some((at, mark)) = found else { break };
        without_lines.push_str(&rest[..at]);
        without_lines.push('\n');
        rest = after_line(&rest[at + mark..]);
    }
    without_lines.push_str(rest);
    let mut clean = String::with_capacity(without_lines.len());
    let mut rest = without_lines.as_str();
    while let Some((before, comment)) = rest.split_once('#') {
        clean.push_str(before);
        clean.push('\n');
        rest = after_line(comment);
    }
    clean + rest
}

/// Returns the text after the first line break.
fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, after)| after)
}
