//! Escape sequences in the text of pickles of protocol 0.

/// Decodes the escape sequences of Python's string literals, or `\uXXXX` and `\UXXXXXXXX` only if it has no quotes.
/// Invalid ones are kept.
pub fn unescaped(text: &str, is_quoted: bool) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let kind = escape.chars().next().unwrap_or('\\');
        let after = escape.get(kind.len_utf8()..).unwrap_or_default();
        let (digits, radix) = match kind {
            'u' if !is_quoted => (after.get(..4), 16),
            'U' if !is_quoted => (after.get(..8), 16),
            'x' if is_quoted => (after.get(..2), 16),
            '0'..='7' if is_quoted => {
                let len = escape.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                (escape.get(..len), 8)
            }
            _ => (None, 16),
        };
        let decoded =
            digits.and_then(|digits| Some((digits, char::from_u32(u32::from_str_radix(digits, radix).ok()?)?)));
        let single = if is_quoted { single_escape(kind) } else { None };
        rest = match (decoded, single) {
            (Some((digits, letter)), _) => {
                out.push(letter);
                let skipped = digits.len() + if radix == 8 { 0 } else { 1 };
                escape.get(skipped..).unwrap_or_default()
            }
            (None, Some(letter)) => {
                out.push(letter);
                after
            }
            (None, None) => {
                out.push('\\');
                out.extend(escape.chars().next());
                after
            }
        };
    }
    out.push_str(rest);
    out
}

fn single_escape(kind: char) -> Option<char> {
    Some(match kind {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        '\\' | '\'' | '"' => kind,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of Python's `raw_unicode_escape` and of its string literals.
    #[test]
    fn escapes_are_decoded_as_by_python() {
        let check = |text: &str, quoted: &str, raw: &str| {
            assert_eq!((unescaped(text, true).as_str(), unescaped(text, false).as_str()), (quoted, raw), "{text}");
        };
        check(r"p\x6fsix \101\7z", "posix A\x07z", r"p\x6fsix \101\7z");
        check(r"p\u006fs", r"p\u006fs", "pos");
        check(r"\U0001F600\", r"\U0001F600\", "\u{1F600}\\");
        check(r"a\n\'\q\\", "a\n'\\q\\", r"a\n\'\q\\");
        check(r"\\u006f", r"\u006f", r"\\u006f");
        check(r"\ud800\xzz\ü\9", r"\ud800\xzz\ü\9", r"\ud800\xzz\ü\9");
    }
}
