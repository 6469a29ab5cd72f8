//! Recognition of a model's files without reading them whole.

use super::{Checkpoint, TensorFile, WeightsError};
use crate::model::Component;
use sha2::{Digest, Sha256};

/// Samples of a file, evenly spaced.
const SAMPLES: u64 = 8;
/// Bytes of a sample; the first covers the beginning of the header.
const SAMPLE: u64 = 4096;

impl Checkpoint {
    /// Returns a hash by which the files of a network are recognized under any name: of their lengths and of samples of
    /// their bytes, in hexadecimal digits.
    pub async fn fingerprint(&self, component: Component) -> Result<String, WeightsError> {
        let mut hashes = Vec::new();
        for file in self.files_of(component) {
            hashes.push(sampled(file).await?);
        }
        hashes.sort_unstable();
        let all: Vec<u8> = hashes.concat();
        Ok(Sha256::digest(all)[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Returns the hash of a file's length and samples.
async fn sampled(file: &TensorFile) -> Result<Vec<u8>, WeightsError> {
    let len = file.source.len();
    let mut hash = Sha256::new_with_prefix(len.to_le_bytes());
    for at in 0..SAMPLES {
        let start = len / SAMPLES * at;
        let failed = |error: std::io::Error| WeightsError::File { file: file.name.clone(), source: error.into() };
        hash.update(file.source.read(start..len.min(start + SAMPLE)).await.map_err(failed)?);
    }
    Ok(hash.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, TensorFile};
    use crate::formats::{Dtype, Header, TensorInfo};
    use crate::model::{Component, Kind, Module};
    use std::collections::BTreeMap;
    use std::rc::Rc;

    /// Returns the fingerprint of a file with one matrix whose element `changed` is 1, under this name.
    fn fingerprint(name: &str, changed: usize) -> String {
        let tensor = TensorInfo::contiguous("layer.weight".into(), Dtype::F16, vec![256, 256], 0..2 * 65_536);
        let mut bytes = Vec::new();
        Header::of(vec![tensor], BTreeMap::new()).write(&mut bytes).expect("a header");
        let mut data = vec![0; 2 * 65_536];
        data[2 * changed] = 1;
        bytes.extend(data);
        pollster::block_on(async {
            let file = Rc::new(TensorFile::open(name.into(), Rc::new(bytes)).await.expect("a header"));
            let mut checkpoint = Checkpoint::default();
            let layer = Module::new("layer", "", Kind::Linear { inputs: 256, outputs: 256 }).without_bias();
            checkpoint.add(Component::Unet, &[&layer], &[file]).expect("the layer");
            checkpoint.fingerprint(Component::Unet).await.expect("a hash")
        })
    }

    #[test]
    fn files_are_told_apart_by_their_numbers_and_not_by_their_names() {
        assert_eq!(fingerprint("a", 0), fingerprint("b", 0));
        assert_ne!(fingerprint("a", 0), fingerprint("a", 65_535 / 2));
        assert_eq!(fingerprint("a", 0).len(), 32);
    }
}
