//! Pickles as plain values, read without running them: nothing is imported, called or built, and a global that is not
//! on a short allow list is an error. The opcodes are in opcodes.rs.

use super::FormatError;

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
    Call { function: String, arguments: Id },
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
}

/// Globals that describe tensors. Any other could run code.
const HARMLESS: &[&str] = &[
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.nn.parameter.Parameter",
    "torch.Size",
    "torch.device",
    "torch.storage.UntypedStorage",
];

/// Packages whose globals can run programs, open files or access the network.
const DANGEROUS: &[&str] = &[
    "__builtin__",
    "builtins",
    "os",
    "posix",
    "nt",
    "sys",
    "subprocess",
    "importlib",
    "runpy",
    "pty",
    "shutil",
    "socket",
    "ctypes",
    "pickle",
    "code",
    "webbrowser",
    "commands",
    "operator",
    "functools",
    "types",
    "marshal",
    "multiprocessing",
    "threading",
    "signal",
    "requests",
    "urllib",
    "http",
    "tempfile",
    "pathlib",
    "io",
    "bdb",
    "pdb",
    "timeit",
    "platform",
    "asyncio",
    "numpy.testing",
    "torch.hub",
    "torch.jit",
    "torch.distributed",
];

/// Danger level of importing a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Danger {
    /// It describes tensors.
    Harmless,
    /// It is known neither as harmless nor as dangerous.
    Unknown,
    /// It can run programs, open files or access the network.
    Dangerous,
}

/// Returns the danger level of importing the global `name`.
pub fn danger(name: &str) -> Danger {
    let storage = name.strip_prefix("torch.").is_some_and(|rest| rest.ends_with("Storage") && !rest.contains('.'));
    let is_in = |package: &&str| name.strip_prefix(*package).is_some_and(|rest| rest.starts_with('.'));
    if storage || HARMLESS.contains(&name) {
        Danger::Harmless
    } else if DANGEROUS.iter().any(is_in) {
        Danger::Dangerous
    } else {
        Danger::Unknown
    }
}

/// Returns the name if it is harmless, or an error.
pub(super) fn allow(name: String) -> Result<String, FormatError> {
    match danger(&name) {
        Danger::Harmless => Ok(name),
        Danger::Unknown => Err(FormatError::UnknownGlobal(name)),
        Danger::Dangerous => Err(FormatError::UnsafePickle(name)),
    }
}
