//! The choice of the storage of a model's weights by the memory of a device.

use super::error::PipelineError;
use super::model::Model;
use super::plans::{ImagePlans, MemoryRequirements};
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

impl WeightStorage {
    /// Returns whether a partner with the same weights has room beside the session in `memory` bytes for both.
    pub fn leaves_room_for_partner(
        &self,
        model: &Model,
        config: &KernelConfig,
        memory: u64,
    ) -> Result<bool, PipelineError> {
        let config = KernelConfig { weights: self.weights, ..config.clone() };
        let own = self.needs.iter().find(|need| need.weights == self.weights).map_or(0, |need| need.bytes);
        let is_possible = own < memory && !config.streams_denoiser();
        Ok(is_possible && own + model.partner_memory(&config)? <= memory)
    }
}

impl Model {
    /// Returns the memory of a partner for an image as [`StorageNeed::bytes`] counts it.
    pub fn partner_memory(&self, config: &KernelConfig) -> Result<u64, PipelineError> {
        let shape = self.native_shape();
        let plans = ImagePlans::with_items(self, shape, shape.items() / 2, config)?;
        let need = MemoryRequirements::of(self, &[&plans.texts, &plans.denoiser], config)?;
        Ok(need.total() + self.copies(&plans, config)?)
    }

    /// Returns the memory of copies of all the denoiser's weights, if there are any.
    fn copies(&self, plans: &ImagePlans, config: &KernelConfig) -> Result<u64, PipelineError> {
        if config.saves_memory() {
            return Ok(0);
        }
        let mut copies = self.checkpoint.resident_bytes(&plans.texts, config)?;
        copies.extend(self.checkpoint.resident_bytes(&plans.denoiser, config)?);
        Ok(copies.values().sum())
    }

    /// Returns the memory of an image as [`StorageNeed::bytes`] counts it.
    fn native_memory(&self, config: &KernelConfig) -> Result<u64, PipelineError> {
        let shape = self.native_shape();
        let need = self.memory_need(shape, config, &[])?;
        Ok(need.total() + self.copies(&ImagePlans::new(self, shape, config)?, config)?)
    }
}
