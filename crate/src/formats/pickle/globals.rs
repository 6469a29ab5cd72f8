//! Globals of pickles by danger: data types and rebuild functions of tensors are harmless; everything else of PyTorch,
//! and the modules that can run programs, open files or access the network, are dangerous.

use super::super::FormatError;
use super::names::COMPUTED;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Danger level of importing a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Danger {
    /// It describes tensors or plain values.
    Harmless,
    /// It is known neither as harmless nor as dangerous.
    Unknown,
    /// It can run programs, open files or access the network.
    Dangerous,
}

/// Globals that construct plain values or tensors: those of `torch.load(weights_only=True)`, and numpy's scalars and
/// arrays. Any other could run code.
const HARMLESS: &[&str] = &[
    "collections.OrderedDict",
    "collections.Counter",
    "collections.defaultdict",
    "collections.deque",
    "_codecs.encode",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_sparse_csr_tensor",
    "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_wrapper_subclass",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch._utils._rebuild_xla_tensor",
    "torch._tensor._rebuild_from_type",
    "torch._tensor._rebuild_from_type_v2",
    "torch._tensor.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
    "torch.serialization._get_layout",
    "torch.Size",
    "torch.device",
    "torch.per_tensor_affine",
    "torch.per_tensor_symmetric",
    "torch.per_channel_affine",
    "torch.per_channel_symmetric",
    "torch.per_channel_affine_float_qparams",
    "torch.contiguous_format",
    "torch.preserve_format",
    "torch.channels_last",
    "torch.channels_last_3d",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
];

/// Built-in types: all that they do is to construct a value.
const HARMLESS_BUILTINS: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "tuple",
    "xrange",
];

/// Names of PyTorch's dtypes that do not consist of a kind of number and its width.
const DTYPES: &[&str] = &["float", "double", "half", "bool", "long", "int", "short", "cfloat", "cdouble", "chalf"];

/// Top-level packages whose globals can run programs, open files or access the network.
const DANGEROUS: &str = "
    __builtin__ __builtins__ builtins os posix nt sys subprocess commands popen2 importlib imp runpy pty
    shutil socket ctypes cffi pickle cPickle pickletools dill cloudpickle joblib shelve dbm anydbm gdbm whichdb
    sqlite3 code codeop codecs webbrowser antigravity operator functools itertools types inspect marshal
    multiprocessing concurrent threading thread dummy_thread sched queue signal requests urllib urllib2 urllib3 httplib
    http httpx aiohttp ftplib smtplib smtpd poplib imaplib nntplib telnetlib xmlrpc xmlrpclib socketserver
    SocketServer wsgiref ssl paramiko fabric select selectors asyncore asynchat tempfile pathlib glob fileinput io
    cStringIO StringIO linecache mmap fcntl resource termios tty readline rlcompleter bdb pdb cmd trace timeit
    profile cProfile pstats tracemalloc faulthandler platform asyncio doctest unittest test pydoc pkgutil
    pkg_resources zipimport zipapp zipfile tarfile gzip bz2 lzma ensurepip venv site sysconfig setuptools distutils
    pip lib2to3 idlelib turtledemo tkinter Tkinter curses logging gc atexit weakref ast dis symtable getpass pwd grp
    spwd crypt mimetypes nturl2path netrc msilib msvcrt winreg winsound copyreg copy_reg
    shlex optparse configparser ConfigParser contextlib aix_support osx_support pyrepl interpreters IPython
    numexpr posixsubprocess winapi torch
";

/// Modules of other packages that run programs, open files or evaluate text.
const DANGEROUS_MODULES: &[&str] = &[
    "numpy.testing",
    "numpy.f2py",
    "numpy.distutils",
    "numpy.load",
    "numpy.loads",
    "numpy.save",
    "numpy.fromfile",
    "numpy.memmap",
    "numpy.lib",
    "numpy.compat",
    "numpy.ctypeslib",
    "pandas.eval",
    "pandas.io",
    "pandas.read_pickle",
    "scipy.io",
    "yaml.load",
    "yaml.unsafe_load",
    "uuid._popen",
    "uuid._get_command_stdout",
];

/// Classes of dangerous modules that only hold values.
const PLAIN_CLASSES: &[&str] = &[
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "types.SimpleNamespace",
];

/// Attributes by which a name of any package reaches the interpreter: `decimal.sys.modules`, `random._os.system`.
const GADGETS: &[&str] = &["os", "sys", "posix", "nt", "builtins", "subprocess", "importlib", "ctypes", "socket"];

/// Functions by which a name of any package runs code: `mine.util.eval`.
const RUNNERS: &[&str] = &["eval", "exec", "system", "popen", "Popen", "getattr"];

/// Special attributes of Python's objects that lead to others: `__globals__`.
const SPECIAL: &[&str] = &[
    "__builtins__",
    "__class__",
    "__code__",
    "__dict__",
    "__getattribute__",
    "__globals__",
    "__import__",
    "__loader__",
    "__reduce__",
    "__reduce_ex__",
    "__spec__",
    "__subclasses__",
];

