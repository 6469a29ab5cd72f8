//! Checkpoints: the locations of a model's tensors in its files, their storage in GPU memory, and their upload in
//! slices.

use super::WeightsError;
use crate::adapters::stored_part;
use crate::device::Tensor;
use crate::formats::{ByteSource, Dtype, Header, TensorInfo, read_header};
use crate::gpu::{KernelConfig, WeightChoice};
use crate::linalg::transposed;
use crate::model::{Component, Module, TensorLocation};
use crate::num::{host_len, numel};
use crate::ops::{BLOCK, SUPERBLOCK, Storage};
use crate::plan::{Layout, Part, Plan, Source, Value};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::rc::Rc;

/// Tensors that are never quantized: few, and what they lose reaches every pixel.
const UNQUANTIZED: [&str; 5] =
    ["vae.", "unet.conv_in.", "unet.conv_out.", "unet.time_embedding.", "unet.add_embedding."];
/// Multiple of the superblocks of a part that is bound by itself: WebGPU aligns bindings to 256 bytes.
const CONTIGUOUS_SUPERBLOCKS: u64 = 16;
/// Multiple of the rows of an upload's slices.
const SLICE_ROWS: u64 = 8;

/// A file of tensors and its header.
pub struct TensorFile {
    /// Name in error messages.
    pub name: String,
    /// The file's header.
    pub header: Header,
    /// The file's bytes.
    pub source: Rc<dyn ByteSource>,
}

impl TensorFile {
    /// Reads the header of a file.
    pub async fn open(name: String, source: Rc<dyn ByteSource>) -> Result<TensorFile, WeightsError> {
        match read_header(source.as_ref()).await {
            Ok(header) => Ok(TensorFile { name, header, source }),
            Err(source) => Err(WeightsError::File { file: name, source }),
        }
    }

    /// Reads the elements of a tensor, in the file's order.
    pub async fn read(&self, tensor: &TensorInfo) -> Result<Vec<f32>, WeightsError> {
        let failed = |source| WeightsError::File { file: self.name.clone(), source };
        tensor.read(self.source.as_ref()).await.map_err(failed)
    }
}

/// Location of a tensor of the model.
pub(super) struct Place {
    file: Rc<TensorFile>,
    pub(super) tensor: TensorInfo,
    transposed: bool,
    /// A number with which all elements are multiplied (scaled f8).
    scale: Option<TensorInfo>,
}

impl Place {
    /// Reads the elements of a part of the tensor.
    async fn read(&self, part: &TensorInfo) -> Result<Vec<f32>, WeightsError> {
        let mut elements = self.file.read(part).await?;
        if let Some(scale) = &self.scale
            && let [scale] = self.file.read(scale).await?[..]
        {
            elements.iter_mut().for_each(|element| *element *= scale);
        }
        Ok(elements)
    }
}

/// Returns the tensor with the scale of a tensor, under ComfyUI's names.
fn scale<'a>(header: &'a Header, key: &str) -> Option<&'a TensorInfo> {
    let layer = key.strip_suffix(".weight")?;
    header.get(&format!("{layer}.scale_weight")).or_else(|| header.get(&format!("{key}_scale")))
}

/// The tensors of a model's networks, found in its files by name and checked by shape.
pub struct Checkpoint {
    places: HashMap<String, Place>,
    shapes: BTreeMap<String, Vec<usize>>,
    /// Maximum number of elements per slice of an upload; a slice has at least eight rows.
    pub slice: u64,
    /// Maximum bytes of the weights of a part of a network that is streamed.
    pub part: u64,
}

impl Default for Checkpoint {
    fn default() -> Checkpoint {
        Checkpoint { places: HashMap::new(), shapes: BTreeMap::new(), slice: 4 << 20, part: 128 << 20 }
    }
}

impl Checkpoint {
    /// Finds every tensor of `modules` in the files of their component. Returns an error for the first that is missing
    /// or has the wrong shape.
    pub fn add(
        &mut self,
        component: Component,
        modules: &[&Module],
        files: &[Rc<TensorFile>],
    ) -> Result<(), WeightsError> {
        self.add_spelled(component, modules, files, &|module, part| {
            let paths = [Some(&module.path), module.alias.as_ref()];
            paths.into_iter().flatten().map(|path| TensorLocation::whole(format!("{path}.{part}"))).collect()
        })
    }

