//! Fuzzes GGUF files of version 3.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_loupe_fuzz::read_all;

fuzz_target!(|data: &[u8]| {
    read_all(data);
    read_all(&[b"GGUF\x03\0\0\0", data].concat());
});
