//! Interpreter of pickle opcodes that describes values without running code.
//!
//! Protocols 0 to 5. Time and memory are proportional to the bytes: values are kept in one list and refer to each
//! other by index.

use super::FormatError;
use super::escapes::unescaped;
use super::globals::{COMPUTED, Danger, allow, danger};
use super::pickle::{Id, Pickle, Value};
use crate::num::low_word;
use std::collections::HashMap;

// The opcodes, by their names in CPython's Lib/pickletools.py.
const STOP: u8 = b'.';
const POP: u8 = b'0';
const POP_MARK: u8 = b'1';
const DUP: u8 = b'2';
const MARK: u8 = b'(';
const FLOAT: u8 = b'F';
const INT: u8 = b'I';
const BININT: u8 = b'J';
const BININT1: u8 = b'K';
const LONG: u8 = b'L';
const BININT2: u8 = b'M';
const NONE: u8 = b'N';
const BINFLOAT: u8 = b'G';
const STRING: u8 = b'S';
const BINSTRING: u8 = b'T';
const SHORT_BINSTRING: u8 = b'U';
const UNICODE: u8 = b'V';
const BINUNICODE: u8 = b'X';
const BINBYTES: u8 = b'B';
const SHORT_BINBYTES: u8 = b'C';
const PERSID: u8 = b'P';
const BINPERSID: u8 = b'Q';
const REDUCE: u8 = b'R';
const BUILD: u8 = b'b';
const GLOBAL: u8 = b'c';
const INST: u8 = b'i';
const OBJ: u8 = b'o';
const EMPTY_DICT: u8 = b'}';
const DICT: u8 = b'd';
const EMPTY_LIST: u8 = b']';
const LIST: u8 = b'l';
const EMPTY_TUPLE: u8 = b')';
const TUPLE: u8 = b't';
const APPEND: u8 = b'a';
const APPENDS: u8 = b'e';
const SETITEM: u8 = b's';
const SETITEMS: u8 = b'u';
const GET: u8 = b'g';
const BINGET: u8 = b'h';
const LONG_BINGET: u8 = b'j';
const PUT: u8 = b'p';
const BINPUT: u8 = b'q';
const LONG_BINPUT: u8 = b'r';
const PROTO: u8 = 0x80;
const NEWOBJ: u8 = 0x81;
const EXT1: u8 = 0x82;
const EXT2: u8 = 0x83;
const EXT4: u8 = 0x84;
const TUPLE1: u8 = 0x85;
const TUPLE2: u8 = 0x86;
const TUPLE3: u8 = 0x87;
const NEWTRUE: u8 = 0x88;
const NEWFALSE: u8 = 0x89;
const LONG1: u8 = 0x8a;
const LONG4: u8 = 0x8b;
const SHORT_BINUNICODE: u8 = 0x8c;
const BINUNICODE8: u8 = 0x8d;
const BINBYTES8: u8 = 0x8e;
const EMPTY_SET: u8 = 0x8f;
const ADDITEMS: u8 = 0x90;
const FROZENSET: u8 = 0x91;
const NEWOBJ_EX: u8 = 0x92;
const STACK_GLOBAL: u8 = 0x93;
const MEMOIZE: u8 = 0x94;
const FRAME: u8 = 0x95;
const BYTEARRAY8: u8 = 0x96;
const NEXT_BUFFER: u8 = 0x97;
const READONLY_BUFFER: u8 = 0x98;

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

/// Maximum length of a global's name, in bytes.
const MAX_GLOBAL: usize = 1024;

/// Returns the globals that one pickle imports, in order and without duplicates, up to the first byte that is no
/// opcode, and the pickle's length in bytes, or `None` if it is truncated or invalid.
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

/// Returns an error for the first dangerous global in the pickles at the start of `bytes`.
pub fn check_dangers(bytes: &[u8]) -> Result<(), FormatError> {
    all_imports(bytes).find(|name| danger(name) == Danger::Dangerous).map_or(Ok(()), |name| allow(name).map(|_| ()))
}

