//! Turns a pickle's opcodes into the values that they describe.
//!
//! CPython's Lib/pickletools.py, protocols 0 to 5. Time and memory are proportional to the bytes:
//! values live in one list and refer to each other by index.

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

/// The most names that are listed of one pickle; one with tensors needs a dozen.
const MAX_IMPORTS: usize = 1000;

/// The names that one pickle imports, in order and once each, as far as it can be followed, and
/// how many bytes it took; none where it ends in the middle or breaks the rules.
pub fn imports(bytes: &[u8]) -> (Vec<String>, Option<usize>) {
    let mut machine = Machine { imports: Some(Vec::new()), ..Machine::new(bytes) };
    let whole = loop {
        match machine.step() {
            Ok(None) => {}
            Ok(Some(_)) => break true,
            Err(_) => break false,
        }
    };
    let len = machine.at;
    (machine.imports.unwrap_or_default(), whole.then_some(len))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Every name so far, where they are only listed; otherwise one that is not harmless is an error.
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

    /// A name that the pickle imports.
    fn global(&mut self, name: String) -> Result<Value, FormatError> {
        let Some(imports) = &mut self.imports else { return allow(name).map(Value::Global) };
        if imports.len() < MAX_IMPORTS && !imports.contains(&name) {
            imports.push(name.clone());
        }
        Ok(Value::Global(name))
    }

    fn bad(&self, what: &str) -> FormatError {
        FormatError::BadPickle(format!("{what} at byte {}", self.at))
    }

    fn take(&mut self, len: u64) -> Result<&[u8], FormatError> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let Some(bytes) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(FormatError::PickleEnds(self.at));
        };
        self.at += bytes.len();
        Ok(bytes)
    }

    fn number(&mut self, len: u64) -> Result<u64, FormatError> {
        Ok(self.take(len)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Result<String, FormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(FormatError::PickleEnds(self.at));
        };
        let line = String::from_utf8_lossy(self.take(len as u64)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn text(&mut self, len: u64) -> Result<Value, FormatError> {
        Ok(Value::Text(String::from_utf8_lossy(self.take(len)?).into_owned()))
    }

    /// `length` bytes for a length, then as many bytes that no reader needs.
    fn skip(&mut self, length: u64) -> Result<Value, FormatError> {
        let len = self.number(length)?;
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
            return Err(self.bad("a value is taken from an empty stack"));
        }
        self.stack.pop().ok_or_else(|| self.bad("a value is taken from an empty stack"))
    }

    /// Everything above the last mark.
    fn above_mark(&mut self) -> Result<Vec<Id>, FormatError> {
        let mark = self.marks.pop().ok_or_else(|| self.bad("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn top(&mut self) -> Result<&mut Value, FormatError> {
        let id = *self.stack.last().ok_or(FormatError::BadPickle("a container is missing".into()))?;
        Ok(&mut self.values[id])
    }

    fn last(&mut self, count: usize) -> Result<(), FormatError> {
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

    fn remember(&mut self, key: u64) -> Result<(), FormatError> {
        let id = *self.stack.last().ok_or_else(|| self.bad("nothing to remember"))?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), FormatError> {
        let id = *self.memo.get(&key).ok_or_else(|| self.bad("an unknown value is recalled"))?;
        self.stack.push(id);
        Ok(())
    }

    /// A call is described, not made; the few that stand for plain values become those.
    fn call(&mut self) -> Result<(), FormatError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = self.values[function].clone() else {
            if self.imports.is_none() {
                return Err(self.bad("something other than a name is called"));
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

    /// Reads one opcode; gives the root at the last.
    fn step(&mut self) -> Result<Option<Id>, FormatError> {
        match self.take(1)?[0] {
            b'.' => return self.pop().map(Some),
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.above_mark()?),
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
                let value = low_word(self.number(4)?).cast_signed();
                self.push(Value::Int(value.into()));
            }
            0x8a => {
                let len = self.number(1)?;
                self.long(len)?;
            }
            0x8b => {
                let len = self.number(4)?;
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
                let list = self.above_mark()?;
                self.push(Value::List(list));
            }
            b'd' => {
                let items = self.above_mark()?;
                self.push(Value::Dict(Vec::new()));
                self.set(items)?;
            }
            0x85 => self.last(1)?,
            0x86 => self.last(2)?,
            0x87 => self.last(3)?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.above_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.above_mark()?;
                self.set(items)?;
            }
            b'p' => {
                let key = self.line()?.parse().map_err(|_| self.bad("a memo key is no number"))?;
                self.remember(key)?;
            }
            b'q' => {
                let key = self.number(1)?;
                self.remember(key)?;
            }
            b'r' => {
                let key = self.number(4)?;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'g' => {
                let key = self.line()?.parse().map_err(|_| self.bad("a memo key is no number"))?;
                self.recall(key)?;
            }
            b'h' => {
                let key = self.number(1)?;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)?;
                self.recall(key)?;
            }
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                let value = self.global(name)?;
                self.push(value);
            }
            b'i' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.global(name)?;
                self.above_mark()?;
                self.push(Value::None);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(name), Value::Text(module)) = (&self.values[name], &self.values[module]) else {
                    return Err(self.bad("a name is put together from something other than text"));
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
            other => return Err(self.bad(&format!("the opcode {other:#04x} has no place in a tensor file"))),
        }
        Ok(None)
    }

    fn integer(&mut self, len: u64) -> Result<(), FormatError> {
        let value = self.number(len)? as i64;
        self.push(Value::Int(value));
        Ok(())
    }

    /// Two's complement; integers above 64 bits are sizes of nothing.
    fn long(&mut self, len: u64) -> Result<(), FormatError> {
        let bytes = self.take(len)?;
        let value = (bytes.len() <= 8).then(|| {
            let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) { u64::MAX } else { 0 };
            bytes.iter().rev().fold(fill, |value, &byte| value << 8 | u64::from(byte)) as i64
        });
        self.push(value.map_or(Value::None, Value::Int));
        Ok(())
    }

    fn string(&mut self, length: u64) -> Result<(), FormatError> {
        let len = self.number(length)?;
        let text = self.text(len)?;
        self.push(text);
        Ok(())
    }

    fn opaque(&mut self, length: u64) -> Result<(), FormatError> {
        let value = self.skip(length)?;
        self.push(value);
        Ok(())
    }
}
