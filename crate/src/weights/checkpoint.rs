//! Turns the files of a model into its tensors: where each lies, how it is stored, and its way to
//! graphics memory in slices.

use super::WeightsError;
use crate::adapters::stored_part;
use crate::formats::{ByteSource, Dtype, Header, TensorInfo, read_header};
use crate::gpu::{Gpu, Tensor};
use crate::model::stored::transposed;
use crate::model::{Component, Module, Stored};
use crate::num::{host_len, numel};
use crate::ops::Storage;
use crate::plan::{Layout, Plan, Source};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// A file of tensors with its header read.
pub struct TensorFile {
    /// What people call it.
    pub name: String,
    /// Its tensors.
    pub header: Header,
    /// Its bytes.
    pub source: Rc<dyn ByteSource>,
}

impl TensorFile {
    /// Reads the header.
    pub async fn open(name: String, source: Rc<dyn ByteSource>) -> Result<TensorFile, WeightsError> {
        match read_header(source.as_ref()).await {
            Ok(header) => Ok(TensorFile { name, header, source }),
            Err(source) => Err(WeightsError::File { file: name, source }),
        }
    }

    /// The numbers of one tensor, in the file's order.
    pub async fn read(&self, tensor: &TensorInfo) -> Result<Vec<f32>, WeightsError> {
        let failed = |source| WeightsError::File { file: self.name.clone(), source };
        tensor.read(self.source.as_ref()).await.map_err(failed)
    }
}

/// Where a named tensor of the model lies.
pub(super) struct Place {
    file: Rc<TensorFile>,
    pub(super) tensor: TensorInfo,
    transposed: bool,
}

/// The tensors of a model's networks, found in its files by name and checked by shape.
pub struct Checkpoint {
    places: HashMap<String, Place>,
    shapes: BTreeMap<String, Vec<usize>>,
    /// Most numbers of a tensor that are in main memory at once, where its rows are no longer.
    pub slice: u64,
}

impl Default for Checkpoint {
    fn default() -> Checkpoint {
        Checkpoint { places: HashMap::new(), shapes: BTreeMap::new(), slice: 4 << 20 }
    }
}

impl Checkpoint {
    /// Finds every tensor of `modules` in the files of their component; an error names the first
    /// that is missing or has another shape.
    pub fn add(
        &mut self,
        component: Component,
        modules: &[&Module],
        files: &[Rc<TensorFile>],
    ) -> Result<(), WeightsError> {
        self.add_spelled(component, modules, files, &|module, part| {
            let paths = [Some(&module.path), module.alias.as_ref()];
            paths.into_iter().flatten().map(|path| Stored::whole(format!("{path}.{part}"))).collect()
        })
    }

    /// The same for files that spell the tensors as `spell` says, the likeliest first.
    pub fn add_spelled(
        &mut self,
        component: Component,
        modules: &[&Module],
        files: &[Rc<TensorFile>],
        spell: &dyn Fn(&Module, &str) -> Vec<Stored>,
    ) -> Result<(), WeightsError> {
        for module in modules {
            let parts = [("weight", module.weight_shape()), ("bias", vec![module.bias_len()])];
            for (part, wanted) in parts.into_iter().take(if module.bias { 2 } else { 1 }) {
                let name = format!("{component}.{}.{part}", module.path);
                let found = spell(module, part).into_iter().find_map(|spelled| {
                    files.iter().find_map(|file| Some((file, file.header.get(&spelled.key)?, spelled.clone())))
                });
                let Some((file, tensor, spelled)) = found else {
                    return Err(WeightsError::Missing { component, name: format!("{}.{part}", module.path) });
                };
                let tensor = stored_part(tensor, &spelled);
                let stored: Vec<usize> = match spelled.transposed {
                    true => tensor.shape.iter().rev().copied().collect(),
                    false => tensor.shape.clone(),
                };
                if squeezed(&stored) != squeezed(&wanted) {
                    return Err(WeightsError::Shape { name, found: stored, wanted });
                }
                let place = Place { file: file.clone(), tensor, transposed: spelled.transposed };
                self.places.insert(name.clone(), place);
                self.shapes.insert(name, wanted);
            }
        }
        Ok(())
    }

