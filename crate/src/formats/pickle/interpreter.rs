//! Interpreter of pickle opcodes, protocols 0 to 5, that describes values without running code.
//!
//! Time and memory are proportional to the bytes: values are kept in one list and refer to each other by index.

use super::super::FormatError;
use super::machine::{Machine, NOTHING};
use super::opcodes::{
    ADDITEMS, APPEND, APPENDS, BINBYTES, BINBYTES8, BINFLOAT, BINGET, BININT, BININT1, BININT2, BINPERSID, BINPUT,
    BINSTRING, BINUNICODE, BINUNICODE8, BUILD, BYTEARRAY8, DICT, DUP, EMPTY_DICT, EMPTY_LIST, EMPTY_SET, EMPTY_TUPLE,
    EXT1, EXT2, EXT4, FLOAT, FRAME, FROZENSET, GET, GLOBAL, INST, INT, LIST, LONG, LONG_BINGET, LONG_BINPUT, LONG1,
    LONG4, MARK, MEMOIZE, NEWFALSE, NEWOBJ, NEWOBJ_EX, NEWTRUE, NEXT_BUFFER, NONE, OBJ, PERSID, POP, POP_MARK, PROTO,
    PUT, READONLY_BUFFER, REDUCE, SETITEM, SETITEMS, SHORT_BINBYTES, SHORT_BINSTRING, SHORT_BINUNICODE, STACK_GLOBAL,
    STOP, STRING, TUPLE, TUPLE1, TUPLE2, TUPLE3, UNICODE,
};
use super::value::{Id, Pickle, Value};
use crate::sentence::sentence;

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

impl Machine<'_> {
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
            other => return Err(self.error(sentence!("pickle.opcode", opcode = format!("{other:#04x}")))),
        }
        Ok(())
    }
}
