//! Interpreter of pickle opcodes that describes values without running code.
//!
//! CPython's Lib/pickletools.py, protocols 0 to 5. Time and memory are proportional to the bytes: values are kept in
//! one list and refer to each other by index.

use super::FormatError;
use super::pickle::{Id, Pickle, Value, allow};
use crate::num::low_word;
use std::collections::HashMap;

/// Reads one pickle from the start of `bytes`.
pub fn read(bytes: &[u8]) -> Result<Pickle, FormatError> {
    let mut machine = Machine::new(bytes);
    let root = loop {
        if let Some(root) = machine.step()? {
            break root;
        }
    };
    Ok(Pickle { values: machine.values, root, len: machine.at })
}

/// Maximum number of globals listed per pickle; one with tensors needs a dozen.
const MAX_IMPORTS: usize = 1000;

/// Returns the globals that one pickle imports, in order and without duplicates, up to the first error, and the
/// pickle's length in bytes, or `None` if it is truncated or invalid.
pub fn imports(bytes: &[u8]) -> (Vec<String>, Option<usize>) {
    let mut machine = Machine { imports: Some(Vec::new()), ..Machine::new(bytes) };
    let is_complete = loop {
        match machine.step() {
            Ok(None) => {}
            Ok(Some(_)) => break true,
            Err(_) => break false,
        }
    };
    let len = machine.at;
    (machine.imports.unwrap_or_default(), is_complete.then_some(len))
}

