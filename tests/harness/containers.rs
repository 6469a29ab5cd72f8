//! Adapter files in several containers, built in memory.

use lora_loupe::formats::{Dtype, Header, TensorInfo, read_header};
use lora_loupe::num::numel;
use pollster::block_on;

/// Key, shape and elements of a tensor.
pub type Entry = (String, Vec<usize>, Vec<f32>);

/// Returns all tensors of a file.
pub fn entries(file: &Vec<u8>) -> Vec<Entry> {
    let header = block_on(read_header(file)).expect("a readable file");
    let entry =
        |tensor: &TensorInfo| (tensor.name.clone(), tensor.shape.clone(), block_on(tensor.read(file)).expect("values"));
    header.tensors.iter().map(entry).collect()
}

/// Returns a tensor of small, varying values.
pub fn entry(name: &str, shape: &[usize]) -> Entry {
    let count = numel(shape);
    let values = (0..count).map(|at| ((at * 7919 + name.len() as u64) % 97) as f32 / 97.0 - 0.5);
    (name.to_owned(), shape.to_vec(), values.collect())
}

/// Returns a safetensors file in f32.
pub fn safetensors(metadata: &[(&str, &str)], tensors: &[Entry]) -> Vec<u8> {
    let mut at = 0;
    let infos = tensors.iter().map(|(name, shape, values)| {
        let start = at;
        at += 4 * values.len() as u64;
        TensorInfo::contiguous(name.clone(), Dtype::F32, shape.clone(), start..at)
    });
    let infos = infos.collect();
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut bytes = Vec::new();
    Header::of(infos, metadata.collect()).write(&mut bytes).expect("memory");
    bytes.extend(tensors.iter().flat_map(|(_, _, values)| values).flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Returns a GGUF adapter in f32 with `alpha` under llama.cpp's key.
pub fn gguf(alpha: f32, tensors: &[Entry]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut bytes = [
        b"GGUF\x03\0\0\0".to_vec(),
        (tensors.len() as u64).to_le_bytes().to_vec(),
        2u64.to_le_bytes().to_vec(),
        [text("general.type"), 8u32.to_le_bytes().to_vec(), text("adapter")].concat(),
        [text("adapter.lora.alpha"), 6u32.to_le_bytes().to_vec(), alpha.to_le_bytes().to_vec()].concat(),
    ]
    .concat();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        bytes.extend(text(name));
        bytes.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&axis| bytes.extend((axis as u64).to_le_bytes()));
        bytes.extend(0u32.to_le_bytes());
        bytes.extend((data.len() as u64).to_le_bytes());
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    [bytes, data].concat()
}

/// Returns a zip archive of these files, in stored deflate blocks if `deflate`. `claim` overrides the uncompressed
/// sizes.
pub fn zip(files: &[(&str, &[u8])], deflate: bool, claim: Option<u32>) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in files {
        let start = bytes.len() as u32;
        let stored: Vec<u8> = match deflate {
            true => data
                .chunks(60_000)
                .enumerate()
                .flat_map(|(at, chunk)| {
                    let last = u8::from((at + 1) * 60_000 >= data.len());
                    let len = chunk.len() as u16;
                    [&[last][..], &len.to_le_bytes(), &(!len).to_le_bytes(), chunk].concat()
                })
                .collect(),
            false => data.to_vec(),
        };
        let size = claim.unwrap_or(data.len() as u32).to_le_bytes();
        let method = if deflate { [8, 0] } else { [0, 0] };
        let lengths =
            [&(stored.len() as u32).to_le_bytes()[..], &size, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        bytes.extend([b"PK\x03\x04\x14\0\0\0", &method[..], &[0; 8], &lengths, name.as_bytes(), &stored].concat());
        let location = [&[0; 10][..], &start.to_le_bytes()].concat();
        directory.extend(
            [b"PK\x01\x02\x14\0\x14\0\0\0", &method[..], &[0; 8], &lengths, &location, name.as_bytes()].concat(),
        );
    }
    let (count, start) = ((files.len() as u16).to_le_bytes(), bytes.len() as u32);
    bytes.extend(&directory);
    bytes.extend(
        [
            b"PK\x05\x06\0\0\0\0",
            &count[..],
            &count,
            &(directory.len() as u32).to_le_bytes(),
            &start.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    bytes
}