/// Returns the danger level of importing the global `name`.
pub fn danger(name: &str) -> Danger {
    let (package, rest) = name.split_once('.').unwrap_or((name, ""));
    let is_builtin = matches!(package, "builtins" | "__builtin__") && HARMLESS_BUILTINS.contains(&rest);
    if HARMLESS.contains(&name) || is_builtin || package == "torch" && is_tensor_type(rest) {
        return Danger::Harmless;
    }
    if PLAIN_CLASSES.contains(&name) || package == "torch" && is_module_class(rest) {
        return Danger::Unknown;
    }
    let is_in = |module: &&str| name.strip_prefix(*module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    // `_io`, `_socket` and the like are the implementations of the modules without underscore.
    static LISTED: LazyLock<HashSet<&str>> = LazyLock::new(|| DANGEROUS.split_whitespace().collect());
    let is_listed = |package: &str| LISTED.contains(package);
    let is_dangerous = is_listed(package)
        || is_listed(package.trim_start_matches('_'))
        || DANGEROUS_MODULES.iter().any(is_in)
        || is_gadget(rest)
        || name == COMPUTED;
    if is_dangerous { Danger::Dangerous } else { Danger::Unknown }
}

/// Returns whether a name within a package leads to the interpreter, with or without underscores before it.
fn is_gadget(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    RUNNERS.contains(&last)
        || name.split('.').any(|part| GADGETS.contains(&part.trim_start_matches('_')) || SPECIAL.contains(&part))
}

/// Returns whether `torch.` + `rest` is a dtype, or the class of a storage or a tensor.
fn is_tensor_type(rest: &str) -> bool {
    let class = ["cuda.sparse.", "cuda.", "sparse.", "storage."].iter().find_map(|prefix| rest.strip_prefix(prefix));
    let class = class.unwrap_or(rest);
    let is_class = class.starts_with(|first: char| first.is_ascii_uppercase())
        && class.chars().all(|letter| letter.is_ascii_alphanumeric())
        && (class.ends_with("Storage") || class.ends_with("Tensor"));
    is_class || is_dtype(rest)
}

fn is_dtype(name: &str) -> bool {
    const KINDS: [&str; 9] = ["bfloat", "bcomplex", "float", "complex", "quint", "qint", "uint", "int", "bits"];
    let width = KINDS.iter().find_map(|kind| name.strip_prefix(kind));
    let has_width = width.is_some_and(|width| {
        width.starts_with(|first: char| first.is_ascii_digit())
            && width.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    });
    has_width || DTYPES.contains(&name)
}

/// Returns whether `torch.` + `rest` is a class of layers or optimizers, whose instances whole models are made of:
/// `nn.modules.linear.Linear`.
fn is_module_class(rest: &str) -> bool {
    let class = rest.strip_prefix("nn.modules.").or_else(|| rest.strip_prefix("optim."));
    let class = class.and_then(|rest| rest.split_once('.')).map(|(_, class)| class);
    class.is_some_and(|class| {
        class.starts_with(|first: char| first.is_ascii_uppercase())
            && class.chars().all(|letter| letter.is_ascii_alphanumeric())
    })
}

/// Returns the name if it is harmless, or an error.
pub fn allow(name: String) -> Result<String, FormatError> {
    match danger(&name) {
        Danger::Harmless => Ok(name),
        Danger::Unknown => Err(FormatError::UnknownGlobal(name)),
        Danger::Dangerous => Err(FormatError::UnsafePickle(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globals_have_the_danger_of_what_they_can_do() {
        let check = |names: &[&str], expect| {
            for name in names {
                assert_eq!(danger(name), expect, "{name}");
            }
        };
        check(
            &[
                "torch._utils._rebuild_tensor_v3",
                "torch.bfloat16",
                "torch.float8_e4m3fn",
                "torch.float",
                "torch.uint16",
                "torch.bits1x8",
                "torch.quint2x4",
                "torch.complex64",
                "torch.FloatStorage",
                "torch.cuda.HalfStorage",
                "torch.storage.UntypedStorage",
                "torch.Tensor",
                "torch.cuda.sparse.FloatTensor",
                "torch.nn.parameter.Parameter",
                "builtins.set",
                "__builtin__.complex",
                "numpy.core.multiarray.scalar",
            ],
            Danger::Harmless,
        );
        check(
            &[
                "os.system",
                "builtins.eval",
                "builtins.getattr",
                "_io.open",
                "_posixsubprocess.fork_exec",
                "torch.load",
                "torch.hub.load",
                "torch.storage._load_from_bytes",
                "torch.serialization.load",
                "torch.utils.cpp_extension.load_inline",
                "torch._utils._import_dotted_name",
                "torch.ops.load_library",
                "torch._C._jit_set_profiling_executor",
                "torch.nn.modules.linear.math.os",
                "torch.nn.functional.os.system",
                "torch.floatx.os",
                "collections._sys.modules",
                "decimal.sys.modules.get",
                "numpy.testing._private.utils.runstring",
                "mine.Thing.__globals__",
                "mine.util.eval",
                "copyreg.add_extension",
                "pathlib.Path.write_text",
                COMPUTED,
            ],
            Danger::Dangerous,
        );
        check(
            &[
                "mine.Thing",
                "__main__.Net",
                "mine.system.Thing",
                "torch.nn.modules.linear.Linear",
                "torch.optim.adamw.AdamW",
                "argparse.Namespace",
                "pathlib.PosixPath",
                "omegaconf.dictconfig.DictConfig",
                "transformers.models.clip.CLIPTextModel",
            ],
            Danger::Unknown,
        );
    }
}
