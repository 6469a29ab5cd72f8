//! Prompt editing: `a [cat:dog:0.5]`, and alternating words: `[cat|dog]`.
//!
//! The grammar is that of AUTOMATIC1111's web UI, 1.6 and later: `[a:b:n]` is a up to step n, then b;
//! `[b:n]` adds b after step n, `[a::n]` removes a; `[a|b]` alternates, step by step. A number with a
//! decimal point is a fraction of the steps, one without is a step. Choices can be nested in each other and
//! in weight brackets. Other brackets, colons and escaped characters stay in the text for `parse_attention`.
//!
//! As in the web UI, a prompt with a `|` outside of such brackets, or with a backslash at the end of a line,
//! is one text for all steps. If unbalanced brackets make the grammar ambiguous, everything that can be a
//! choice is one; the web UI keeps a choice as text in one of a hundred such prompts.

use crate::num::to_whole;
use std::collections::BTreeSet;

/// Returns the texts of a run of `steps` steps in order, each with the last step that it holds for. Adjacent
/// texts may be equal.
///
/// Equals the web UI's `get_learned_conditioning_prompt_schedules` for a run without Hires. fix. Samplers that
/// call the model twice per step need twice the steps.
pub fn schedule(prompt: &str, steps: usize) -> Vec<(usize, String)> {
    schedule_of_pass(prompt, Pass { steps, before: None })
}

/// A pass whose steps the numbers of choices refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Steps of the pass.
    pub steps: usize,
    /// Steps of the first pass, if this is the second (Hires. fix): fractions from 1 to 2 and steps after those of the
    /// first pass belong to the second.
    pub before: Option<usize>,
}

/// Returns the texts of a pass, as [`schedule`] does.
pub fn schedule_of_pass(prompt: &str, pass: Pass) -> Vec<(usize, String)> {
    let steps = pass.steps;
    let Some(pieces) = parse(prompt, pass) else { return vec![(steps, prompt.into())] };
    let mut ends = BTreeSet::from([steps]);
    for piece in &pieces {
        match piece {
            Piece::Open(Choice::Switch { after, .. }) if *after >= 1 => ends.extend(usize::try_from(*after)),
            Piece::Open(Choice::Alternate { .. }) => ends.extend(1..=steps),
            _ => {}
        }
    }
    ends.into_iter().map(|step| (step, at_step(&pieces, step))).collect()
}

/// Returns the index in a [`schedule`] of the text that the web UI uses at model call `call`.
///
/// It counts calls from 0 and steps from 1, so `[a:b:3]` uses `a` for 4 calls.
pub fn text_at<T>(schedule: &[(usize, T)], call: usize) -> usize {
    schedule.iter().position(|(until, _)| call <= *until).unwrap_or(0)
}

/// A part of the prompt. The branches of a choice follow each other between `Open` and `Close`.
enum Piece<'a> {
    /// Text, present if all branches around it are active.
    Text(&'a str),
    /// Start of a choice and of its first branch.
    Open(Choice),
    /// Start of the next branch.
    Next,
    /// End of the last branch.
    Close,
}

/// Rule for the active branch of a choice.
#[derive(Clone, Copy)]
enum Choice {
    /// `colons` branches, then the number: the last branch after step `after`, the one before it until then.
    Switch { colons: usize, after: i64 },
    /// One branch per step, cyclically.
    Alternate { branches: usize },
}

impl Choice {
    /// Returns the index of the active branch at a step.
    fn branch(self, step: usize) -> Option<usize> {
        match self {
            Choice::Switch { colons, after } => colons.checked_sub(if step as i64 <= after { 2 } else { 1 }),
            Choice::Alternate { branches } => Some(step.saturating_sub(1) % branches),
        }
    }
}

/// An open bracket.
struct Bracket {
    /// Index of its piece.
    open: usize,
    round: bool,
    /// Whether all brackets inside are valid.
    valid: bool,
    /// Indices of the pieces of its colons and bars.
    colons: Vec<usize>,
    bars: Vec<usize>,
}

