//! Prompt weighting: `a (red:1.3) [hat]`.
//!
//! The grammar is that of AUTOMATIC1111's web UI, 1.6 and later:
//! `(x)` multiplies by 1.1, `[x]` divides by 1.1, `(x:1.3)` multiplies by 1.3, a backslash escapes the
//! next mark, unclosed brackets end with the prompt, and `BREAK` is a separate piece.

/// Factor of a pair of round brackets without a number.
const EMPHASIS: f64 = 1.1;
/// Maximum nesting depth of brackets that change the weight: 1.1^256 is beyond any meaningful weight.
const MAX_DEPTH: usize = 256;

/// Parses a prompt into pieces with weights (1 = plain); adjacent pieces of equal weight are merged.
///
/// `BREAK` becomes the piece `("BREAK", -1.0)`, multiplied by the brackets around it. The result is
/// never empty: an empty prompt is one empty piece. An invalid number (`1.2.3`) is text. Only the outer
/// 256 levels of nested brackets have an effect.
pub fn parse_attention(text: &str) -> Vec<(String, f64)> {
    let mut pieces: Vec<(String, f64)> = Vec::new();
    let (mut round, mut square) = (Vec::new(), Vec::new());
    let scale = |pieces: &mut [(String, f64)], from: usize, factor: f64| {
        pieces.iter_mut().skip(from).for_each(|piece| piece.1 *= factor);
    };
    let mut rest = text;
    while !rest.is_empty() {
        let (mark, tail) = next_mark(rest);
        rest = tail;
        let from = if round.len() + square.len() < MAX_DEPTH { pieces.len() } else { usize::MAX };
        match mark {
            Mark::Escaped(text) => pieces.push((text.into(), 1.0)),
            Mark::Text("(") => round.push(from),
            Mark::Text("[") => square.push(from),
            Mark::Text(")") if !round.is_empty() => scale(&mut pieces, round.pop().unwrap_or(0), EMPHASIS),
            Mark::Text("]") if !square.is_empty() => scale(&mut pieces, square.pop().unwrap_or(0), 1.0 / EMPHASIS),
            Mark::Weight(_, weight) if !round.is_empty() => scale(&mut pieces, round.pop().unwrap_or(0), weight),
            Mark::Text(text) | Mark::Weight(text, _) => push_with_breaks(&mut pieces, text),
        }
    }
    for (open, factor) in [(round, EMPHASIS), (square, 1.0 / EMPHASIS)] {
        open.into_iter().for_each(|from| scale(&mut pieces, from, factor));
    }
    if pieces.is_empty() {
        pieces.push((String::new(), 1.0));
    }
    pieces.dedup_by(|next, piece| {
        let same = next.1 == piece.1;
        if same {
            piece.0.push_str(&next.0);
        }
        same
    });
    pieces
}

/// A token of the grammar.
enum Mark<'a> {
    /// Plain text, or a single bracket or colon.
    Text(&'a str),
    /// The escaped character, without its backslash: a bracket, a backslash, or nothing.
    Escaped(&'a str),
    /// `:number)`, as text and as a number.
    Weight(&'a str, f64),
}

/// Splits the first mark off a non-empty text.
fn next_mark(text: &str) -> (Mark<'_>, &str) {
    const MARKS: [char; 6] = ['\\', '(', ')', '[', ']', ':'];
    if let Some(after) = text.strip_prefix('\\') {
        let (escaped, tail) = after.split_at(usize::from(after.starts_with(['(', ')', '[', ']', '\\'])));
        return (Mark::Escaped(escaped), tail);
    }
    if let Some(after) = text.strip_prefix(':').map(str::trim_start)
        && let sign = usize::from(after.starts_with(['+', '-']))
        && let digits = after[sign..].find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(after.len() - sign)
        && let (number, after) = after.split_at(sign + digits)
        && let Some(tail) = after.trim_start().strip_prefix(')')
        && let Ok(weight) = number.parse()
    {
        return (Mark::Weight(&text[..text.len() - tail.len()], weight), tail);
    }
    let length = match text.find(MARKS) {
        Some(0) => 1,
        found => found.unwrap_or(text.len()),
    };
    let (text, tail) = text.split_at(length);
    (Mark::Text(text), tail)
}

/// Appends text, with each `BREAK` that is a separate word as a piece of weight -1, without the whitespace
/// around it.
fn push_with_breaks(pieces: &mut Vec<(String, f64)>, text: &str) {
    const BREAK: &str = "BREAK";
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut start, mut from) = (0, 0);
    while let Some(at) = text[from..].find(BREAK).map(|at| from + at) {
        from = at + BREAK.len();
        if text[..at].ends_with(is_word) || text[from..].starts_with(is_word) {
            continue;
        }
        pieces.push((text[start..at].trim_end().into(), 1.0));
        pieces.push((BREAK.into(), -1.0));
        start = text.len() - text[from..].trim_start().len();
        from = start;
    }
    pieces.push((text[start..].into(), 1.0));
}
