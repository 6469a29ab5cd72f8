//! Synthetic adapter files of any rank with the layers and sizes of real ones.

use half::f16;
use lora_loupe::formats::{Dtype, Header, TensorInfo};
use lora_loupe::model::{Component, Family, FamilyId, Kind};
use lora_loupe::num::numel;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

/// Base model of an adapter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Network {
    /// Stable Diffusion 1.x.
    Sd15,
    /// Stable Diffusion XL.
    Sdxl,
}

/// Writes a kohya adapter in f16 for the layers that sd-scripts trains by default: projections and attention of the
/// UNet's transformers and of the text encoders. The values are small and random.
pub fn write(path: &Path, network: Network, rank: usize) -> io::Result<()> {
    let header = header(network, rank)?;
    let mut out = BufWriter::new(File::create(path)?);
    header.write(&mut out)?;
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for tensor in &header.tensors {
        if tensor.shape.is_empty() {
            out.write_all(&f16::from_f32(rank as f32 / 2.0).to_le_bytes())?;
            continue;
        }
        let bytes: Vec<u8> =
            (0..tensor.elements()).flat_map(|_| f16::from_f32(next(&mut state)).to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    out.flush()
}

/// Writes the same adapter with all zeros, as a sparse file where the file system supports it.
pub fn write_hollow(path: &Path, network: Network, rank: usize) -> io::Result<()> {
    let header = header(network, rank)?;
    let mut file = File::create(path)?;
    header.write(&mut file)?;
    let start = file.stream_position()?;
    file.set_len(start + header.tensors.iter().map(|tensor| tensor.bytes.end).max().unwrap_or(0))
}

fn header(network: Network, rank: usize) -> io::Result<Header> {
    let (id, prefixes) = match network {
        Network::Sd15 => (FamilyId::Sd15, [("text_encoder", "lora_te"), ("", "")]),
        Network::Sdxl => (FamilyId::Sdxl, [("text_encoder", "lora_te1"), ("text_encoder_2", "lora_te2")]),
    };
    let family = Family::published(id).map_err(io::Error::other)?;
    let (mut tensors, mut at) = (Vec::new(), 0);
    let mut add = |name: String, shape: Vec<usize>| {
        let end = at + 2 * numel(&shape);
        tensors.push(TensorInfo::contiguous(name, Dtype::F16, shape, at..end));
        at = end;
    };
    for (component, module) in family.modules() {
        let (outputs, inputs, kernel) = match module.kind {
            Kind::Linear { inputs, outputs } => (outputs, inputs, vec![]),
            Kind::Conv { inputs, outputs, kernel: 1, .. } => (outputs, inputs, vec![1, 1]),
            _ => continue,
        };
        let stem = match component {
            Component::Unet if !module.path.contains("attentions.") => continue,
            Component::Unet if network == Network::Sdxl => format!("lora_unet_{}", module.ldm),
            Component::Unet => format!("lora_unet_{}", module.path),
            _ if !module.path.contains(".layers.") => continue,
            other => match prefixes.iter().find(|(name, _)| *name == other.name()) {
                Some((_, prefix)) => format!("{prefix}_{}", module.path),
                None => continue,
            },
        };
        let stem = stem.replace('.', "_");
        add(format!("{stem}.alpha"), vec![]);
        add(format!("{stem}.lora_down.weight"), [&[rank, inputs][..], &kernel].concat());
        add(format!("{stem}.lora_up.weight"), [&[outputs, rank][..], &kernel].concat());
    }
    let metadata = BTreeMap::from([
        ("ss_network_module".to_owned(), "networks.lora".to_owned()),
        ("ss_network_dim".to_owned(), rank.to_string()),
    ]);
    Ok(Header::of(tensors, metadata))
}

/// Returns a random value between -0.05 and 0.05 (Marsaglia's xorshift).
fn next(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    ((*state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) / 10.0
}
