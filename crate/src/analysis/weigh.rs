//! Norm of each change relative to the base model's weights.

use super::compare::{ComparedFile, ReadError};
use super::health::Health;
use super::modules::{Coverage, ModuleRow};
use crate::adapters::{BaseTensor, Delta, ModelFile, Places, fold_on_cpu};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use ts_rs::TS;

/// Norms of a layer's change and of its base weights.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerImpact {
    /// Layer path: `unet.down_blocks.0…`.
    pub path: String,
    /// Frobenius norm of the base model's tensors that change.
    pub base_norm: f64,
    /// Frobenius norm of the change at strength 1.
    pub norm: f64,
}

/// The parts of a report that depend on the layers' norms.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct Measures {
    /// Every changed layer.
    pub modules: Vec<ModuleRow>,
    /// Norm per block.
    pub coverage: Vec<Coverage>,
    /// Strength of the whole file.
    pub health: Option<Health>,
}

impl LayerImpact {
    /// Returns ‖change‖ / ‖weight‖ at strength 1.
    pub fn relative(&self) -> f64 {
        self.norm / self.base_norm
    }
}

impl Measures {
    /// Updates norms and strengths with measurements against the base model.
    pub fn weigh(&mut self, layers: &[LayerImpact]) {
        let known: HashMap<&str, &LayerImpact> = layers.iter().map(|layer| (layer.path.as_str(), layer)).collect();
        for row in &mut self.modules {
            if let Some(layer) = known.get(row.path.as_str()) {
                (row.base_norm, row.norm) = (Some(layer.base_norm), Some(layer.norm));
            }
        }
        for block in &mut self.coverage {
            block.measure(&self.modules);
        }
        if let Some(health) = &mut self.health {
            let measured = self.modules.iter().all(|row| row.base_norm.is_some());
            health.measure(self.modules.iter().filter_map(ModuleRow::relative), measured);
        }
    }
}

/// Measures every change whose base tensors have matching shapes. `norms` holds the layers' known norms at
/// strength 1; for other layers the adapter's tensors are read, and folded into the weights if the change depends on
/// them. `base` is the model's name, for error messages. `on_progress` receives (bytes read, total bytes) of the
/// model; if it breaks, the layers measured so far are returned.
pub async fn compare_with_base(
    adapter: ComparedFile<'_>,
    norms: &HashMap<&str, f64>,
    base: &str,
    files: &[ModelFile<'_>],
    places: &Places,
    on_progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Vec<LayerImpact>, ReadError> {
    let unreadable = |source| ReadError { file: base.into(), source };
    let mut layers: BTreeMap<String, Vec<(&Delta, BaseTensor)>> = BTreeMap::new();
    for delta in &adapter.adapter.deltas {
        let base = BaseTensor::find(files, places, &delta.tensor());
        if let Some(base) = base.filter(|base| delta.fits(&base.shape())) {
            layers.entry(delta.path()).or_default().push((delta, base));
        }
    }
    let mut layers: Vec<_> = layers.into_iter().collect();
    layers.sort_by_key(|(_, parts)| parts[0].1.place()); // in file order: sequential reads are fastest
    let total = layers.iter().flat_map(|(_, parts)| parts).map(|(_, base)| base.bytes()).sum();
    let (mut done, mut impacts) = (0, Vec::new());
    for (path, parts) in layers {
        let known = norms.get(path.as_str()).copied();
        let (mut base_norm, mut norm) = (0f64, 0f64);
        for (delta, tensor) in &parts {
            let base = tensor.read().await.map_err(unreadable)?;
            base_norm = base_norm.hypot(frobenius(&base));
            if known.is_none() {
                norm = norm.hypot(changed_by(&adapter, delta, base, &tensor.shape()).await?);
            }
            done += tensor.bytes();
        }
        impacts.push(LayerImpact { path, base_norm, norm: known.unwrap_or(norm) });
        if on_progress(done, total).is_break() {
            break;
        }
    }
    Ok(impacts)
}

/// Returns the Frobenius norm of what a delta adds to `base` at strength 1; NaN if it cannot be folded.
async fn changed_by(
    adapter: &ComparedFile<'_>,
    delta: &Delta,
    base: Vec<f32>,
    shape: &[usize],
) -> Result<f64, ReadError> {
    let factors = adapter.read(delta).await?;
    if let Some(norm) = delta.norm(&factors) {
        return Ok(norm);
    }
    let Ok(mut change) = fold_on_cpu(base.clone(), shape, &[(delta, &factors, 1.0)]) else { return Ok(f64::NAN) };
    change.iter_mut().zip(&base).for_each(|(after, before)| *after -= before);
    Ok(frobenius(&change))
}

fn frobenius(elements: &[f32]) -> f64 {
    /// Independent sums, which vectorize: the compiler may not reorder a single one.
    const LANES: usize = 8;
    let mut sums = [0f64; LANES];
    for chunk in elements.chunks(LANES) {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    sums.iter().sum::<f64>().sqrt()
}
