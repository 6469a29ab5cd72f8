//! Fuzzes safetensors files: the bytes up to the last `}` are the header, the others the data.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_loupe_fuzz::{read_all, safetensors};

fuzz_target!(|data: &[u8]| {
    read_all(data);
    let end = data.iter().rposition(|&byte| byte == b'}').map_or(data.len(), |at| at + 1);
    read_all(&safetensors(&data[..end], &data[end..]));
});
