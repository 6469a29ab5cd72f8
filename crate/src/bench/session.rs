//! Turns a recipe and its adapter into rows: the picture, its UNet calls, its decoding, its LoRA's strength.

use super::{BUDGET, Row};
use crate::gpu::RooflinePeak;
use crate::pipeline::{GenerateInputs, PipelineError, Recipe, Session, Timed};
use crate::weights::LoadedAdapter;
use std::ops::ControlFlow;
use web_time::Instant;

/// Pictures that are drawn; the first also loads and compiles, and stands in a row of its own.
const PICTURES: usize = 4;

impl Row {
    fn timed(group: &str, name: String, timed: Timed, roof: RooflinePeak) -> Row {
        let row = Row::new(group, name, timed.rounds);
        if timed.flops > 0 { row.with_flops(timed.flops, roof) } else { row }
    }

    /// The rows of one recipe, which names `adapter` where one is given.
    pub async fn of_session(
        session: &mut Session,
        recipe: &Recipe,
        adapter: Option<&LoadedAdapter>,
        roof: RooflinePeak,
    ) -> Result<Vec<Row>, PipelineError> {
        let adapters: Vec<&LoadedAdapter> = adapter.into_iter().collect();
        let given = GenerateInputs { adapters: &adapters, ..GenerateInputs::default() };
        let mut rounds = Vec::new();
        for _ in 0..PICTURES {
            let started = Instant::now();
            session.generate(recipe, &given, &mut |_| ControlFlow::Continue(())).await?;
            rounds.push(started.elapsed().as_secs_f64() * 1e3);
        }
        let what = format!(
            "{} at {}x{}, {} steps of {}, guidance {}",
            recipe.model, recipe.width, recipe.height, recipe.steps, recipe.sampler, recipe.guidance
        );
        let mut rows = vec![Row::new("pictures", format!("first picture: {what}"), vec![rounds.remove(0)])];
        rows.push(Row::new("pictures", what, rounds));
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
