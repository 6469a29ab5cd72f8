//! The choice of the storage of a model's weights by the memory of a device.

use super::error::PipelineError;
use super::model::Model;
use super::plans::ImagePlans;
use crate::gpu::{KernelConfig, WeightChoice};
use serde::Serialize;
use ts_rs::TS;

/// Memory of an image with one storage of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
pub struct StorageNeed {
    /// Storage of the weights.
    pub weights: WeightChoice,
    /// Bytes of one image of the model's native size with guidance. With `auto`, LoRAs for all layers of the denoiser are
    /// included, whose original weights are kept; the others keep none.
    #[ts(type = "number")]
    pub bytes: u64,
}

/// How a model's weights are stored, and how they could be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct WeightStorage {
    /// How they are stored.
    pub weights: WeightChoice,
    /// Memory of each choice, in the order of preference.
    pub needs: Vec<StorageNeed>,
}

impl WeightStorage {
    /// Returns the storage that a user chose; if that is `auto`, the preferred one of those that fit `memory` bytes (any
    /// without a limit), or else the smallest.
    pub fn choose(
        model: &Model,
        config: &KernelConfig,
        chosen: WeightChoice,
        memory: Option<u64>,
    ) -> Result<WeightStorage, PipelineError> {
        let need = |weights| {
            let bytes = model.native_memory(&KernelConfig { weights, ..config.clone() })?;
            Ok(StorageNeed { weights, bytes })
        };
        let needs = WeightChoice::ALL.into_iter().map(need).collect::<Result<Vec<_>, PipelineError>>()?;
        let fits = |need: &&StorageNeed| memory.is_none_or(|memory| need.bytes <= memory);
        let fitting = needs.iter().find(fits).map_or(WeightChoice::Streamed, |need| need.weights);
        Ok(WeightStorage { weights: if chosen == WeightChoice::Auto { fitting } else { chosen }, needs })
    }
}

impl Model {
    /// Returns the memory of an image as [`StorageNeed::bytes`] counts it.
    fn native_memory(&self, config: &KernelConfig) -> Result<u64, PipelineError> {
        let shape = self.native_shape();
        let need = self.memory_need(shape, config, &[])?;
        if config.saves_memory() {
            return Ok(need.total());
        }
        let ImagePlans { texts, denoiser, .. } = ImagePlans::new(self, shape, config)?;
        let mut copies = self.checkpoint.resident_bytes(&texts, config)?;
        copies.extend(self.checkpoint.resident_bytes(&denoiser, config)?);
        Ok(need.total() + copies.values().sum::<u64>())
    }
}