    /// [`Checkpoint::add`] for files with other keys. `spell` returns the candidates, the likeliest first.
    pub fn add_spelled(
        &mut self,
        component: Component,
        modules: &[&Module],
        files: &[Rc<TensorFile>],
        spell: &dyn Fn(&Module, &str) -> Vec<TensorLocation>,
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
                let scale = scale(&file.header, &spelled.key).cloned();
                if let Some(scale) = scale.as_ref().filter(|scale| scale.elements() != 1) {
                    return Err(WeightsError::Shape {
                        name: scale.name.clone(),
                        found: scale.shape.clone(),
                        wanted: vec![1],
                    });
                }
                let place = Place { file: file.clone(), tensor, transposed: spelled.transposed, scale };
                self.places.insert(name.clone(), place);
                self.shapes.insert(name, wanted);
            }
        }
        Ok(())
    }

    /// Returns the PyTorch shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    /// Returns the files that have tensors of a component.
    pub(super) fn files_of(&self, component: Component) -> Vec<&TensorFile> {
        let prefix = format!("{component}.");
        let mut files: Vec<&TensorFile> = Vec::new();
        for (_, place) in self.places.iter().filter(|(name, _)| name.starts_with(&prefix)) {
            if !files.iter().any(|file| std::ptr::eq(*file, place.file.as_ref())) {
                files.push(&place.file);
            }
        }
        files
    }

    /// Returns the location of a tensor.
    pub(super) fn place(&self, name: &str) -> Result<&Place, WeightsError> {
        let missing = || {
            let strip = |component: Component| {
                Some((component, name.strip_prefix(component.name())?.strip_prefix('.')?.to_owned()))
            };
            match Component::ALL.into_iter().find_map(strip) {
                Some((component, name)) => WeightsError::Missing { component, name },
                None => WeightsError::Unknown(name.into()),
            }
        };
        self.places.get(name).ok_or_else(missing)
    }

    /// Reads the elements of a tensor in the plan's layout.
    pub async fn read(&self, name: &str, layout: Layout) -> Result<Vec<f32>, WeightsError> {
        let place = self.place(name)?;
        let data = place.read(&place.tensor).await?;
        Ok(match (place.transposed, place.tensor.shape.as_slice()) {
            (true, &[_, columns]) => transposed(&data, columns),
            (_, shape) => layout.arrange(data, shape),
        })
    }

    /// Returns whether a tensor is a matrix or a convolution's filters, not an embedding.
    fn is_matrix(&self, name: &str) -> bool {
        self.shape(name).is_some_and(|shape| shape.len() >= 2) && !name.contains("embeddings.")
    }

    /// Returns the storage of a tensor without a choice: matrices and kernels in the 16-bit type of their file, f8 and
    /// quantized ones as f16; vectors, embeddings and other dtypes as f32. Only the products of quantized elements with
    /// their scales are rounded.
    pub(super) fn lossless(&self, name: &str) -> Result<Storage, WeightsError> {
        let is_matrix = self.is_matrix(name);
        let tensor = &self.place(name)?.tensor;
        Ok(match tensor.dtype {
            _ if is_matrix && tensor.blocks.is_some() => Storage::F16,
            Dtype::F16 | Dtype::F8_E4M3 | Dtype::F8_E5M2 if is_matrix => Storage::F16,
            Dtype::BF16 if is_matrix => Storage::Bf16,
            _ => Storage::F32,
        })
    }

    /// Returns the storage of a tensor that is read by itself.
    fn storage(&self, name: &str, config: &KernelConfig) -> Result<Storage, WeightsError> {
        let lossless = self.lossless(name)?;
        Ok(match config.weights {
            WeightChoice::Auto if !config.f16_weights => Storage::F32,
            WeightChoice::Auto => lossless,
            WeightChoice::Q8 if self.is_quantizable(name) => Storage::Q8,
            WeightChoice::Q4 if self.is_quantizable(name) => Storage::Q4,
            _ if lossless == Storage::F32 && self.is_matrix(name) => Storage::F16,
            _ => lossless,
        })
    }

    /// Returns whether a tensor may be quantized: a matrix of whole superblocks, whose rows in memory are whole blocks,
    /// of a layer in the middle of a network.
    fn is_quantizable(&self, name: &str) -> bool {
        let is_excepted = UNQUANTIZED.iter().any(|prefix| name.starts_with(prefix)) || name.contains("text_projection");
        let has_whole_blocks = |shape: &[usize]| {
            shape[0].is_multiple_of(4)
                && shape[1].is_multiple_of(BLOCK)
                && numel(shape).is_multiple_of(SUPERBLOCK as u64)
        };
        self.is_matrix(name) && !is_excepted && self.shape(name).is_some_and(has_whole_blocks)
    }

    /// Returns the storage of tensors that are read concatenated: their own, or f32 if they differ. Quantized parts must
    /// be long enough to be bound by themselves; otherwise all are stored in 16 bits.
    pub(super) fn common_storage(&self, names: &[&str], config: &KernelConfig) -> Result<Storage, WeightsError> {
        let storages = names.iter().map(|name| self.storage(name, config)).collect::<Result<Vec<_>, WeightsError>>()?;
        let is_whole = |name: &&str| {
            self.shape(name)
                .is_some_and(|shape| numel(shape).is_multiple_of(CONTIGUOUS_SUPERBLOCKS * SUPERBLOCK as u64))
        };
        let Some(&first) = storages.first() else { return Ok(Storage::F32) };
        let is_common = storages.iter().all(|&storage| storage == first);
        let is_quantized = storages.iter().any(|storage| storage.blocks().is_some());
        Ok(match is_quantized {
            _ if names.len() == 1 => first,
            true if is_common && names.iter().all(is_whole) => first,
            true => self.common_storage(names, &KernelConfig { weights: WeightChoice::F16, ..config.clone() })?,
            false if is_common => first,
            false => Storage::F32,
        })
    }

    /// Returns the storage of each tensor of a plan, in the order of its values.
    pub fn storages(&self, plan: &Plan, config: &KernelConfig) -> Result<Vec<Storage>, WeightsError> {
        let mut storages = vec![Storage::F32; plan.values.len()];
        for (index, value) in plan.values.iter().enumerate() {
            if let Some(name) = weight_name(value) {
                storages[index] = self.storage(name, config)?;
            }
        }
        for (index, value) in plan.values.iter().enumerate() {
            if let Source::Concatenated(parts) = &value.source {
                let names: Vec<&str> = parts.iter().filter_map(|&part| weight_name(plan.value(part))).collect();
                storages[index] = self.common_storage(&names, config)?;
                parts.iter().for_each(|part| storages[part.0] = storages[index]);
            }
        }
        Ok(storages)
    }

    /// Returns the size of each weight of a plan in GPU memory, in bytes, by name.
    pub fn resident_bytes<'a>(
        &self,
        plan: &'a Plan,
        config: &KernelConfig,
    ) -> Result<BTreeMap<&'a str, u64>, WeightsError> {
        let storages = self.storages(plan, config)?;
        let bytes = plan.values.iter().zip(storages);
        Ok(bytes.filter_map(|(value, storage)| Some((weight_name(value)?, storage.resident(value.numel())))).collect())
    }

    /// Divides a plan into the parts in which it is streamed.
    pub fn parts(&self, plan: &Plan, config: &KernelConfig) -> Result<Vec<Part>, WeightsError> {
        Ok(plan.divided(self.part, &self.resident_bytes(plan, config)?))
    }

    /// Returns the number of rows (of the outermost axis) of a tensor and their length; `None` for transposed tensors and
    /// vectors, which are read whole.
    fn rows_of(&self, name: &str) -> Result<Option<(usize, u64)>, WeightsError> {
        let Place { tensor, transposed, .. } = self.place(name)?;
        Ok(match tensor.shape.as_slice() {
            [rows, rest @ ..] if !transposed && !rest.is_empty() && tensor.has_whole_rows() => {
                Some((*rows, numel(rest)))
            }
            _ => None,
        })
    }

    /// Splits a range of rows into slices of a multiple of `multiple` rows, except the last.
    fn slices(&self, rows: Range<usize>, row: u64, multiple: u64) -> Vec<Range<usize>> {
        let step = host_len((self.slice / row.max(1) / multiple * multiple).max(multiple));
        rows.clone().step_by(step).map(|start| start..rows.end.min(start + step)).collect()
    }

    /// Returns the ranges of rows in which a tensor can be folded: in each storage they begin where a binding may. `None`
    /// if it has to be folded whole.
    pub(super) fn fold_slices(&self, name: &str) -> Result<Option<Vec<Range<usize>>>, WeightsError> {
        let aligned = CONTIGUOUS_SUPERBLOCKS * SUPERBLOCK as u64;
        let slices = self.rows_of(name)?.map(|(rows, row)| {
            let shared = 1 << row.trailing_zeros().min(aligned.trailing_zeros());
            self.slices(0..rows, row, SLICE_ROWS.max(aligned / shared))
        });
        Ok(slices)
    }

    /// Uploads a tensor to `resident`.
    pub(super) async fn fetch(&self, name: &str, layout: Layout, resident: &Tensor) -> Result<(), WeightsError> {
        match self.rows_of(name)? {
            Some((rows, _)) => self.fetch_rows(name, 0..rows, layout, resident).await,
            None => self.fetch_part(self.place(name)?, &self.place(name)?.tensor, layout, 0, resident).await,
        }
    }

    /// Uploads some rows of a tensor, slice by slice: CPU memory holds one slice at a time.
    pub(super) async fn fetch_rows(
        &self,
        name: &str,
        rows: Range<usize>,
        layout: Layout,
        resident: &Tensor,
    ) -> Result<(), WeightsError> {
        let place = self.place(name)?;
        let row = numel(place.tensor.shape.get(1..).unwrap_or(&[]));
        // Whole superblocks, since rows of quantized weights are whole blocks.
        for slice in self.slices(rows.clone(), row, SLICE_ROWS) {
            let first = (slice.start - rows.start) as u64 * row;
            self.fetch_part(place, &place.tensor.rows(slice), layout, first, resident).await?;
        }
        Ok(())
    }

    /// Uploads a part of a tensor to `resident` from index `first` on. f16 or bf16 elements that the file has in the
    /// wanted type are not converted to f32.
    async fn fetch_part(
        &self,
        place: &Place,
        part: &TensorInfo,
        layout: Layout,
        first: u64,
        resident: &Tensor,
    ) -> Result<(), WeightsError> {
        let storage = resident.storage();
        let is_same_type = place.scale.is_none()
            && matches!((place.tensor.dtype, storage), (Dtype::F16, Storage::F16) | (Dtype::BF16, Storage::Bf16));
        match (place.transposed, part.shape.as_slice()) {
            (true, &[_, columns]) => resident.write_at(first, &transposed(&place.read(part).await?, columns))?,
            _ if is_same_type => {
                let failed =
                    |error: std::io::Error| WeightsError::File { file: place.file.name.clone(), source: error.into() };
                let bytes = part.read_bytes(place.file.source.as_ref()).await.map_err(failed)?;
                let bits = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
                resident.write_u16_at(first, &layout.arrange(bits, &part.shape))?;
            }
            _ => resident.write_at(first, &layout.arrange(place.read(part).await?, &part.shape))?,
        }
        Ok(())
    }

    /// Reads rows of an embedding table and concatenates them: the token embeddings of a prompt.
    pub async fn rows(&self, name: &str, rows: &[u32]) -> Result<Vec<f32>, WeightsError> {
        let place = self.place(name)?;
        let (count, width) = match place.tensor.shape.as_slice() {
            &[count, width] => (count as u64, width),
            other => {
                return Err(WeightsError::Shape { name: name.into(), found: other.to_vec(), wanted: vec![0, 0] });
            }
        };
        let mut cache: HashMap<u32, Vec<f32>> = HashMap::new();
        let mut out = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            if u64::from(row) >= count {
                let found = vec![row as usize];
                return Err(WeightsError::Shape { name: format!("{name}, row"), found, wanted: vec![host_len(count)] });
            }
            let elements = match cache.entry(row) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let row = row as usize;
                    entry.insert(place.read(&place.tensor.rows(row..row + 1)).await?)
                }
            };
            out.extend_from_slice(elements);
        }
        Ok(out)
    }
}

/// Returns the name of a weight.
fn weight_name(value: &Value) -> Option<&str> {
    match &value.source {
        Source::Weight { name, .. } => Some(name),
        _ => None,
    }
}

/// Strips trailing axes of length 1 from a shape: (C, C, 1, 1) becomes (C, C).
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
    fn a_missing_tensor_error_names_the_component_or_the_unknown_name() {
        let message = |name: &str| {
            let read = pollster::block_on(Checkpoint::default().read(name, Layout::Plain));
            read.expect_err("a missing tensor").to_string()
        };
        for component in Component::ALL {
            let error = message(&format!("{component}.encoder.conv_in.weight"));
            let expected = format!("the model's {component} files have no tensor `encoder.conv_in.weight`");
            assert!(error.contains(&expected), "{error}");
        }
        for name in ["conv_in.weight", "unets.conv_in.weight", "text_encoder4.x", "unet"] {
            let error = message(name);
            assert!(error.contains(&format!("no tensor `{name}`")), "{error}");
        }
    }
}