    /// PyTorch's shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    pub(super) fn place(&self, name: &str) -> Result<&Place, WeightsError> {
        let missing = || {
            let split = |component: Component| {
                Some((component, name.strip_prefix(component.name())?.strip_prefix('.')?.to_owned()))
            };
            match Component::ALL.into_iter().find_map(split) {
                Some((component, name)) => WeightsError::Missing { component, name },
                None => WeightsError::Unknown(name.into()),
            }
        };
        self.places.get(name).ok_or_else(missing)
    }

    /// The numbers of a tensor in the plan's order.
    pub async fn read(&self, name: &str, layout: Layout) -> Result<Vec<f32>, WeightsError> {
        let place = self.place(name)?;
        let data = place.file.read(&place.tensor).await?;
        Ok(match (place.transposed, place.tensor.shape.as_slice()) {
            (true, &[rows, _]) => transposed(&data, rows),
            (_, shape) => layout.arrange(data, shape),
        })
    }

    /// How a tensor may lie in memory without loss: matrices and kernels in the halves that their
    /// file has; what is small, or read otherwise, as f32.
    fn storage(&self, name: &str) -> Result<Storage, WeightsError> {
        let tensor = &self.place(name)?.tensor;
        let is_matrix = self.shape(name).is_some_and(|shape| shape.len() >= 2) && !name.contains("embeddings.");
        Ok(match tensor.dtype {
            Dtype::F16 | Dtype::F8_E4M3 | Dtype::F8_E5M2 if is_matrix => Storage::F16,
            Dtype::BF16 if is_matrix => Storage::Bf16,
            _ => Storage::F32,
        })
    }

    /// How tensors lie that are read as one: as each would, or as f32 where they differ.
    pub(super) fn common_storage<'a>(
        &self,
        mut names: impl Iterator<Item = &'a str>,
        keeps_halves: bool,
    ) -> Result<Storage, WeightsError> {
        let Some(first) = names.next().filter(|_| keeps_halves) else { return Ok(Storage::F32) };
        let storage = self.storage(first)?;
        for name in names {
            if self.storage(name)? != storage {
                return Ok(Storage::F32);
            }
        }
        Ok(storage)
    }

    /// How each tensor of a plan lies in graphics memory, in the order of its values.
    pub fn storages(&self, plan: &Plan, keeps_halves: bool) -> Result<Vec<Storage>, WeightsError> {
        let mut storages = vec![Storage::F32; plan.values.len()];
        for (index, value) in plan.values.iter().enumerate() {
            if let Source::Weight { name, .. } = &value.source {
                storages[index] = self.common_storage([name.as_str()].into_iter(), keeps_halves)?;
            }
        }
        for (index, value) in plan.values.iter().enumerate() {
            if let Source::Concatenated(parts) = &value.source {
                let is_common = parts.iter().all(|part| storages[part.0] == storages[parts[0].0]);
                let storage = if is_common { storages[parts[0].0] } else { Storage::F32 };
                parts.iter().for_each(|part| storages[part.0] = storage);
                storages[index] = storage;
            }
        }
        Ok(storages)
    }

    /// Bytes that each weight of a plan takes in graphics memory, by name.
    pub fn resident_bytes<'a>(
        &self,
        plan: &'a Plan,
        keeps_halves: bool,
    ) -> Result<BTreeMap<&'a str, u64>, WeightsError> {
        let storages = self.storages(plan, keeps_halves)?;
        let bytes = plan.values.iter().zip(storages).filter_map(|(value, storage)| match &value.source {
            Source::Weight { name, .. } => Some((name.as_str(), storage.resident(value.numel()))),
            _ => None,
        });
        Ok(bytes.collect())
    }

    /// The slices in which a tensor is brought to graphics memory: (place of the first number, what
    /// the file has of it). A slice is some of the outermost axis; turned tensors come whole.
    fn slices(&self, name: &str) -> Result<Vec<(u64, TensorInfo)>, WeightsError> {
        let Place { tensor, transposed, .. } = self.place(name)?;
        let (rows, row) = match tensor.shape.as_slice() {
            [rows, rest @ ..] if !transposed && !rest.is_empty() => (*rows, numel(rest)),
            _ => return Ok(vec![(0, tensor.clone())]),
        };
        // An even number of rows, so that halves are written in pairs.
        let each = host_len((self.slice / row.max(1) / 2 * 2).max(2));
        let slice = |start: usize| (start as u64 * row, tensor.rows(start..rows.min(start + each)));
        Ok((0..rows).step_by(each).map(slice).collect())
    }

    /// Brings a tensor to its room in graphics memory, slice by slice: main memory holds one slice at
    /// a time. Halves that the file has as they are wanted never become f32.
    pub(super) async fn fetch(
        &self,
        gpu: &Gpu,
        name: &str,
        layout: Layout,
        resident: &Tensor,
    ) -> Result<(), WeightsError> {
        let place = self.place(name)?;
        let storage = resident.storage;
        let is_same =
            matches!((place.tensor.dtype, storage), (Dtype::F16, Storage::F16) | (Dtype::BF16, Storage::Bf16));
        if place.transposed {
            return Ok(gpu.write(resident, &self.read(name, layout).await?)?);
        }
        for (first, part) in self.slices(name)? {
            if is_same {
                let failed =
                    |error: std::io::Error| WeightsError::File { file: place.file.name.clone(), source: error.into() };
                let bytes = place.file.source.read(part.bytes.clone()).await.map_err(failed)?;
                let halves = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
                gpu.write_halves_at(resident, first, &layout.arrange(halves, &part.shape))?;
            } else {
                gpu.write_at(resident, first, &layout.arrange(place.file.read(&part).await?, &part.shape))?;
            }
        }
        Ok(())
    }

    /// Rows of a table, one after the other: the token embeddings of a prompt.
    pub async fn rows(&self, name: &str, rows: &[u32]) -> Result<Vec<f32>, WeightsError> {
        let place = self.place(name)?;
        let (count, width) = match place.tensor.shape.as_slice() {
            &[count, width] => (count as u64, width),
            other => {
                return Err(WeightsError::Shape { name: name.into(), found: other.to_vec(), wanted: vec![0, 0] });
            }
        };
        let bytes = (place.tensor.bytes.end - place.tensor.bytes.start) / count.max(1);
        let mut known: HashMap<u32, Vec<f32>> = HashMap::new();
        let mut out = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            if u64::from(row) >= count {
                let found = vec![row as usize];
                return Err(WeightsError::Shape { name: format!("{name}, row"), found, wanted: vec![host_len(count)] });
            }
            let numbers = match known.entry(row) {
                Entry::Occupied(numbers) => numbers.into_mut(),
                Entry::Vacant(place_of) => {
                    let start = place.tensor.bytes.start + u64::from(row) * bytes;
                    let one = TensorInfo { bytes: start..start + bytes, shape: vec![width], ..place.tensor.clone() };
                    place_of.insert(place.file.read(&one).await?)
                }
            };
            out.extend_from_slice(numbers);
        }
        Ok(out)
    }
}

/// A shape without the axes of length 1 at its end: (C, C, 1, 1) stands for (C, C).
fn squeezed(shape: &[usize]) -> &[usize] {
    let kept = shape.iter().rposition(|&length| length != 1).map_or(1, |last| last + 1);
    &shape[..kept.min(shape.len())]
}

#[cfg(test)]
mod tests {
    use super::Checkpoint;
    use crate::model::Component;
    use crate::plan::Layout;

    #[test]
    fn a_tensor_that_is_missing_is_blamed_on_the_files_that_lack_it() {
        let said = |name: &str| {
            let read = pollster::block_on(Checkpoint::default().read(name, Layout::Plain));
            read.expect_err("a refusal").to_string()
        };
        for component in Component::ALL {
            let said = said(&format!("{component}.encoder.conv_in.weight"));
            assert!(said.contains(&format!("the model's {component} files lack `encoder.conv_in.weight`")), "{said}");
        }
        for name in ["conv_in.weight", "unets.conv_in.weight", "text_encoder4.x", "unet"] {
            let said = said(name);
            assert!(said.contains(&format!("no tensor `{name}`")), "{said}");
        }
    }
}
