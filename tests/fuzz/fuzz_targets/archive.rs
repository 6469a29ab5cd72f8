//! Fuzzes zip archives: the bytes as an archive and as its files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_loupe_fuzz::{read_all, zip};

fuzz_target!(|data: &[u8]| {
    read_all(data);
    read_all(&[b"PK\x03\x04", data].concat());
    read_all(&zip(&[("a/adapter_config.json", data), ("a/adapter_model.safetensors", data)]));
});
