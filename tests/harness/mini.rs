//! The mini-sd15 pipeline as a model folder, with modified files if needed.

use crate::golden;
use lora_loupe::device::Device;
use lora_loupe::formats::ByteSource;
use lora_loupe::gpu::{Gpu, KernelConfig};
use lora_loupe::pipeline::{Folder, Model, Session};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::rc::Rc;

/// Returns the pipeline's folder, with `change` applied to the path and bytes of each file.
pub fn folder(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Folder {
    let root = golden::path("golden/pipelines/mini-sd15");
    let mut files: Vec<(String, Rc<dyn ByteSource>)> = Vec::new();
    for directory in ["", "unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
        for entry in std::fs::read_dir(root.join(directory)).expect("the folder").flatten() {
            let path = entry.path();
            let name = format!("{directory}/{}", entry.file_name().to_string_lossy());
            let name = name.trim_start_matches('/');
            if path.is_file() {
                files.push((name.to_owned(), Rc::new(change(name, std::fs::read(&path).expect("a file")))));
            }
        }
    }
    Folder::new(files)
}

/// Opens a session with such a folder.
pub async fn session(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Session {
    let model = Model::open("mini-sd15", &folder(change)).await.expect("the model");
    let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
    let config = gpu.default_config();
    Session::new(Rc::new(gpu), config, model)
}

/// Opens a session on the CPU with such a folder.
pub async fn on_cpu(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Session {
    Session::new(Device::cpu(), KernelConfig::CPU, Model::open("mini-sd15", &folder(change)).await.expect("the model"))
}

/// Opens a session with the unmodified folder.
pub async fn full() -> Session {
    session(|_, bytes| bytes).await
}

/// Opens a session whose f32 tensors are rewritten by `store`, from name and values to dtype and bytes.
pub async fn stored(store: impl Fn(&str, Vec<f32>) -> (Dtype, Vec<u8>)) -> Session {
    session(storing(store)).await
}

/// Returns the change of a folder whose f32 tensors are rewritten by `store`.
pub fn storing(store: impl Fn(&str, Vec<f32>) -> (Dtype, Vec<u8>)) -> impl Fn(&str, Vec<u8>) -> Vec<u8> {
    move |path, bytes| if path.ends_with(".safetensors") { rewritten(&bytes, &store) } else { bytes }
}

fn rewritten(bytes: &[u8], store: &dyn Fn(&str, Vec<f32>) -> (Dtype, Vec<u8>)) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).expect("weights");
    let value = |raw: &[u8]| f32::from_le_bytes(raw.try_into().expect("4 bytes"));
    let tensors = file.iter().map(|(name, view)| {
        let (dtype, data) = match view.dtype() {
            Dtype::F32 => store(name, view.data().chunks_exact(4).map(value).collect()),
            other => (other, view.data().to_vec()),
        };
        (name.to_owned(), dtype, view.shape().to_vec(), data)
    });
    let tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = tensors.collect();
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), data).expect("a tensor"))
    });
    safetensors::serialize(views, None).expect("a file")
}

/// Returns the values as little-endian f16 bytes.
pub fn halves(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect()
}
