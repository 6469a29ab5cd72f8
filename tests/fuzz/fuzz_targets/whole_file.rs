//! Fuzzes file detection: the bytes are read as a file of any format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_loupe_fuzz::read_all;

fuzz_target!(|data: &[u8]| read_all(data));
