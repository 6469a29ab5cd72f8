//! Turns a prompt that changes on the way, `a [cat:dog:0.5]`, into the prompts of the steps.
//!
//! The grammar is that of AUTOMATIC1111's web UI, 1.6 and later: `[a:b:n]` is a, and b after step n;
//! `[b:n]` comes after step n, `[a::n]` goes; `[a|b]` takes turns, step by step. A number with a
//! point is a share of the steps, one without a step. Choices stand in each other and in brackets of
//! weight. Brackets, colons and what a backslash precedes stay in the text for `parse_attention`.
//!
//! As there, a prompt with a `|` outside of such brackets, or with a backslash that precedes
//! nothing, is one text for all steps. Where brackets are left over, so that the grammar has several
//! readings, every choice that can be one is one; there, one in a hundred such prompts keeps a choice as text.

use crate::num::to_whole;
use std::collections::BTreeSet;

/// The prompt of each stretch of a run of `steps` steps, with the last step that it holds for, in
/// their order. Neighbours may be equal.
///
/// This is what the web UI's `get_learned_conditioning_prompt_schedules` gives for a run without a
/// second pass. For samplers that call the model twice a step it takes twice the steps.
pub fn schedule(prompt: &str, steps: usize) -> Vec<(usize, String)> {
    let Some(pieces) = parse(prompt, steps) else { return vec![(steps, prompt.into())] };
    let mut ends = BTreeSet::from([steps]);
    for piece in &pieces {
        match piece {
            Piece::Open(Choice::Switch { after, .. }) if *after >= 1 => ends.extend(usize::try_from(*after)),
            Piece::Open(Choice::Turns { .. }) => ends.extend(1..=steps),
            _ => {}
        }
    }
    ends.into_iter().map(|step| (step, at_step(&pieces, step))).collect()
}

/// The place in a [`schedule`] of the text that the web UI draws with at model call `call`.
///
/// It counts calls from 0 and steps from 1, so that `[a:b:3]` draws with `a` at 4 calls.
pub fn text_at(schedule: &[(usize, String)], call: usize) -> usize {
    schedule.iter().position(|(until, _)| call <= *until).unwrap_or(0)
}

/// A part of the prompt. The branches of a choice stand one after the other between its brackets.
enum Piece<'a> {
    /// Stands in every prompt for which the branches around it are chosen.
    Text(&'a str),
    /// The first branch of a choice begins.
    Open(Choice),
    /// The next branch begins.
    Next,
    /// The last branch ends.
    Close,
}

/// Which branch of a choice stands at a step.
#[derive(Clone, Copy)]
enum Choice {
    /// `colons` branches, then the number: the last branch after step `after`, the one before it until then.
    Switch { colons: usize, after: i64 },
    /// One after the other.
    Turns { branches: usize },
}

impl Choice {
    fn branch(self, step: usize) -> Option<usize> {
        match self {
            Choice::Switch { colons, after } => colons.checked_sub(if step as i64 <= after { 2 } else { 1 }),
            Choice::Turns { branches } => Some(step.saturating_sub(1) % branches),
        }
    }
}

/// An open bracket.
struct Bracket {
    /// Its place among the pieces.
    open: usize,
    round: bool,
    /// Whether all brackets inside make sense.
    sound: bool,
    colons: Vec<usize>,
    bars: Vec<usize>,
}

/// The prompt's pieces; None when the grammar has no place for one of its marks.
fn parse(prompt: &str, steps: usize) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut open: Vec<Bracket> = Vec::new();
    let mut rest = prompt;
    while !rest.is_empty() {
        let (text, tail) = split_mark(rest)?;
        rest = tail;
        let place = pieces.len();
        pieces.push(Piece::Text(text));
        match text {
            "(" | "[" => {
                let (colons, bars) = (Vec::new(), Vec::new());
                open.push(Bracket { open: place, round: text == "(", sound: true, colons, bars });
            }
            ":" => open.last_mut().into_iter().for_each(|bracket| bracket.colons.push(place)),
            "|" => open.last_mut()?.bars.push(place),
            ")" | "]" => match open.pop() {
                Some(bracket) if bracket.round == (text == ")") => {
                    let sound = close(&mut pieces, &bracket, steps);
                    if !sound && !bracket.bars.is_empty() {
                        return None;
                    }
                    open.last_mut().into_iter().for_each(|outer| outer.sound &= sound);
                }
                // Brackets that do not match are text, and so are those around them.
                other => plain(other.into_iter().chain(open.drain(..)))?,
            },
            _ => {}
        }
    }
    plain(open.into_iter())?;
    Some(pieces)
}

/// Brackets that turn out to be text: fine, if they hold no `|`.
fn plain(brackets: impl Iterator<Item = Bracket>) -> Option<()> {
    brackets.into_iter().all(|bracket| bracket.bars.is_empty()).then_some(())
}

/// Ends a bracket: the marks of a choice replace its text. False when the whole makes no sense.
fn close(pieces: &mut [Piece], bracket: &Bracket, steps: usize) -> bool {
    let end = pieces.len() - 1;
    let choice = match (bracket.round, bracket.colons.as_slice(), bracket.bars.len()) {
        _ if !bracket.sound => return false,
        (true, [] | [_], 0) | (false, [], 0) => return true,
        (false, [], bars) => Choice::Turns { branches: bars + 1 },
        (false, [.., last], 0) if bracket.colons.len() <= 2 => match pieces[last + 1..end] {
            [Piece::Text(number)] if let Some(after) = last_step(number, steps) => {
                Choice::Switch { colons: bracket.colons.len(), after }
            }
            _ => return false,
        },
        _ => return false,
    };
    pieces[bracket.open] = Piece::Open(choice);
    bracket.colons.iter().chain(&bracket.bars).for_each(|place| pieces[*place] = Piece::Next);
    pieces[end] = Piece::Close;
    true
}

/// `0.5` of 20 steps is step 10, `12` is step 12.
fn last_step(number: &str, steps: usize) -> Option<i64> {
    let number = number.trim();
    let digits = number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E'));
    let value: f64 = number.parse().ok().filter(|_| digits)?;
    let step = if number.contains('.') { value * steps as f64 } else { value };
    Some(to_whole(step).min(steps as i64))
}

/// One bracket, colon or bar, or the text up to the next; None for a backslash that precedes nothing.
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

/// The prompt of a step.
fn at_step(pieces: &[Piece], step: usize) -> String {
    let mut prompt = String::new();
    let mut choices: Vec<(Choice, usize, bool)> = Vec::new();
    let mut stands = true;
    for piece in pieces {
        match piece {
            Piece::Text(text) if stands => prompt.push_str(text),
            Piece::Text(_) => {}
            Piece::Open(choice) => {
                choices.push((*choice, 0, stands));
                stands &= choice.branch(step) == Some(0);
            }
            Piece::Next => {
                if let Some((choice, branch, around)) = choices.last_mut() {
                    *branch += 1;
                    stands = *around && choice.branch(step) == Some(*branch);
                }
            }
            Piece::Close => stands = choices.pop().is_some_and(|(_, _, around)| around),
        }
    }
    prompt
}
