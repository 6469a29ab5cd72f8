//! Prompt templates: alternatives `{red|blue}` and wildcards `__colors__`, from which a seed chooses.
//!
//! The syntax and the choices are those of the web UI's extension sd-dynamic-prompts: `{0.5::a|b}` weighs an
//! alternative, `{2$$a|b|c}` and `{1-2$$ and $$a|b|c}` choose several, `__name__` a line of name.txt, also
//! `__animals/*__`. Lines may be templates themselves. A seed chooses what it chooses there. Variables and the other samplers are refused.

use super::python_random::PythonRandom;

/// Maximum nesting depth of alternatives and wildcards.
const MAX_DEPTH: usize = 64;
/// Marks a wildcard's name.
const WILDCARD: &str = "__";
/// Ends the number of alternatives to choose, and the text between them.
const COUNT_END: &str = "$$";

/// A template that cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A wildcard without a file.
    #[error("no file for the wildcard {WILDCARD}{0}{WILDCARD}: open {0}.txt")]
    Missing(String),
    /// Brackets that do not match.
    #[error("a {{ in the prompt is never closed: add a }}")]
    Open,
    /// Syntax that is not supported.
    #[error("`{0}` in the prompt is not supported: only {{a|b}} and {WILDCARD}name{WILDCARD} are")]
    Unsupported(String),
    /// A wildcard that contains itself.
    #[error("alternatives or wildcards are nested more than {MAX_DEPTH} deep: does a file contain its own wildcard?")]
    Deep,
}

/// The lines of the wildcards' files, by the files' names without extension, with folders before them.
#[derive(Debug, Clone, Default)]
pub struct Wildcards {
    files: Vec<(String, String)>,
}

impl Wildcards {
    /// Adds a text file.
    pub fn add(&mut self, name: &str, text: &str) {
        let name = name.replace('\\', "/");
        self.files.push((name.strip_suffix(".txt").unwrap_or(&name).to_owned(), text.to_owned()));
    }

    /// Returns the different lines of all files that a name fits, sorted. Empty lines and comments are left out.
    fn lines(&self, name: &str) -> Vec<String> {
        let name = name.trim_matches('/');
        let found = |pattern: &str| {
            let texts = self.files.iter().filter(|(file, _)| fits(file.as_bytes(), pattern.as_bytes()));
            let lines = texts.flat_map(|(_, text)| text.trim_start_matches('\u{feff}').lines().map(str::trim));
            let mut lines: Vec<String> =
                lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
            lines.sort();
            lines.dedup();
            lines
        };
        let lines = found(name);
        if lines.is_empty() { found(&format!("*/{name}")) } else { lines }
    }
}

/// Returns whether a file's name fits a pattern with `*` and `?`.
fn fits(name: &[u8], pattern: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, _) => name.is_empty(),
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skipped| fits(&name[skipped..], rest)),
        (Some((b'?', rest)), Some((_, tail))) => fits(tail, rest),
        (Some((wanted, rest)), Some((found, tail))) => wanted.eq_ignore_ascii_case(found) && fits(tail, rest),
        (Some(_), None) => false,
    }
}

/// Fills a template: the seed chooses among the alternatives.
///
/// # Errors
/// [`TemplateError`] if a wildcard has no file, or the syntax is not supported.
pub fn fill(template: &str, seed: u64, wildcards: &Wildcards) -> Result<String, TemplateError> {
    let mut filler = Filler { random: PythonRandom::new(seed), wildcards };
    filler.text(template, 0)
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Choice(Choice),
    /// The name of a wildcard, which may be a template.
    Wildcard(Vec<Part>),
}

/// `{2$$, $$a|0.5::b}`
#[derive(Debug, Clone, PartialEq)]
struct Choice {
    /// Smallest and largest number of alternatives to choose.
    count: (usize, usize),
    separator: String,
    options: Vec<(f64, Vec<Part>)>,
}

/// Parses parts up to the end of the text or, inside of brackets, to a `|` or `}`, where the rest begins.
fn parse(text: &str, is_inside: bool, depth: usize) -> Result<(Vec<Part>, &str), TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::Deep);
    }
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(mark) = rest.chars().next() {
        if is_inside && matches!(mark, '|' | '}') {
            break;
        }
        let wildcard = rest.strip_prefix(WILDCARD).and_then(|rest| rest.split_once(WILDCARD));
        let wildcard = wildcard.filter(|(name, _)| !name.is_empty() && !name.contains(['\n', '(', ')']));
        let part = match (mark, wildcard) {
            ('{', _) => {
                let (choice, tail) = parse_choice(&rest[1..], depth + 1)?;
                rest = tail;
                Part::Choice(choice)
            }
            ('$' | '%', _) if rest[1..].starts_with('{') => {
                return Err(TemplateError::Unsupported(rest.chars().take(12).collect()));
            }
            ('_', Some((name, tail))) => {
                let name = name.strip_prefix('~').unwrap_or(name);
                if name.starts_with(['@', '!']) {
                    return Err(TemplateError::Unsupported(format!("{WILDCARD}{name}{WILDCARD}")));
                }
                rest = tail;
                Part::Wildcard(parse(name, false, depth + 1)?.0)
            }
            _ => {
                plain.push(mark);
                rest = &rest[mark.len_utf8()..];
                continue;
            }
        };
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(part);
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok((parts, rest))
}

