//! Fuzzes the pickle of a torch.save archive with one storage.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_loupe_fuzz::{read_all, zip};

fuzz_target!(|data: &[u8]| {
    read_all(&zip(&[("archive/data.pkl", data), ("archive/data/0", &[0; 64]), ("archive/version", b"3")]));
});
