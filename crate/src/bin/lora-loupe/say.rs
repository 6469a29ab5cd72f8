//! Turns text into standard output, and the end of its reader (`lora-loupe … | head`) into a quiet end.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process::exit;

/// What a shell reports of a program that a closed pipe ended: 128 + SIGPIPE.
const CLOSED_PIPE: i32 = 141;

/// Writes to standard output; ends the program where that cannot be written.
pub fn say(text: Arguments<'_>) {
    let Err(why) = io::stdout().lock().write_fmt(text) else { return };
    if why.kind() == ErrorKind::BrokenPipe {
        exit(CLOSED_PIPE);
    }
    eprintln!("lora-loupe: standard output cannot be written: {why}; send it to another place");
    exit(1);
}

/// [`say`] with a line's end, formatted as by `println!`.
macro_rules! say {
    ($($argument:tt)*) => {
        crate::say::say(format_args!("{}\n", format_args!($($argument)*)))
    };
}
