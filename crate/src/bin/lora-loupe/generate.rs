//! Turns a recipe on the command line into a PNG, by the same core as the page.

use crate::files;
use crate::lora::Lora;
use lora_loupe::analysis::sha256;
use lora_loupe::formats::ByteSource;
use lora_loupe::gpu::Gpu;
use lora_loupe::pipeline::{
    AdapterChoice, Folder, Model, Picture, Progress, Recipe, Session, Stage, denoise_seconds_left, encode_png,
};
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use serde_json::json;
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

/// The bundled demo model, where the program was built.
pub const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/public/demo/model");

/// Draw a picture with a model and any number of LoRAs
#[derive(clap::Args)]
pub struct Arguments {
    /// A diffusers folder; the bundled demo model if left out
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// An adapter and its strength (1 if left out); may be given several times
    #[arg(long = "lora", value_name = "FILE=STRENGTH")]
    loras: Vec<Lora>,
    /// What to draw
    #[arg(long)]
    prompt: String,
    /// What to keep away from
    #[arg(long, default_value = "")]
    negative: String,
    /// Seed of PyTorch's CPU generator
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Sampling steps
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Sampler: dpmpp_2m, ddim, euler, …
    #[arg(long, default_value = "dpmpp_2m")]
    sampler: String,
    /// Classifier-free guidance; 1 leaves out the negative prompt
    #[arg(long, value_name = "X", default_value_t = 7.0)]
    cfg: f32,
    /// Pixels, as in 512x512; the model's own size if left out
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(usize, usize)>,
    /// The PNG to write
    #[arg(short, long, value_name = "OUT.png")]
    output: PathBuf,
    /// Also write the last latent, (1, 4, h, w), as a .safetensors file
    #[arg(long, value_name = "OUT.safetensors")]
    latents: Option<PathBuf>,
    /// Print one JSON object about the picture
    #[arg(long)]
    json: bool,
}

/// Reads `512x512` as (width, height).
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let parts =
        text.split_once(['x', 'X']).and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parts.ok_or_else(|| format!("`{text}` is not a size: give width x height, as in 512x512"))
}

/// Draws the picture and writes it.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    pollster::block_on(draw(arguments))
}

async fn draw(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let root = arguments.model.clone().unwrap_or_else(|| DEMO.into());
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let model = Model::open(&name, &Folder::open(&root)?).await?;
    let (mut adapters, mut choices) = (Vec::new(), Vec::new());
    for lora in &arguments.loras {
        let (path, config) = files::adapter(&lora.path);
        let source: Rc<dyn ByteSource> = Rc::new(files::source(&path)?);
        let id = sha256(source.as_ref()).await?;
        choices.push(AdapterChoice { name: files::name(&path), sha256: id.clone(), strength: lora.strength });
        let file = TensorFile::open(files::name(&path), source).await?;
        adapters.push(LoadedAdapter::open(id, file, config.as_deref(), &model.networks.modules()).await?);
    }
    let native = model.native_size();
    let (width, height) = arguments.size.unwrap_or((native, native));
    let recipe = Recipe {
        version: 1,
        model: name,
        adapters: choices,
        prompt: arguments.prompt.clone(),
        negative: arguments.negative.clone(),
        seed: arguments.seed,
        steps: arguments.steps,
        guidance: arguments.cfg,
        sampler: arguments.sampler.clone(),
        width,
        height,
    };
    let mut session = Session::new(Rc::new(Gpu::open().await?), model);
    let started = Instant::now();
    let chosen: Vec<&LoadedAdapter> = adapters.iter().collect();
    let picture = session.generate(&recipe, &chosen, &mut reporter()).await?;
    let seconds = started.elapsed().as_secs_f64();

    let png = encode_png(&picture.rgb, width, height, &[("lora-loupe", &serde_json::to_string(&recipe)?)])?;
    write(&arguments.output, &png)?;
    if let Some(path) = &arguments.latents {
        write(path, &latents(&picture, session.model.multiple())?)?;
    }
    tell(arguments, &recipe, &picture, &session, seconds)?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &std::path::Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// What was drawn, with what, on what.
fn tell(
    arguments: &Arguments,
    recipe: &Recipe,
    picture: &Picture,
    session: &Session,
    seconds: f64,
) -> Result<(), Box<dyn Error>> {
    let output = arguments.output.display().to_string();
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let told = json!({ "output": output, "recipe": recipe, "applied": picture.applied, "seconds": seconds, "gpu": session.gpu.info() });
        writeln!(out, "{told}")?;
        return Ok(());
    }
    for applied in &picture.applied {
        writeln!(out, "{}: {} layers changed, {} keys left over", applied.name, applied.matched, applied.leftovers)?;
    }
    writeln!(
        out,
        "{output}: {}x{} in {seconds:.1} s on {}",
        picture.width,
        picture.height,
        session.gpu.info().adapter
    )?;
    Ok(())
}

/// Progress on one line of the terminal, with the time left; silence elsewhere.
fn reporter() -> impl FnMut(Progress) -> ControlFlow<()> {
    let shown = std::io::stderr().is_terminal();
    let mut denoising: Option<Instant> = None;
    move |progress: Progress| {
        if shown {
            let Progress { stage, step, steps } = progress;
            let left =
                (stage == Stage::Denoise).then(|| denoising.get_or_insert_with(Instant::now).elapsed().as_secs_f64());
            let left = left.and_then(|elapsed| denoise_seconds_left(elapsed, step, steps));
            let left = left.map(|seconds| format!(", {seconds:.0} s left")).unwrap_or_default();
            eprint!("\r\x1b[K{stage:?} {step}/{steps}{left}");
            if stage == Stage::Decode && step == steps {
                eprint!("\r\x1b[K");
            }
        }
        ControlFlow::Continue(())
    }
}

/// The last latent as PyTorch lays it out, under the name `latents`.
fn latents(picture: &Picture, multiple: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let (height, width) = (picture.height / multiple, picture.width / multiple);
    let channels = picture.latents.len() / (height * width);
    let pixels = height * width;
    let numbers = (0..picture.latents.len()).map(|i| picture.latents[i % pixels * channels + i / pixels]);
    let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, channels, height, width], &bytes)?;
    Ok(safetensors::serialize([("latents", view)], None)?)
}
