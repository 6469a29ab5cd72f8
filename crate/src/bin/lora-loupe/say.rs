//! Printing to standard output that exits quietly on a broken pipe (`lora-loupe … | head`).

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process::exit;

/// Exit status of a program killed by SIGPIPE, as shells report it: 128 + 13.
const CLOSED_PIPE: i32 = 141;

/// Writes to standard output; exits the process on an error.
pub fn say(text: Arguments<'_>) {
    let Err(error) = io::stdout().lock().write_fmt(text) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        exit(CLOSED_PIPE);
    }
    eprintln!("lora-loupe: cannot write to standard output: {error}");
    exit(1);
}

/// `println!` through [`say`].
macro_rules! say {
    ($($argument:tt)*) => {
        crate::say::say(format_args!("{}\n", format_args!($($argument)*)))
    };
}
