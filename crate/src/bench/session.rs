//! Benchmark rows of a recipe: whole image, UNet call, VAE decode and LoRA strength change.

use super::{BUDGET, Row};
use crate::gpu::RooflinePeak;
use crate::pipeline::{BenchResult, GenerateInputs, PipelineError, Recipe, Session};
use crate::weights::LoadedAdapter;
use std::ops::ControlFlow;
use web_time::Instant;

/// Images to generate; the first includes loading and compilation and has a separate row.
const IMAGES: usize = 4;

impl Row {
    fn timed(group: &str, name: String, timed: BenchResult, roof: Option<RooflinePeak>) -> Row {
        let row = Row::new(group, name, timed.rounds);
        if timed.flops > 0 { row.with_flops(timed.flops, roof) } else { row }
    }

    /// Times one recipe; if `adapter` is given, the recipe must use it.
    pub async fn of_session(
        session: &mut Session,
        recipe: &Recipe,
        adapter: Option<&LoadedAdapter>,
        roof: Option<RooflinePeak>,
    ) -> Result<Vec<Row>, PipelineError> {
        let adapters: Vec<&LoadedAdapter> = adapter.into_iter().collect();
        let inputs = GenerateInputs { adapters: &adapters, ..GenerateInputs::default() };
        let mut rounds = Vec::new();
        for _ in 0..IMAGES {
            let started = Instant::now();
            session.generate(recipe, &inputs, &mut |_| ControlFlow::Continue(())).await?;
            rounds.push(started.elapsed().as_secs_f64() * 1e3);
        }
        let description = format!(
            "{} at {}x{}, {} steps of {}, CFG scale {}",
            recipe.model, recipe.width, recipe.height, recipe.steps, recipe.sampler, recipe.guidance
        );
        let mut rows = vec![Row::new("images", format!("first image: {description}"), vec![rounds.remove(0)])];
        rows.push(Row::new("images", description, rounds));
        let size = format!("{} at {}x{}", recipe.model, recipe.width, recipe.height);
        if let Some(timed) = session.time_unet(BUDGET).await? {
            rows.push(Row::timed("networks", format!("UNet step: {size}"), timed, roof));
        }
        if let Some(timed) = session.time_decoder(BUDGET).await? {
            rows.push(Row::timed("networks", format!("VAE decode: {size}"), timed, roof));
        }
        if let Some(adapter) = adapter {
            let timed = session.time_strength(adapter, BUDGET).await?;
            rows.push(Row::timed("strength", format!("LoRA strength change: {}", adapter.file.name), timed, roof));
        }
        Ok(rows)
    }
}
