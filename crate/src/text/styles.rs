//! Styles of AUTOMATIC1111's web UI: named texts that are added to a prompt and a negative prompt, from styles.csv.

/// A style.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    /// Name.
    pub name: String,
    /// Text for the prompt, which takes the place of `{prompt}` in it, or follows it.
    pub prompt: String,
    /// Text for the negative prompt.
    pub negative: String,
}

impl Style {
    /// Adds the style to a prompt and a negative prompt.
    pub fn apply(&self, prompt: &str, negative: &str) -> (String, String) {
        (merged(&self.prompt, prompt), merged(&self.negative, negative))
    }
}

fn merged(style: &str, prompt: &str) -> String {
    if style.contains("{prompt}") {
        return style.replace("{prompt}", prompt);
    }
    let texts = [prompt.trim(), style.trim()].into_iter().filter(|text| !text.is_empty());
    texts.collect::<Vec<_>>().join(", ")
}

/// Reads the styles of a styles.csv. Rows without a name and dividers (`-----`) are left out.
pub fn read_styles(csv: &str) -> Vec<Style> {
    let mut rows = rows(csv.trim_start_matches('\u{feff}')).into_iter();
    let header = rows.next().unwrap_or_default();
    let column = |names: &[&str]| header.iter().position(|name| names.contains(&name.trim()));
    let (name, prompt, negative) = (column(&["name"]), column(&["prompt", "text"]), column(&["negative_prompt"]));
    let styles = rows.map(|row| {
        let cell = |at: Option<usize>| at.and_then(|at| row.get(at)).cloned().unwrap_or_default();
        Style { name: cell(name).trim().to_owned(), prompt: cell(prompt), negative: cell(negative) }
    });
    styles.filter(|style| !style.name.trim_matches('-').is_empty()).collect()
}

/// Splits a CSV file into rows of cells; cells in quotes may contain commas, line breaks and doubled quotes.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut letters) = (false, csv.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if is_quoted || cell.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell).trim_end_matches('\r').to_owned());
                rows.push(std::mem::take(&mut row));
            }
            _ => cell.push(letter),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}
