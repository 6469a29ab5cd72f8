//! Turns an adapter and its base model into how large every change is beside the weight that it changes.

use super::compare::{ComparedFile, Unreadable};
use super::health::Health;
use super::report::{Coverage, ModuleRow};
use crate::adapters::{BaseTensor, Delta, ModelFile, Places, fold_on_cpu};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use ts_rs::TS;

/// A changed layer beside its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerImpact {
    /// The layer: `unet.down_blocks.0…`.
    pub path: String,
    /// Frobenius norm of those of the base model's tensors that change.
    pub base_norm: f64,
    /// Frobenius norm of the change at strength 1.
    pub norm: f64,
}

/// What a report says of strengths.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct Measures {
    /// Every layer that changes.
    pub modules: Vec<ModuleRow>,
    /// The blocks.
    pub coverage: Vec<Coverage>,
    /// How strong all are together.
    pub health: Option<Health>,
}

impl LayerImpact {
    /// ‖change‖ / ‖weight‖ at strength 1.
    pub fn relative(&self) -> f64 {
        self.norm / self.base_norm
    }
}

impl Measures {
    /// Takes in what the base model says of the layers.
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

/// Weighs every change whose tensors the model has at the change's size. `norms` has the layers'
/// norms at strength 1 as far as they are known: of the others the adapter's numbers are read, and
/// folded into the weights where the change depends on these. `base` is the model's name, for
/// messages. `hear` is told of bytes of the model, (done, of all), and may stop it: what is weighed by
/// then comes back.
pub async fn weigh(
    adapter: ComparedFile<'_>,
    norms: &HashMap<&str, f64>,
    base: &str,
    files: &[ModelFile<'_>],
    places: &Places,
    hear: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Vec<LayerImpact>, Unreadable> {
    let unreadable = |source| Unreadable { file: base.into(), source };
    let mut layers: BTreeMap<String, Vec<(&Delta, BaseTensor)>> = BTreeMap::new();
    for delta in &adapter.adapter.deltas {
        let base = BaseTensor::find(files, places, &delta.tensor());
        if let Some(base) = base.filter(|base| delta.fits(&base.shape())) {
            layers.entry(delta.path()).or_default().push((delta, base));
        }
    }
    let mut layers: Vec<_> = layers.into_iter().collect();
    layers.sort_by_key(|(_, parts)| parts[0].1.place()); // as the file is read fastest
    let total = layers.iter().flat_map(|(_, parts)| parts).map(|(_, base)| base.bytes()).sum();
    let (mut done, mut weighed) = (0, Vec::new());
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
        weighed.push(LayerImpact { path, base_norm, norm: known.unwrap_or(norm) });
        if hear(done, total).is_break() {
            break;
        }
    }
    Ok(weighed)
}

/// Frobenius norm of what a delta adds to `base` at strength 1; NaN where it cannot be folded.
async fn changed_by(
    adapter: &ComparedFile<'_>,
    delta: &Delta,
    base: Vec<f32>,
    shape: &[usize],
) -> Result<f64, Unreadable> {
    let numbers = adapter.read(delta).await?;
    if let Some(norm) = delta.norm(&numbers) {
        return Ok(norm);
    }
    let Ok(mut change) = fold_on_cpu(base.clone(), shape, &[(delta, &numbers, 1.0)]) else { return Ok(f64::NAN) };
    change.iter_mut().zip(&base).for_each(|(after, before)| *after -= before);
    Ok(frobenius(&change))
}

fn frobenius(numbers: &[f32]) -> f64 {
    /// Sums that do not wait for each other: the compiler may not reorder one.
    const LANES: usize = 8;
    let mut sums = [0f64; LANES];
    for chunk in numbers.chunks(LANES) {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    sums.iter().sum::<f64>().sqrt()
}
