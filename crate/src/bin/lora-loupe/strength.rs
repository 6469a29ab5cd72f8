//! `strength` command: norms and singular values per layer, with an assessment.

use crate::files::{self, FileError};
use lora_loupe::analysis::{Health, HealthRow, LayerImpact, Spectrum, health};
use lora_loupe::edit::Opened;
use pollster::block_on;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure how strong each layer's change is and how much of its rank it uses
#[derive(clap::Args)]
pub struct Arguments {
    /// Adapters, or PEFT folders with adapter_model.safetensors
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Base model: a .safetensors file or a diffusers folder; norms are then relative to its weights
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Print one JSON object per file, one per line, with all singular values
    #[arg(long)]
    json: bool,
}

/// Measurements of a layer.
#[derive(Default)]
struct Layer {
    spectrum: Option<Spectrum>,
    /// ‖change‖ / ‖weight‖ of the base model.
    relative: Option<f64>,
}

/// Measures every file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let base = arguments.base.as_deref().map(|path| Ok::<_, FileError>((files::name(path), files::model(path)?)));
    let base = base.transpose()?;
    for path in &arguments.files {
        let (path, companion) = files::adapter(path);
        let source = files::source(&path)?;
        let opened = block_on(Opened::new(&files::name(&path), &source, companion.as_deref()))?;
        let (mut rows, mut layers) = (Vec::new(), BTreeMap::<String, Layer>::new());
        for delta in &opened.adapter.deltas {
            let Some(spectrum) = Spectrum::of_delta(delta, &block_on(opened.read_factors(delta))?) else { continue };
            rows.push(HealthRow::new(delta, &opened.header, spectrum.clone()));
            layers.entry(opened.layer(delta)).or_default().spectrum = Some(spectrum);
        }
        let mut assessment = health(&rows, &opened.model);
        if let Some((name, model)) = &base {
            let files = model.model_files();
            let side = model.side(name, &files);
            let impacts = block_on(opened.weigh(side, &HashMap::new(), &mut |_, _| ControlFlow::Continue(())))?;
            let is_complete = impacts.len() >= layers.len();
            let measure = |health: &mut Health| health.measure(impacts.iter().map(LayerImpact::relative), is_complete);
            assessment.iter_mut().for_each(measure);
            for layer in impacts {
                layers.entry(layer.path.clone()).or_default().relative = Some(layer.relative());
            }
        }
        if arguments.json {
            let layers: Vec<Value> = layers.iter().map(|(path, layer)| value(path, layer)).collect();
            say!("{}", json!({ "file": opened.file, "layers": layers, "health": assessment }));
        } else {
            let lines: String = layers.iter().map(|(path, layer)| line(path, layer)).collect();
            say!("{}\n{lines}{}", opened.file, assessment.as_ref().map(text).unwrap_or_default());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn value(path: &str, Layer { spectrum, relative }: &Layer) -> Value {
    let mut value = json!({ "path": path, "relative": relative });
    if let (Some(spectrum), Some(fields)) = (spectrum, value.as_object_mut()) {
        fields.insert("norm".into(), spectrum.frobenius().into());
        fields.insert("spectral".into(), spectrum.spectral().into());
        fields.insert("stable_rank".into(), spectrum.stable_rank().into());
        fields.insert("effective_rank".into(), spectrum.effective_rank().into());
        fields.insert("rank_98".into(), spectrum.rank_for_energy(0.98).into());
        fields.insert("values".into(), json!(spectrum.values));
    }
    value
}

fn line(path: &str, Layer { spectrum, relative }: &Layer) -> String {
    let spectrum = spectrum.as_ref().map_or_else(
        || format!("{:<79}", "no singular values: not a matrix, or depends on the base model"),
        |spectrum| {
            format!(
                "norm {:<9.4} spectral {:<9.4} stable rank {:<5.1} effective rank {:<6.1} 98 % at {:<4}",
                spectrum.frobenius(),
                spectrum.spectral(),
                spectrum.stable_rank(),
                spectrum.effective_rank(),
                spectrum.rank_for_energy(0.98)
            )
        },
    );
    let share = relative.map(|share| format!(" {:>6.2} % of its weight", 100.0 * share)).unwrap_or_default();
    format!("  {spectrum}{share} {path}\n")
}

fn text(health: &Health) -> String {
    let reference = if health.measured { "the base model's weights" } else { "typical weights" };
    let strength = format!("  strength    {:.2} % of {reference}\n", 100.0 * health.relative);
    health.sentences.iter().fold(strength, |text, sentence| format!("{text}  {sentence}\n"))
}
