//! Calls of the denoiser whose second half a partner computes, and the partner's part.

use super::error::PipelineError;
use super::half::{Half, HalfOf, HalfRunners, Input};
use super::plans::ImagePlans;
use super::run_denoiser::RunContext;
use super::session::Session;
use super::shape::Shape;
use super::spec::LocalFuture;
use crate::device::{Arena, Runner};
use crate::model::Component;
use crate::weights::{FoldTarget, LoadedAdapter, Strength};

impl Session {
    /// Returns whether a partner computes half of the items of this shape.
    pub(super) fn is_shared(&self, shape: Shape) -> bool {
        self.partner.is_some() && shape.items().is_multiple_of(2) && !self.config.streams_denoiser()
    }

    /// Lets the partner load weights and adapters, if there is one and this shape is shared.
    pub(super) fn prepare_partner(
        &self,
        shape: Shape,
        adapters: &[(&LoadedAdapter, Strength)],
    ) -> Option<LocalFuture<'static, Result<Vec<f32>, PipelineError>>> {
        let partner = self.partner.as_ref().filter(|_| self.is_shared(shape))?;
        Some(partner.start(Half { of: HalfOf::new(shape, adapters), ..Half::default() }))
    }

    /// Computes the predictions of a call for all items, half of them by the partner if the runners are for half.
    pub(super) async fn predict(
        &mut self,
        texts: &[Input],
        call: &[Input],
        context: RunContext<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let runners = context.runners;
        let second_half = |inputs: &[Input]| {
            inputs.iter().map(|(name, values)| (name.clone(), values[values.len() / 2..].to_vec())).collect()
        };
        let partner = self.partner.clone().filter(|_| runners.is_half());
        let theirs = partner.map(|partner| {
            let of = HalfOf::new(runners.shape, context.adapters);
            partner.start(Half { of, texts: second_half(texts), call: second_half(call) })
        });
        for (name, values) in call {
            runners.denoiser.set(name, runners.own(values))?;
        }
        let ours = self.compute(&runners.denoiser, "noise", context).await;
        // A partner that is still busy when this session fails would let the next image wait.
        let theirs = match theirs {
            Some(theirs) => theirs.await.map_err(PipelineError::of_partner),
            None => Ok(Vec::new()),
        };
        Ok([ours?, theirs?].concat())
    }

    /// Computes a half, as the partner of another session. `adapters` are those of the half, in its order.
    pub async fn compute_half(
        &mut self,
        half: &Half,
        adapters: &[&LoadedAdapter],
        on_progress: &mut dyn FnMut() -> Result<(), PipelineError>,
    ) -> Result<Vec<f32>, PipelineError> {
        if self.half.as_ref().is_none_or(|runners| runners.shape != half.of.shape) {
            // Free the old shape's buffers before allocating new ones.
            self.half = None;
            self.half = Some(self.prepare_half(half.of.shape, on_progress).await?);
        }
        let strengths = half.of.adapters.iter().map(|(_, strength)| strength.clone());
        let adapters: Vec<(&LoadedAdapter, Strength)> = adapters.iter().copied().zip(strengths).collect();
        let (device, config, checkpoint) = (&self.device, &self.config, &self.model.checkpoint);
        let arena = self.half.as_ref().map(|runners| &runners.arena);
        match config.saves_memory() {
            true => {
                let target = FoldTarget { device, config, checkpoint, arena };
                let on_tensor = &mut |_, _| on_progress();
                self.weights.apply_streamed(&target, &adapters, &[Component::Unet], on_tensor).await?;
            }
            false => self.weights.apply(device, config, checkpoint, &adapters, Some(Component::Unet)).await?,
        }
        let Some(runners) = self.half.as_mut().filter(|_| !half.call.is_empty()) else { return Ok(Vec::new()) };
        let is_bound = |(adapters, texts): &(_, _)| *adapters == half.of.adapters && *texts == half.texts;
        if !runners.bound.as_ref().is_some_and(is_bound) {
            runners.bound = None;
            set(&runners.texts, &half.texts)?;
            runners.texts.run()?;
            runners.bound = Some((half.of.adapters.clone(), half.texts.clone()));
        }
        set(&runners.denoiser, &half.call)?;
        runners.denoiser.compute_cancellable("noise", on_progress).await
    }

    /// Loads the denoiser's weights and prepares it for half of the items of a shape.
    async fn prepare_half(
        &mut self,
        shape: Shape,
        on_progress: &mut dyn FnMut() -> Result<(), PipelineError>,
    ) -> Result<HalfRunners, PipelineError> {
        let ImagePlans { texts, denoiser, .. } =
            ImagePlans::with_items(&self.model, shape, shape.items() / 2, &self.config)?;
        let plans = [&texts, &denoiser];
        self.load(&plans, &mut |_, _, _, _| on_progress()).await?;
        let arena = Arena::new(&self.device, &self.config, &plans).await?;
        let texts = Runner::with_arena(&self.device, &texts, &|name| self.weights.get(name), &arena).await?;
        let resident = |name: &str| self.weights.get(name).or_else(|| texts.output(name));
        let denoiser = Runner::with_arena(&self.device, &denoiser, &resident, &arena).await?;
        Ok(HalfRunners { shape, arena, texts, denoiser, bound: None })
    }
}

fn set(runner: &Runner, inputs: &[Input]) -> Result<(), PipelineError> {
    inputs.iter().try_for_each(|(name, values)| Ok(runner.set(name, values)?))
}