/// Parses the prompt into pieces; `None` if the grammar does not allow one of its marks.
fn parse(prompt: &str, pass: Pass) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut open: Vec<Bracket> = Vec::new();
    let mut rest = prompt;
    while !rest.is_empty() {
        let (text, tail) = split_mark(rest)?;
        rest = tail;
        let index = pieces.len();
        pieces.push(Piece::Text(text));
        match text {
            "(" | "[" => {
                let (colons, bars) = (Vec::new(), Vec::new());
                open.push(Bracket { open: index, round: text == "(", valid: true, colons, bars });
            }
            ":" => open.last_mut().into_iter().for_each(|bracket| bracket.colons.push(index)),
            "|" => open.last_mut()?.bars.push(index),
            ")" | "]" => match open.pop() {
                Some(bracket) if bracket.round == (text == ")") => {
                    let valid = close(&mut pieces, &bracket, pass);
                    if !valid && !bracket.bars.is_empty() {
                        return None;
                    }
                    open.last_mut().into_iter().for_each(|outer| outer.valid &= valid);
                }
                // Brackets that do not match are text, and so are those around them.
                other => check_text(other.into_iter().chain(open.drain(..)))?,
            },
            _ => {}
        }
    }
    check_text(open.into_iter())?;
    Some(pieces)
}

/// Checks that brackets can be text, which must not contain `|`.
fn check_text(brackets: impl Iterator<Item = Bracket>) -> Option<()> {
    brackets.into_iter().all(|bracket| bracket.bars.is_empty()).then_some(())
}

/// Closes a bracket and replaces the pieces of its marks if it is a choice. Returns whether it is valid.
fn close(pieces: &mut [Piece], bracket: &Bracket, pass: Pass) -> bool {
    let end = pieces.len() - 1;
    let choice = match (bracket.round, bracket.colons.as_slice(), bracket.bars.len()) {
        _ if !bracket.valid => return false,
        (true, [] | [_], 0) | (false, [], 0) => return true,
        (false, [], bars) => Choice::Alternate { branches: bars + 1 },
        (false, [.., last], 0) if bracket.colons.len() <= 2 => match pieces[last + 1..end] {
            [Piece::Text(number)] if let Some(after) = last_step(number, pass) => {
                Choice::Switch { colons: bracket.colons.len(), after }
            }
            _ => return false,
        },
        _ => return false,
    };
    pieces[bracket.open] = Piece::Open(choice);
    bracket.colons.iter().chain(&bracket.bars).for_each(|index| pieces[*index] = Piece::Next);
    pieces[end] = Piece::Close;
    true
}

/// Parses the number of a choice: `0.5` of 20 steps is step 10, `12` is step 12; before the second pass, negative.
fn last_step(number: &str, Pass { steps, before }: Pass) -> Option<i64> {
    let number = number.trim();
    let is_numeric = number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E'));
    let value: f64 = number.parse().ok().filter(|_| is_numeric)?;
    let step = match number.contains('.') {
        true => (value - if before.is_some() { 1.0 } else { 0.0 }) * steps as f64,
        false => value - before.unwrap_or(0) as f64,
    };
    Some(to_whole(step).min(steps as i64))
}

/// Splits off one bracket, colon or bar, or the text up to the next; `None` for a backslash that escapes
/// nothing.
fn split_mark(text: &str) -> Option<(&str, &str)> {
    const MARKS: [char; 6] = ['(', ')', '[', ']', ':', '|'];
    if text.starts_with(MARKS) {
        return Some(text.split_at(1));
    }
    let mut end = 0;
    while let Some(at) = text[end..].find(['\\', '(', ')', '[', ']', ':', '|']).map(|at| end + at) {
        let Some(escaped) = text[at..].strip_prefix('\\') else { return Some(text.split_at(at)) };
        let first = escaped.chars().next().filter(|c| *c != '\n')?;
        end = at + 1 + first.len_utf8();
    }
    Some((text, ""))
}

/// Returns the prompt of a step.
fn at_step(pieces: &[Piece], step: usize) -> String {
    let mut prompt = String::new();
    let mut choices: Vec<(Choice, usize, bool)> = Vec::new();
    let mut active = true;
    for piece in pieces {
        match piece {
            Piece::Text(text) if active => prompt.push_str(text),
            Piece::Text(_) => {}
            Piece::Open(choice) => {
                choices.push((*choice, 0, active));
                active &= choice.branch(step) == Some(0);
            }
            Piece::Next => {
                if let Some((choice, branch, around)) = choices.last_mut() {
                    *branch += 1;
                    active = *around && choice.branch(step) == Some(*branch);
                }
            }
            Piece::Close => active = choices.pop().is_some_and(|(_, _, around)| around),
        }
    }
    prompt
}
