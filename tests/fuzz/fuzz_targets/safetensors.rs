//! Turns bytes into the header of a safetensors file, perhaps with data behind it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_loupe_fuzz::{read_all, safetensors};

fuzz_target!(|data: &[u8]| {
    read_all(data);
    let end = data.iter().rposition(|&byte| byte == b'}').map_or(data.len(), |at| at + 1);
    read_all(&safetensors(&data[..end], &data[end..]));
});
