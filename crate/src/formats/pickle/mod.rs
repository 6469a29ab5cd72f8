//! Pickles as plain values, read without running them: nothing is imported, called or built, and a global that is not
//! on a short list (globals.rs) is an error.

mod calls;
mod escapes;
mod globals;
mod interpreter;
mod machine;
mod names;
mod opcodes;
mod scan;
mod value;

pub use globals::{Danger, danger};
pub use interpreter::{imports, read};
pub use names::global_name;
pub use scan::{check_dangers, check_imports};
pub use value::{Id, Pickle, Value};
