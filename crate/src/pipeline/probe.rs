//! Runs of a single network with access to the output of any step: for tests against a reference, and to
//! find the first step where two devices differ.

use super::error::PipelineError;
use super::plans;
use super::session::Session;
use crate::device::Runner;
use crate::plan::Plan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A network of the pipeline, with its input size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum Network {
    /// The text encoder: input `tokens`, outputs `states` and `last`.
    TextEncoder { batch: usize, tokens: usize },
    /// SDXL's second text encoder: input `tokens`, outputs `states` and `last`.
    TextEncoder2 { batch: usize, tokens: usize },
    /// The UNet: inputs `sample`, `time`, `text`, output `noise`.
    Unet { batch: usize, height: usize, width: usize, tokens: usize },
    /// The VAE's decoder, with the latents' size: input `latents`, output `image`.
    VaeDecoder { batch: usize, height: usize, width: usize },
    /// The VAE's encoder, with the size in pixels: input `image`, output `moments`.
    VaeEncoder { batch: usize, height: usize, width: usize },
}

impl Session {
    /// Plans one network of this session's model.
    pub fn plan(&self, network: Network) -> Result<Plan, PipelineError> {
        let model = &self.model;
        Ok(match network {
            Network::TextEncoder { batch, tokens } => model.spec.text_plan(0, batch, tokens, 0)?,
            Network::TextEncoder2 { batch, tokens } => model.spec.text_plan(1, batch, tokens, 0)?,
            Network::Unet { batch, height, width, tokens } => model.spec.denoiser(batch, height, width, tokens)?,
            Network::VaeDecoder { batch, height, width } => plans::decoder(model, batch, height, width, &self.config)?,
            Network::VaeEncoder { batch, height, width } => plans::encoder(model, batch, height, width, &self.config)?,
        })
    }

    /// Uploads the weights of one network to the GPU.
    pub async fn probe_loading(&mut self, network: Network) -> Result<(), PipelineError> {
        let plan = self.plan(network)?.fuse_epilogues();
        self.load(&[&plan], &mut |_, _, _, _| Ok(())).await
    }

    /// Tunes the kernels of one network, on any device.
    pub async fn probe_tuning(&mut self, network: Network) -> Result<(), PipelineError> {
        let plan = self.plan(network)?.fuse_epilogues();
        let storages = self.model.checkpoint.storages(&plan, &self.config)?;
        let plans: [(&Plan, &[_]); 1] = [(&plan, &storages)];
        if let Some(gpu) = self.gpu() {
            self.config = gpu.tune_all(&self.config, &plans, &mut |_, _| ControlFlow::Continue(())).await?;
        }
        Ok(())
    }

    /// Runs one network and returns its outputs and those of the steps labelled `taps`.
    pub async fn probe(
        &mut self,
        network: Network,
        inputs: &BTreeMap<String, Vec<f32>>,
        taps: &[String],
    ) -> Result<BTreeMap<String, Vec<f32>>, PipelineError> {
        let plan = self.plan(network)?.with_taps(taps).fuse_epilogues();
        self.load(&[&plan], &mut |_, _, _, _| Ok(())).await?;
        let runner = Runner::new(&self.device, &self.config, &plan, &|name| self.weights.get(name)).await?;
        for (name, data) in inputs {
            runner.set(name, data)?;
        }
        runner.run()?;
        let mut outputs = BTreeMap::new();
        for (name, _) in &plan.outputs {
            if let Some(tensor) = runner.output(name) {
                outputs.insert(name.clone(), tensor.read().await?);
            }
        }
        Ok(outputs)
    }
}
