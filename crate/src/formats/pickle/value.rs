//! A pickle as plain values.

/// Index of a value.
pub type Id = usize;

/// A value in a pickle.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None, or a value that the readers do not need.
    None,
    /// An integer or a boolean.
    Int(i64),
    /// Text.
    Text(String),
    /// A list or a tuple.
    List(Vec<Id>),
    /// A dictionary.
    Dict(Vec<(Id, Id)>),
    /// A global: `torch.FloatStorage`.
    Global(String),
    /// A persistent id: its description refers to data outside the pickle.
    Persistent(Id),
    /// A call, which is not executed.
    Call { function: Id, arguments: Id },
}

/// A parsed pickle.
#[derive(Debug)]
pub struct Pickle {
    /// Every value, by [`Id`].
    pub values: Vec<Value>,
    /// The outermost value.
    pub root: Id,
    /// Length of the pickle, in bytes.
    pub len: usize,
}

impl Pickle {
    /// Returns the value at `id`.
    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::None)
    }

    /// Returns the text at `id`.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the integer at `id`, if it is not negative.
    pub fn size(&self, id: Id) -> Option<u64> {
        match self.get(id) {
            Value::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// Returns the elements of the list or tuple at `id`.
    pub fn list(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the function and the arguments of the call at `id`.
    pub fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let &Value::Call { function, arguments } = self.get(id) else { return None };
        match self.get(function) {
            Value::Global(function) => Some((function, self.list(arguments)?)),
            _ => None,
        }
    }

    /// Returns the name of the global at `id`.
    pub fn global(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Global(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the keys and values of the dictionary at `id`.
    pub fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }
}
