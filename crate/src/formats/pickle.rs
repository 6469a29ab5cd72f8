//! Turns a pickle into plain values without running it: nothing is imported, called or built, and
//! a name outside a short list ends the reading. The opcodes are in opcodes.rs.

use super::FormatError;

/// Index of a value.
pub type Id = usize;

/// What a pickle describes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, or something that no reader here needs.
    None,
    /// An integer or a boolean.
    Int(i64),
    /// Text.
    Text(String),
    /// A list or a tuple.
    List(Vec<Id>),
    /// A dictionary.
    Dict(Vec<(Id, Id)>),
    /// A name: `torch.FloatStorage`.
    Global(String),
    /// What the file holds outside of the pickle, by its description.
    Persistent(Id),
    /// A call that is not made.
    Call { function: String, arguments: Id },
}

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle {
    /// Every value.
    pub values: Vec<Value>,
    /// The outermost one.
    pub root: Id,
    /// Bytes that it took.
    pub len: usize,
}

impl Pickle {
    /// The value at `id`.
    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::None)
    }

    /// The text at `id`.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer at `id`, if it is not negative.
    pub fn size(&self, id: Id) -> Option<u64> {
        match self.get(id) {
            Value::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The elements of the list or tuple at `id`.
    pub fn list(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::List(list) => Some(list),
            _ => None,
        }
    }
}

/// Names that describe tensors. Everything else could be a program.
const HARMLESS: &[&str] = &[
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.nn.parameter.Parameter",
    "torch.Size",
    "torch.device",
    "torch.storage.UntypedStorage",
];

/// Packages whose names run programs, open files or reach the network.
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

/// What importing a name would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Danger {
    /// It describes tensors.
    Harmless,
    /// It is neither known to be harmless nor to be dangerous.
    Unknown,
    /// It can run programs, open files or reach the network.
    Dangerous,
}

/// What importing this name would mean.
pub fn danger(name: &str) -> Danger {
    let storage = name.strip_prefix("torch.").is_some_and(|rest| rest.ends_with("Storage") && !rest.contains('.'));
    let of = |package: &&str| name.strip_prefix(*package).is_some_and(|rest| rest.starts_with('.'));
    if storage || HARMLESS.contains(&name) {
        Danger::Harmless
    } else if DANGEROUS.iter().any(of) {
        Danger::Dangerous
    } else {
        Danger::Unknown
    }
}

/// The name, if it is harmless.
pub(super) fn allow(name: String) -> Result<String, FormatError> {
    match danger(&name) {
        Danger::Harmless => Ok(name),
        Danger::Unknown => Err(FormatError::UnknownGlobal(name)),
        Danger::Dangerous => Err(FormatError::UnsafePickle(name)),
    }
}
