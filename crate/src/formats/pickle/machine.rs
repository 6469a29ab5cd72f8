//! The machine that pickle opcodes control: the bytes, a stack with marks, and a memo.

use super::super::FormatError;
use super::escapes::unescaped;
use super::opcodes::{BINGET, BINPUT, LONG_BINGET, LONG_BINPUT};
use super::value::{Id, Value};
use crate::num::low_word;
use crate::sentence::{Sentence, sentence};
use std::collections::HashMap;

/// Id of the first value, which is `None`.
pub const NOTHING: Id = 0;

/// The state of a read.
pub struct Machine<'a> {
    pub bytes: &'a [u8],
    /// Offset of the next byte.
    pub at: usize,
    pub values: Vec<Value>,
    pub stack: Vec<Id>,
    /// Stack heights at each MARK.
    pub marks: Vec<usize>,
    pub memo: HashMap<u64, Id>,
    /// The values of the globals so far, by name.
    pub globals: HashMap<String, Id>,
    /// Globals so far, if they are only listed; with `None`, one that is not harmless is an error. A list is as
    /// complete as possible: it tolerates a wrong stack.
    pub imports: Option<Vec<String>>,
    /// Whether the stack was found wrong.
    pub is_wrong: bool,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8]) -> Machine<'a> {
        Machine {
            bytes,
            at: 0,
            values: vec![Value::None],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            globals: HashMap::new(),
            imports: None,
            is_wrong: false,
        }
    }

    /// Returns an error about the stack, or `instead` if the globals are only listed.
    pub fn wrong<T>(&mut self, what: &str, instead: T) -> Result<T, FormatError> {
        self.is_wrong = true;
        if self.imports.is_some() { Ok(instead) } else { Err(self.error(sentence!(what))) }
    }

    pub fn error(&self, what: Sentence) -> FormatError {
        FormatError::BadPickle(sentence!("detail.pickle", what = what, at = self.at).into())
    }

    pub fn take(&mut self, len: u64) -> Result<&[u8], FormatError> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let Some(bytes) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(FormatError::PickleTruncated(self.at));
        };
        self.at += bytes.len();
        Ok(bytes)
    }

    /// Reads a little-endian unsigned integer of `len` bytes.
    pub fn read_le(&mut self, len: u64) -> Result<u64, FormatError> {
        Ok(self.take(len)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    pub fn line(&mut self) -> Result<String, FormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(FormatError::PickleTruncated(self.at));
        };
        let line = String::from_utf8_lossy(self.take(len as u64)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    pub fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    /// Pushes an unsigned integer of at most 4 bytes.
    pub fn unsigned(&mut self, len: u64) -> Result<(), FormatError> {
        let value = self.read_le(len)? as i64;
        self.push(Value::Int(value));
        Ok(())
    }

    /// Pushes a signed integer of 4 bytes.
    pub fn signed(&mut self) -> Result<(), FormatError> {
        let value = low_word(self.read_le(4)?).cast_signed();
        self.push(Value::Int(value.into()));
        Ok(())
    }

    /// Pushes a two's complement integer, after its length in `width` bytes; those above 64 bits are not sizes and
    /// become `None`.
    pub fn long(&mut self, width: u64) -> Result<(), FormatError> {
        let len = self.read_le(width)?;
        let bytes = self.take(len)?;
        let value = (bytes.len() <= 8).then(|| {
            let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) { u64::MAX } else { 0 };
            bytes.iter().rev().fold(fill, |value, &byte| value << 8 | u64::from(byte)) as i64
        });
        self.push(value.map_or(Value::None, Value::Int));
        Ok(())
    }

    /// Pushes an integer in decimal digits.
    pub fn decimal(&mut self) -> Result<(), FormatError> {
        let line = self.line()?;
        let value = line.trim_end_matches('L').parse().map_or(Value::None, Value::Int);
        self.push(value);
        Ok(())
    }

    /// Pushes `None` for a number in decimal digits, which the readers do not need.
    pub fn float_line(&mut self) -> Result<(), FormatError> {
        self.line()?;
        self.push(Value::None);
        Ok(())
    }

    /// Pushes text, after its length in `width` bytes.
    pub fn text(&mut self, width: u64) -> Result<(), FormatError> {
        let len = self.read_le(width)?;
        let text = String::from_utf8_lossy(self.take(len)?).into_owned();
        self.push(Value::Text(text));
        Ok(())
    }

    /// Pushes the text of a line, in quotes and with Python's escape sequences if `is_quoted`, else with `\uXXXX` only.
    pub fn text_line(&mut self, is_quoted: bool) -> Result<(), FormatError> {
        let line = self.line()?;
        let quote = line.trim().chars().next().filter(|quote| is_quoted && matches!(quote, '\'' | '"'));
        let bare = quote.and_then(|quote| line.trim().strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(&line);
        self.push(Value::Text(unescaped(bare, is_quoted)));
        Ok(())
    }

    /// Pushes `None` for bytes, after their length in `width` bytes.
    pub fn byte_string(&mut self, width: u64) -> Result<(), FormatError> {
        let len = self.read_le(width)?;
        self.skip(len)
    }

    /// Pushes `None` for `len` bytes that the readers do not need.
    pub fn skip(&mut self, len: u64) -> Result<(), FormatError> {
        self.take(len)?;
        self.push(Value::None);
        Ok(())
    }

    pub fn pop(&mut self) -> Result<Id, FormatError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > floor { self.stack.pop() } else { None };
        value.map_or_else(|| self.wrong("pickle.underflow", NOTHING), Ok)
    }

    /// Pops the last MARK and the values above it.
    pub fn pop_mark(&mut self) -> Result<Vec<Id>, FormatError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark.min(self.stack.len()))),
            None => self.wrong("pickle.no_mark", Vec::new()),
        }
    }

    /// Pops a value, or the MARK above all values.
    pub fn pop_any(&mut self) -> Result<(), FormatError> {
        if self.marks.pop_if(|mark| *mark >= self.stack.len()).is_none() {
            self.pop()?;
        }
        Ok(())
    }

    pub fn top(&mut self) -> Result<&mut Value, FormatError> {
        let id = match self.stack.last() {
            Some(&id) => id,
            None => self.wrong("pickle.no_container", NOTHING)?,
        };
        Ok(&mut self.values[id])
    }

    pub fn duplicate(&mut self) -> Result<(), FormatError> {
        let id = self.pop()?;
        self.stack.extend([id, id]);
        Ok(())
    }

    /// Replaces the last `count` values by a tuple of them.
    pub fn tuple(&mut self, count: usize) -> Result<(), FormatError> {
        let mut list = (0..count).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
        list.reverse();
        self.push(Value::List(list));
        Ok(())
    }

    /// Replaces the last MARK and the values above it by a list of them.
    pub fn marked_list(&mut self) -> Result<(), FormatError> {
        let list = self.pop_mark()?;
        self.push(Value::List(list));
        Ok(())
    }

    /// Replaces the last MARK and the keys and values above it by a dictionary of them.
    pub fn marked_dict(&mut self) -> Result<(), FormatError> {
        let items = self.pop_mark()?;
        self.push(Value::Dict(Vec::new()));
        self.set(items)
    }

    pub fn append(&mut self, items: Vec<Id>) -> Result<(), FormatError> {
        if let Value::List(list) = self.top()? {
            list.extend(items);
        }
        Ok(())
    }

    pub fn set(&mut self, items: Vec<Id>) -> Result<(), FormatError> {
        if !items.len().is_multiple_of(2) {
            return self.wrong("pickle.no_value", ());
        }
        if let Value::Dict(pairs) = self.top()? {
            pairs.extend(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)));
        }
        Ok(())
    }

    /// Reads the memo key of a PUT or GET opcode.
    pub fn memo_key(&mut self, opcode: u8) -> Result<u64, FormatError> {
        match opcode {
            BINPUT | BINGET => self.read_le(1),
            LONG_BINPUT | LONG_BINGET => self.read_le(4),
            _ => match self.line()?.trim().parse() {
                Ok(key) => Ok(key),
                Err(_) => self.wrong("pickle.memo_number", u64::MAX),
            },
        }
    }

    pub fn memoize(&mut self, key: u64) -> Result<(), FormatError> {
        let id = match self.stack.last() {
            Some(&id) => id,
            None => self.wrong("pickle.memo_value", NOTHING)?,
        };
        self.memo.insert(key, id);
        Ok(())
    }

    pub fn push_memo(&mut self, key: u64) -> Result<(), FormatError> {
        let id = match self.memo.get(&key) {
            Some(&id) => id,
            None => self.wrong("pickle.memo_key", NOTHING)?,
        };
        self.stack.push(id);
        Ok(())
    }
}
