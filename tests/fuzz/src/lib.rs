//! Helpers for the fuzz targets: containers built from bytes, and a function that runs every reader.

use lora_loupe::analysis::{Summary, inspect, inspect_header};
use lora_loupe::formats::read_header;
use pollster::block_on;

/// Reads a file with every reader. None may panic or use more memory than the file justifies.
pub fn read_all(bytes: &[u8]) {
    let bytes = bytes.to_vec();
    let report = block_on(inspect("any", &bytes, None, None));
    assert!(!report.verdict.is_empty());
    let _ = Summary::of(&block_on(inspect_header("any", &bytes, None)));
    if let Ok(header) = block_on(read_header(&bytes)) {
        for tensor in &header.tensors {
            let _ = block_on(tensor.read(&bytes));
        }
    }
}

/// Returns a safetensors file with this header and data.
pub fn safetensors(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

/// Returns a zip archive of uncompressed files.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in files {
        let start = (bytes.len() as u32).to_le_bytes();
        let size = (data.len() as u32).to_le_bytes();
        let lengths = [&size[..], &size, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        bytes.extend([&b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0"[..], &lengths, name.as_bytes(), data].concat());
        let head = &b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0"[..];
        directory.extend([head, &lengths, &[0; 10], &start, name.as_bytes()].concat());
    }
    let (count, start) = ((files.len() as u16).to_le_bytes(), (bytes.len() as u32).to_le_bytes());
    bytes.extend(&directory);
    let size = (directory.len() as u32).to_le_bytes();
    bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &start, &[0, 0]].concat());
    bytes
}