/// Parses alternatives from after the opening bracket, and returns what follows the closing one.
fn parse_choice(text: &str, depth: usize) -> Result<(Choice, &str), TemplateError> {
    let text = text.trim_start();
    if text.starts_with(['@', '!']) {
        return Err(TemplateError::Unsupported(format!("{{{}", text.chars().take(12).collect::<String>())));
    }
    let text = text.strip_prefix('~').unwrap_or(text);
    let (count, mut rest) = parse_count(text);
    let mut separator = ",";
    if count.is_some()
        && let Some((found, tail)) = rest.split_once(COUNT_END)
        && !found.is_empty()
        && !found.contains(['{', '}', '$', '\n'])
    {
        (separator, rest) = (found, tail);
    }
    let mut options = Vec::new();
    loop {
        let option = rest.trim_start();
        let weight = option.split_once("::").and_then(|(number, tail)| Some((number.parse::<f64>().ok()?, tail)));
        let weight = weight.filter(|(weight, _)| weight.is_finite() && *weight >= 0.0);
        let (weight, option) = weight.unwrap_or((1.0, option));
        let (parts, tail) = parse(option, true, depth)?;
        options.push((weight, parts));
        rest = tail.get(1..).ok_or(TemplateError::Open)?;
        if tail.starts_with('}') {
            break;
        }
    }
    let (low, high) = count.unwrap_or((Some(1), Some(1)));
    let (low, high) = (low.unwrap_or(1), high.unwrap_or(options.len()));
    Ok((Choice { count: (low.min(high), low.max(high)), separator: separator.to_owned(), options }, rest))
}

/// Parses `2$$`, `1-2$$`, `-2$$` or `1-$$`.
fn parse_count(text: &str) -> (Option<(Option<usize>, Option<usize>)>, &str) {
    let parsed = text.split_once(COUNT_END).and_then(|(count, rest)| {
        let number = |text: &str| match text.trim() {
            "" => Some(None),
            digits => digits.parse().ok().map(Some),
        };
        let ends = match count.split_once('-') {
            Some((low, high)) => (number(low)?, number(high)?),
            None => (number(count)?, number(count)?),
        };
        (ends != (None, None)).then_some((ends, rest))
    });
    parsed.map_or((None, text), |(ends, rest)| (Some(ends), rest))
}

/// Fills templates.
struct Filler<'a> {
    random: PythonRandom,
    wildcards: &'a Wildcards,
}

impl Filler<'_> {
    fn text(&mut self, template: &str, depth: usize) -> Result<String, TemplateError> {
        let (parts, _) = parse(template, false, depth)?;
        self.parts(&parts, depth)
    }

    fn parts(&mut self, parts: &[Part], depth: usize) -> Result<String, TemplateError> {
        if depth > MAX_DEPTH {
            return Err(TemplateError::Deep);
        }
        let mut filled = String::new();
        for part in parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Choice(choice) => filled += &self.choice(choice, depth + 1)?,
                Part::Wildcard(name) => {
                    let lines = self.lines(name, depth)?;
                    let line = &lines[self.random.below(lines.len())];
                    filled += &self.text(line, depth + 1)?;
                }
            }
        }
        Ok(filled)
    }

    /// Returns the lines of a wildcard, at least one.
    fn lines(&mut self, name: &[Part], depth: usize) -> Result<Vec<String>, TemplateError> {
        let name = self.parts(name, depth + 1)?;
        let lines = self.wildcards.lines(&name);
        if lines.is_empty() { Err(TemplateError::Missing(name)) } else { Ok(lines) }
    }

    fn choice(&mut self, choice: &Choice, depth: usize) -> Result<String, TemplateError> {
        let Choice { count, separator, options } = choice;
        let several;
        let options = match options.as_slice() {
            [(_, only)] => match only.as_slice() {
                // The lines of a wildcard that stands alone are the alternatives.
                [Part::Wildcard(name)] => {
                    let lines = self.lines(name, depth)?;
                    let parsed = lines.iter().map(|line| Ok((1.0, parse(line, false, depth)?.0)));
                    several = parsed.collect::<Result<Vec<_>, TemplateError>>()?;
                    match several.as_slice() {
                        [(_, line)] => return self.parts(line, depth),
                        options => options,
                    }
                }
                only => return self.parts(only, depth),
            },
            options => options,
        };
        let (low, high) = (count.0.min(options.len()), count.1.min(options.len()));
        let number = low + self.random.below(high - low + 1);
        let mut left = options.to_vec();
        let chosen: Vec<Vec<Part>> = (0..number).map(|_| self.take(&mut left)).collect();
        let texts = chosen.iter().map(|parts| self.parts(parts, depth)).collect::<Result<Vec<_>, _>>()?;
        let joined = texts.join(separator);
        if texts.len() < 2 {
            return Ok(joined);
        }
        // An empty alternative at an end leaves no separator.
        let joined = joined.strip_prefix(separator.as_str()).unwrap_or(&joined);
        Ok(joined.strip_suffix(separator.as_str()).unwrap_or(joined).to_owned())
    }

    /// Takes an alternative out of a list. As in the extension, the first of the weights that equal its own goes with
    /// it.
    fn take(&mut self, left: &mut Vec<(f64, Vec<Part>)>) -> Vec<Part> {
        let weights: Vec<f64> = left.iter().map(|option| option.0).collect();
        let chosen = left[self.random.weighted(&weights)].1.clone();
        let first = left.iter().position(|option| option.1 == chosen).unwrap_or(0);
        let mut kept = weights;
        let weight = kept[first];
        kept.remove(kept.iter().position(|other| *other == weight).unwrap_or(first));
        left.remove(first);
        left.iter_mut().zip(kept).for_each(|(option, weight)| option.0 = weight);
        chosen
    }
}
