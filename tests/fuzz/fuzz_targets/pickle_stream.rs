//! Fuzzes bare pickle streams.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_loupe_fuzz::read_all;

fuzz_target!(|data: &[u8]| {
    read_all(data);
    read_all(&[b"\x80\x02", data].concat());
});