/// Returns an error for the first global that is not harmless in the pickles at the start of `bytes`.
pub fn check_imports(bytes: &[u8]) -> Result<(), FormatError> {
    let mut rest = bytes;
    loop {
        let (names, len) = imports(rest);
        // Other bytes may parse as a few pickle opcodes, but rarely as a complete import.
        names.into_iter().try_for_each(|name| allow(name).map(|_| ()))?;
        match len.and_then(|len| rest.get(len..)) {
            Some(next) if !next.is_empty() => rest = next,
            _ => return Ok(()),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// Offset of the next byte.
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Stack heights at each MARK.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Globals so far, if they are only listed; with `None`, one that is not harmless is an error.
    imports: Option<Vec<String>>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Machine<'a> {
        Machine {
            bytes,
            at: 0,
            values: vec![Value::None],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            imports: None,
        }
    }

    /// Records a global that the pickle imports, or rejects it.
    fn global(&mut self, name: String) -> Result<Value, FormatError> {
        let Some(imports) = &mut self.imports else { return allow(name).map(Value::Global) };
        if imports.len() < MAX_IMPORTS && !imports.contains(&name) {
            imports.push(name.clone());
        }
        Ok(Value::Global(name))
    }

    fn error(&self, what: &str) -> FormatError {
        FormatError::BadPickle(format!("{what} at byte {}", self.at))
    }

    fn take(&mut self, len: u64) -> Result<&[u8], FormatError> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let Some(bytes) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(FormatError::PickleTruncated(self.at));
        };
        self.at += bytes.len();
        Ok(bytes)
    }

    /// Reads a little-endian unsigned integer of `len` bytes.
    fn read_le(&mut self, len: u64) -> Result<u64, FormatError> {
        Ok(self.take(len)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Result<String, FormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(FormatError::PickleTruncated(self.at));
        };
        let line = String::from_utf8_lossy(self.take(len as u64)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn text(&mut self, len: u64) -> Result<Value, FormatError> {
        Ok(Value::Text(String::from_utf8_lossy(self.take(len)?).into_owned()))
    }

    /// Skips bytes that the readers do not need, after their length in `width` bytes.
    fn skip(&mut self, width: u64) -> Result<Value, FormatError> {
        let len = self.read_le(width)?;
        self.take(len)?;
        Ok(Value::None)
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, FormatError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.error("stack underflow"));
        }
        self.stack.pop().ok_or_else(|| self.error("stack underflow"))
    }

    /// Pops the last MARK and the values above it.
    fn pop_mark(&mut self) -> Result<Vec<Id>, FormatError> {
        let mark = self.marks.pop().ok_or_else(|| self.error("missing MARK"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn top(&mut self) -> Result<&mut Value, FormatError> {
        let id = *self.stack.last().ok_or(FormatError::BadPickle("no container on the stack".into()))?;
        Ok(&mut self.values[id])
    }

    /// Replaces the last `count` values by a tuple of them.
    fn tuple(&mut self, count: usize) -> Result<(), FormatError> {
        let mut list = (0..count).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
        list.reverse();
        self.push(Value::List(list));
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), FormatError> {
        if let Value::List(list) = self.top()? {
            list.extend(items);
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Result<(), FormatError> {
        if let Value::Dict(pairs) = self.top()? {
            pairs.extend(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)));
        }
        Ok(())
    }

    fn memoize(&mut self, key: u64) -> Result<(), FormatError> {
        let id = *self.stack.last().ok_or_else(|| self.error("no value to memoize"))?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn push_memo(&mut self, key: u64) -> Result<(), FormatError> {
        let id = *self.memo.get(&key).ok_or_else(|| self.error("unknown memo key"))?;
        self.stack.push(id);
        Ok(())
    }

    /// Describes a call without executing it; the few calls that build plain values become those values.
    fn call(&mut self) -> Result<(), FormatError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = self.values[function].clone() else {
            if self.imports.is_none() {
                return Err(self.error("call of something other than a global"));
            }
            self.push(Value::None);
            return Ok(());
        };
        let first = match &self.values[arguments] {
            Value::List(list) => list.first().copied(),
            _ => None,
        };
        match (function.as_str(), first) {
            ("collections.OrderedDict", None) => self.push(Value::Dict(Vec::new())),
            ("torch._utils._rebuild_parameter" | "torch.Size", Some(first)) => self.stack.push(first),
            _ => self.push(Value::Call { function, arguments }),
        }
        Ok(())
    }

    /// Executes one opcode. Returns the root value at STOP.
    fn step(&mut self) -> Result<Option<Id>, FormatError> {
        match self.take(1)?[0] {
            b'.' => return self.pop().map(Some),
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let id = self.pop()?;
                self.stack.extend([id, id]);
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Int(1)),
            0x89 => self.push(Value::Int(0)),
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let value = low_word(self.read_le(4)?).cast_signed();
                self.push(Value::Int(value.into()));
            }
            0x8a => {
                let len = self.read_le(1)?;
                self.long(len)?;
            }
            0x8b => {
                let len = self.read_le(4)?;
                self.long(len)?;
            }
            b'I' | b'L' => {
                let line = self.line()?;
                let value = line.trim_end_matches('L').parse().map_or(Value::None, Value::Int);
                self.push(value);
            }
            b'F' => {
                self.line()?;
                self.push(Value::None);
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::None);
            }
            b'X' => self.string(4)?,
            0x8c => self.string(1)?,
            0x8d => self.string(8)?,
            b'T' => self.string(4)?,
            b'U' => self.string(1)?,
            b'V' | b'S' => {
                let line = self.line()?;
                self.push(Value::Text(line.trim_matches(['\'', '"']).into()));
            }
            b'B' => self.opaque(4)?,
            b'C' => self.opaque(1)?,
            0x8e | 0x96 => self.opaque(8)?,
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | b')' | 0x8f => self.push(Value::List(Vec::new())),
            b't' | b'l' | 0x91 => {
                let list = self.pop_mark()?;
                self.push(Value::List(list));
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(Vec::new()));
                self.set(items)?;
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(items)?;
            }
            b'p' => {
                let key = self.line()?.parse().map_err(|_| self.error("memo key is not a number"))?;
                self.memoize(key)?;
            }
            b'q' => {
                let key = self.read_le(1)?;
                self.memoize(key)?;
            }
            b'r' => {
                let key = self.read_le(4)?;
                self.memoize(key)?;
            }
            0x94 => self.memoize(self.memo.len() as u64)?,
            b'g' => {
                let key = self.line()?.parse().map_err(|_| self.error("memo key is not a number"))?;
                self.push_memo(key)?;
            }
            b'h' => {
                let key = self.read_le(1)?;
                self.push_memo(key)?;
            }
            b'j' => {
                let key = self.read_le(4)?;
                self.push_memo(key)?;
            }
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                let value = self.global(name)?;
                self.push(value);
            }
            b'i' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.global(name)?;
                self.pop_mark()?;
                self.push(Value::None);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(name), Value::Text(module)) = (&self.values[name], &self.values[module]) else {
                    return Err(self.error("STACK_GLOBAL with operands that are not strings"));
                };
                let name = format!("{module}.{name}");
                let value = self.global(name)?;
                self.push(value);
            }
            b'R' | 0x81 => self.call()?,
            b'b' => drop(self.pop()?),
            b'Q' => {
                let description = self.pop()?;
                self.push(Value::Persistent(description));
            }
            other => return Err(self.error(&format!("unexpected opcode {other:#04x}"))),
        }
        Ok(None)
    }

    fn integer(&mut self, len: u64) -> Result<(), FormatError> {
        let value = self.read_le(len)? as i64;
        self.push(Value::Int(value));
        Ok(())
    }

    /// Reads a two's complement integer; those above 64 bits are not sizes and become `None`.
    fn long(&mut self, len: u64) -> Result<(), FormatError> {
        let bytes = self.take(len)?;
        let value = (bytes.len() <= 8).then(|| {
            let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) { u64::MAX } else { 0 };
            bytes.iter().rev().fold(fill, |value, &byte| value << 8 | u64::from(byte)) as i64
        });
        self.push(value.map_or(Value::None, Value::Int));
        Ok(())
    }

    fn string(&mut self, width: u64) -> Result<(), FormatError> {
        let len = self.read_le(width)?;
        let text = self.text(len)?;
        self.push(text);
        Ok(())
    }

    fn opaque(&mut self, width: u64) -> Result<(), FormatError> {
        let value = self.skip(width)?;
        self.push(value);
        Ok(())
    }
}