/// Returns an error for the first dangerous global in the pickles at the start of `bytes`, else for the first that is
/// not harmless.
pub fn check_imports(bytes: &[u8]) -> Result<(), FormatError> {
    check_dangers(bytes)?;
    all_imports(bytes).try_for_each(|name| allow(name).map(|_| ()))
}

/// Returns the globals of consecutive pickles. Other bytes may parse as a few opcodes, but rarely as an import.
fn all_imports(bytes: &[u8]) -> impl Iterator<Item = String> {
    let mut rest = Some(bytes);
    let pickles = std::iter::from_fn(move || {
        let (names, len) = imports(rest.filter(|rest| !rest.is_empty())?);
        rest = len.and_then(|len| rest?.get(len..));
        Some(names)
    });
    pickles.flatten()
}

/// Returns whether a global with this name can exist; other bytes that parse as an import rarely have such a name.
fn is_name(name: &str) -> bool {
    name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '.'))
}

/// Id of the first value, which is `None`.
const NOTHING: Id = 0;

struct Machine<'a> {
    bytes: &'a [u8],
    /// Offset of the next byte.
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Stack heights at each MARK.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// The values of the globals so far, by name.
    globals: HashMap<String, Id>,
    /// Globals so far, if they are only listed; with `None`, one that is not harmless is an error. A list is as
    /// complete as possible: it tolerates a wrong stack.
    imports: Option<Vec<String>>,
    /// Whether the stack was found wrong.
    is_wrong: bool,
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
            globals: HashMap::new(),
            imports: None,
            is_wrong: false,
        }
    }

    /// Returns an error about the stack, or `instead` if the globals are only listed.
    fn wrong<T>(&mut self, what: &str, instead: T) -> Result<T, FormatError> {
        self.is_wrong = true;
        if self.imports.is_some() { Ok(instead) } else { Err(self.error(what)) }
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

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    /// Pushes an unsigned integer of at most 4 bytes.
    fn unsigned(&mut self, len: u64) -> Result<(), FormatError> {
        let value = self.read_le(len)? as i64;
        self.push(Value::Int(value));
        Ok(())
    }

    /// Pushes a signed integer of 4 bytes.
    fn signed(&mut self) -> Result<(), FormatError> {
        let value = low_word(self.read_le(4)?).cast_signed();
        self.push(Value::Int(value.into()));
        Ok(())
    }

    /// Pushes a two's complement integer, after its length in `width` bytes; those above 64 bits are not sizes and
    /// become `None`.
    fn long(&mut self, width: u64) -> Result<(), FormatError> {
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
    fn decimal(&mut self) -> Result<(), FormatError> {
        let line = self.line()?;
        let value = line.trim_end_matches('L').parse().map_or(Value::None, Value::Int);
        self.push(value);
        Ok(())
    }

    /// Pushes `None` for a number in decimal digits, which the readers do not need.
    fn float_line(&mut self) -> Result<(), FormatError> {
        self.line()?;
        self.push(Value::None);
        Ok(())
    }

    /// Pushes text, after its length in `width` bytes.
    fn text(&mut self, width: u64) -> Result<(), FormatError> {
        let len = self.read_le(width)?;
        let text = String::from_utf8_lossy(self.take(len)?).into_owned();
        self.push(Value::Text(text));
        Ok(())
    }

    /// Pushes the text of a line, in quotes and with Python's escape sequences if `is_quoted`, else with `\uXXXX` only.
    fn text_line(&mut self, is_quoted: bool) -> Result<(), FormatError> {
        let line = self.line()?;
        let quote = line.trim().chars().next().filter(|quote| is_quoted && matches!(quote, '\'' | '"'));
        let bare = quote.and_then(|quote| line.trim().strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(&line);
        self.push(Value::Text(unescaped(bare, is_quoted)));
        Ok(())
    }

    /// Pushes `None` for bytes, after their length in `width` bytes.
    fn byte_string(&mut self, width: u64) -> Result<(), FormatError> {
        let len = self.read_le(width)?;
        self.skip(len)
    }

    /// Pushes `None` for `len` bytes that the readers do not need.
    fn skip(&mut self, len: u64) -> Result<(), FormatError> {
        self.take(len)?;
        self.push(Value::None);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, FormatError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > floor { self.stack.pop() } else { None };
        value.map_or_else(|| self.wrong("stack underflow", NOTHING), Ok)
    }

    /// Pops the last MARK and the values above it.
    fn pop_mark(&mut self) -> Result<Vec<Id>, FormatError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark.min(self.stack.len()))),
            None => self.wrong("missing MARK", Vec::new()),
        }
    }

    /// Pops a value, or the MARK above all values.
    fn pop_any(&mut self) -> Result<(), FormatError> {
        if self.marks.pop_if(|mark| *mark >= self.stack.len()).is_none() {
            self.pop()?;
        }
        Ok(())
    }

    fn top(&mut self) -> Result<&mut Value, FormatError> {
        let id = match self.stack.last() {
            Some(&id) => id,
            None => self.wrong("no container on the stack", NOTHING)?,
        };
        Ok(&mut self.values[id])
    }

    fn duplicate(&mut self) -> Result<(), FormatError> {
        let id = self.pop()?;
        self.stack.extend([id, id]);
        Ok(())
    }

    /// Replaces the last `count` values by a tuple of them.
    fn tuple(&mut self, count: usize) -> Result<(), FormatError> {
        let mut list = (0..count).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
        list.reverse();
        self.push(Value::List(list));
        Ok(())
    }

    /// Replaces the last MARK and the values above it by a list of them.
    fn marked_list(&mut self) -> Result<(), FormatError> {
        let list = self.pop_mark()?;
        self.push(Value::List(list));
        Ok(())
    }

    /// Replaces the last MARK and the keys and values above it by a dictionary of them.
    fn marked_dict(&mut self) -> Result<(), FormatError> {
        let items = self.pop_mark()?;
        self.push(Value::Dict(Vec::new()));
        self.set(items)
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), FormatError> {
        if let Value::List(list) = self.top()? {
            list.extend(items);
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Result<(), FormatError> {
        if !items.len().is_multiple_of(2) {
            return self.wrong("key without a value", ());
        }
        if let Value::Dict(pairs) = self.top()? {
            pairs.extend(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)));
        }
        Ok(())
    }

    /// Reads the memo key of a PUT or GET opcode.
    fn memo_key(&mut self, opcode: u8) -> Result<u64, FormatError> {
        match opcode {
            BINPUT | BINGET => self.read_le(1),
            LONG_BINPUT | LONG_BINGET => self.read_le(4),
            _ => match self.line()?.trim().parse() {
                Ok(key) => Ok(key),
                Err(_) => self.wrong("memo key is not a number", u64::MAX),
            },
        }
    }

    fn memoize(&mut self, key: u64) -> Result<(), FormatError> {
        let id = match self.stack.last() {
            Some(&id) => id,
            None => self.wrong("no value to memoize", NOTHING)?,
        };
        self.memo.insert(key, id);
        Ok(())
    }

    fn push_memo(&mut self, key: u64) -> Result<(), FormatError> {
        let id = match self.memo.get(&key) {
            Some(&id) => id,
            None => self.wrong("unknown memo key", NOTHING)?,
        };
        self.stack.push(id);
        Ok(())
    }

    /// Pushes a global: records it, or rejects one that is not harmless. Equal globals are one value, so that memory
    /// stays proportional to the bytes.
    fn global(&mut self, name: String) -> Result<(), FormatError> {
        let name = if name.len() > MAX_GLOBAL { COMPUTED.to_owned() } else { name };
        if let Some(&id) = self.globals.get(&name) {
            self.stack.push(id);
            return Ok(());
        }
        let Some(imports) = &mut self.imports else {
            let name = allow(name)?;
            self.globals.insert(name.clone(), self.values.len());
            self.push(Value::Global(name));
            return Ok(());
        };
        // Dangerous ones are not crowded out by others.
        let max = if danger(&name) == Danger::Dangerous { 2 * MAX_IMPORTS } else { MAX_IMPORTS };
        if imports.len() < max && (name == COMPUTED || is_name(&name)) && !imports.contains(&name) {
            imports.push(name.clone());
        }
        if self.globals.len() < 2 * MAX_IMPORTS {
            self.globals.insert(name, self.values.len());
        }
        // The name of a global is not needed once it is listed.
        self.push(Value::Global(String::new()));
        Ok(())
    }

    /// Pushes the global whose module and name are the next two lines.
    fn global_by_lines(&mut self) -> Result<(), FormatError> {
        let name = format!("{}.{}", self.line()?, self.line()?);
        self.global(name)
    }

    /// Pushes the global whose module and name are on the stack.
    fn global_by_stack(&mut self) -> Result<(), FormatError> {
        let (name, module) = (self.pop()?, self.pop()?);
        let name = match (&self.values[name], &self.values[module]) {
            (Value::Text(name), Value::Text(module)) if name.len().max(module.len()) <= MAX_GLOBAL => {
                format!("{module}.{name}")
            }
            // More likely bytes that are no pickle.
            _ if self.is_wrong => String::new(),
            _ => COMPUTED.to_owned(),
        };
        self.global(name)
    }

    /// Pushes the global that has a number in the registry of the program that reads the pickle.
    fn global_by_number(&mut self, width: u64) -> Result<(), FormatError> {
        let number = self.read_le(width)?;
        self.global(format!("copyreg_extension_{number}"))
    }

    /// Describes the instance of the global in the next two lines, with the values above the last MARK as its
    /// arguments.
    fn instance(&mut self) -> Result<(), FormatError> {
        self.global_by_lines()?;
        let class = self.pop()?;
        self.marked_list()?;
        let arguments = self.pop()?;
        self.call(class, arguments)
    }

    /// Describes the instance of the class that is the first value above the last MARK, with the others as its
    /// arguments.
    fn object(&mut self) -> Result<(), FormatError> {
        let mut arguments = self.pop_mark()?;
        if arguments.is_empty() {
            arguments.push(self.wrong("instance without a class", NOTHING)?);
        }
        let class = arguments.remove(0);
        self.push(Value::List(arguments));
        let arguments = self.pop()?;
        self.call(class, arguments)
    }

    /// Describes the call of the function and the arguments on the stack.
    fn reduce(&mut self) -> Result<(), FormatError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        self.call(function, arguments)
    }

    /// Describes a call without executing it; the calls that build plain values become those values.
    fn call(&mut self, function: Id, arguments: Id) -> Result<(), FormatError> {
        let Value::Global(name) = &self.values[function] else {
            let value = self.wrong("call of something other than a global", Value::None)?;
            self.push(value);
            return Ok(());
        };
        let list = match &self.values[arguments] {
            Value::List(list) => list.as_slice(),
            _ => &[],
        };
        match (name.as_str(), list) {
            ("collections.OrderedDict" | "collections.Counter" | "builtins.dict" | "__builtin__.dict", list) => {
                let items = list.first().copied();
                self.dictionary(items);
            }
            ("collections.defaultdict", list) => {
                let items = list.get(1).copied();
                self.dictionary(items);
            }
            (
                "torch._utils._rebuild_parameter"
                | "torch._utils._rebuild_parameter_with_state"
                | "torch._utils._rebuild_device_tensor_from_cpu_tensor"
                | "torch.nn.parameter.Parameter"
                | "torch.nn.parameter.Buffer"
                | "torch.Size",
                &[value, ..],
            ) => self.stack.push(value),
            // The function, the class, the function's arguments.
            (
                "torch._tensor._rebuild_from_type" | "torch._tensor._rebuild_from_type_v2",
                &[function, _, arguments, ..],
            ) => self.push(Value::Call { function, arguments }),
            _ => self.push(Value::Call { function, arguments }),
        }
        Ok(())
    }

    /// Pushes the dictionary `items`, or one of the pairs that `items` lists. The list becomes the dictionary, so that
    /// repeated calls do not multiply it.
    fn dictionary(&mut self, items: Option<Id>) {
        let pair = |id: &Id| match &self.values[*id] {
            Value::List(pair) => pair.as_slice().try_into().ok().map(|[key, value]: [Id; 2]| (key, value)),
            _ => None,
        };
        match items.map(|id| (id, &self.values[id])) {
            Some((id, Value::List(list))) => {
                let pairs = list.iter().filter_map(pair).collect();
                self.values[id] = Value::Dict(pairs);
                self.stack.push(id);
            }
            Some((id, Value::Dict(_))) => self.stack.push(id),
            _ => self.push(Value::Dict(Vec::new())),
        }
    }

    /// Drops the attributes on the stack, which the readers do not need. Attributes of a global would change the code
    /// of the program that reads the pickle.
    fn build(&mut self) -> Result<(), FormatError> {
        self.pop()?;
        let is_listed = self.imports.is_some();
        match self.top()? {
            Value::Global(name) if !is_listed => Err(FormatError::UnsafePickle(name.clone())),
            _ => Ok(()),
        }
    }

    /// Executes one opcode. Returns the root value at STOP.
    fn step(&mut self) -> Result<Option<Id>, FormatError> {
        let opcode = self.take(1)?[0];
        match opcode {
            STOP => return self.pop().map(Some),
            PROTO => drop(self.take(1)?),
            FRAME => drop(self.take(8)?),
            MARK => self.marks.push(self.stack.len()),
            POP => self.pop_any()?,
            BUILD => self.build()?,
            POP_MARK => drop(self.pop_mark()?),
            DUP => self.duplicate()?,
            APPEND => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            APPENDS | ADDITEMS => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            SETITEMS => {
                let items = self.pop_mark()?;
                self.set(items)?;
            }
            PUT | BINPUT | LONG_BINPUT => {
                let key = self.memo_key(opcode)?;
                self.memoize(key)?;
            }
            MEMOIZE => self.memoize(self.memo.len() as u64)?,
            GET | BINGET | LONG_BINGET => {
                let key = self.memo_key(opcode)?;
                self.push_memo(key)?;
            }
            GLOBAL => self.global_by_lines()?,
            STACK_GLOBAL => self.global_by_stack()?,
            INST => self.instance()?,
            OBJ => self.object()?,
            EXT1 => self.global_by_number(1)?,
            EXT2 => self.global_by_number(2)?,
            EXT4 => self.global_by_number(4)?,
            REDUCE | NEWOBJ => self.reduce()?,
            NEWOBJ_EX => {
                self.pop()?;
                self.reduce()?;
            }
            READONLY_BUFFER => {}
            other => self.value(other)?,
        }
        Ok(None)
    }

    /// Executes an opcode that pushes a value.
    fn value(&mut self, opcode: u8) -> Result<(), FormatError> {
        match opcode {
            NONE | NEXT_BUFFER => self.push(Value::None),
            NEWTRUE => self.push(Value::Int(1)),
            NEWFALSE => self.push(Value::Int(0)),
            BININT1 => self.unsigned(1)?,
            BININT2 => self.unsigned(2)?,
            BININT => self.signed()?,
            INT | LONG => self.decimal()?,
            LONG1 => self.long(1)?,
            LONG4 => self.long(4)?,
            FLOAT => self.float_line()?,
            BINFLOAT => self.skip(8)?,
            SHORT_BINUNICODE | SHORT_BINSTRING => self.text(1)?,
            BINUNICODE | BINSTRING => self.text(4)?,
            BINUNICODE8 => self.text(8)?,
            UNICODE => self.text_line(false)?,
            STRING => self.text_line(true)?,
            SHORT_BINBYTES => self.byte_string(1)?,
            BINBYTES => self.byte_string(4)?,
            BINBYTES8 | BYTEARRAY8 => self.byte_string(8)?,
            EMPTY_DICT => self.push(Value::Dict(Vec::new())),
            EMPTY_LIST | EMPTY_TUPLE | EMPTY_SET => self.push(Value::List(Vec::new())),
            DICT => self.marked_dict()?,
            TUPLE | LIST | FROZENSET => self.marked_list()?,
            TUPLE1 => self.tuple(1)?,
            TUPLE2 => self.tuple(2)?,
            TUPLE3 => self.tuple(3)?,
            PERSID => {
                self.line()?;
                self.push(Value::Persistent(NOTHING));
            }
            BINPERSID => {
                let description = self.pop()?;
                self.push(Value::Persistent(description));
            }
            other => return Err(self.error(&format!("unexpected opcode {other:#04x}"))),
        }
        Ok(())
    }
}
