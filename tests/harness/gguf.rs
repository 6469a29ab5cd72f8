//! GGUF files: their header and blocks of elements.

use half::f16;
use lora_loupe::num::numel;

/// Types of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    F32,
    F16,
    Q8_0,
    Q4K,
}

impl Kind {
    /// Returns the ggml type id.
    fn id(self) -> u32 {
        match self {
            Kind::F32 => 0,
            Kind::F16 => 1,
            Kind::Q8_0 => 8,
            Kind::Q4K => 12,
        }
    }

    /// Returns the size of so many elements in bytes.
    pub fn bytes(self, elements: u64) -> u64 {
        match self {
            Kind::F32 => elements * 4,
            Kind::F16 => elements * 2,
            Kind::Q8_0 => elements / 32 * 34,
            Kind::Q4K => elements / 256 * 144,
        }
    }

    /// Converts elements, whole blocks of them.
    pub fn encode(self, elements: &[f32]) -> Vec<u8> {
        match self {
            Kind::F32 => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
            Kind::F16 => elements.iter().flat_map(|&element| f16::from_f32(element).to_le_bytes()).collect(),
            Kind::Q8_0 => elements.chunks_exact(32).flat_map(q8_0).collect(),
            Kind::Q4K => elements.chunks_exact(256).flat_map(q4_k).collect(),
        }
    }
}

fn q8_0(block: &[f32]) -> Vec<u8> {
    let scale = block.iter().fold(0f32, |most, element| most.max(element.abs())) / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let quants = block.iter().map(|element| (element * inverse).round() as i8 as u8);
    f16::from_f32(scale).to_le_bytes().into_iter().chain(quants).collect()
}

/// Converts 256 elements by the range of each 32; llama.cpp searches for better scales.
fn q4_k(block: &[f32]) -> Vec<u8> {
    let group = |group: &[f32]| {
        let low = group.iter().copied().fold(0f32, f32::min);
        let high = group.iter().copied().fold(0f32, f32::max);
        [(high - low) / 15.0, -low]
    };
    let groups: Vec<[f32; 2]> = block.chunks_exact(32).map(group).collect();
    let most = |which: usize| groups.iter().fold(0f32, |most, group| most.max(group[which]));
    let [d, minimum] = [most(0) / 63.0, most(1) / 63.0];
    let six_bits = |value: f32, unit: f32| if unit == 0.0 { 0 } else { (value / unit).round() as u8 };
    let packed: Vec<[u8; 2]> =
        groups.iter().map(|group| [six_bits(group[0], d), six_bits(group[1], minimum)]).collect();
    let mut out =
        [f16::from_f32(d), f16::from_f32(minimum)].iter().flat_map(|half| half.to_le_bytes()).collect::<Vec<u8>>();
    for which in [0, 1] {
        out.extend((0..4).map(|i| packed[i][which] | packed[4 + i][which] >> 4 << 6));
    }
    out.extend((0..4).map(|i| packed[4 + i][0] & 15 | (packed[4 + i][1] & 15) << 4));
    let quant = |at: usize| {
        let [scale, offset] = packed[at / 32].map(f32::from);
        if scale == 0.0 { 0 } else { ((block[at] + minimum * offset) / (d * scale)).round().clamp(0.0, 15.0) as u8 }
    };
    out.extend((0..128).map(|at| quant(at / 32 * 64 + at % 32) | quant(at / 32 * 64 + at % 32 + 32) << 4));
    out
}

/// Returns the header of a file, up to the data. Tensors follow each other at multiples of 32 bytes.
pub fn header(tensors: &[(String, Vec<usize>, Kind)]) -> Vec<u8> {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend(0u64.to_le_bytes());
    let mut offset = 0u64;
    for (name, shape, kind) in tensors {
        out.extend((name.len() as u64).to_le_bytes());
        out.extend(name.as_bytes());
        out.extend((shape.len() as u32).to_le_bytes());
        out.extend(shape.iter().rev().flat_map(|&axis| (axis as u64).to_le_bytes()));
        out.extend(kind.id().to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += kind.bytes(numel(shape)).next_multiple_of(32);
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out
}
