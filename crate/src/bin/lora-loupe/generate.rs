//! Turns a recipe on the command line into a PNG, by the same core as the page.

use crate::files;
use crate::lora::Lora;
use lora_loupe::analysis::hashes;
use lora_loupe::formats::ByteSource;
use lora_loupe::gpu::Gpu;
use lora_loupe::pipeline::{
    AdapterChoice, Embedding, EmbeddingChoice, Folder, GenerateInputs, Hires, Infotext, Model, Picture, Progress, Recipe, Rng,
    Session, Stage, Upscaler, decode_png, denoise_seconds_left, encode_png,
};
use lora_loupe::samplers::{SigmaSpacing, TimestepSpacing};
use lora_loupe::text::{Syntax, Tokenizer};
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use serde_json::json;
use std::error::Error;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

/// The bundled demo model, where the program was built.
pub const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/public/demo/model");

/// Draw a picture with a model and any number of LoRAs
#[derive(clap::Args)]
pub struct Arguments {
    /// A diffusers folder or a single-file checkpoint; the bundled demo model if left out
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// A .safetensors VAE to use in place of a checkpoint's own
    #[arg(long, value_name = "FILE")]
    vae: Option<PathBuf>,
    /// An adapter, its strength (1 if left out) and perhaps strengths of blocks; may be given several times
    #[arg(long = "lora", value_name = "FILE=STRENGTH[:IN04=0.2,MID=0]")]
    loras: Vec<Lora>,
    /// A textual inversion, called in the prompts by its file's name; may be given several times
    #[arg(long = "embedding", value_name = "FILE")]
    embeddings: Vec<PathBuf>,
    /// What to draw
    #[arg(long)]
    prompt: String,
    /// What to keep away from
    #[arg(long)]
    negative: Option<String>,
    /// Seed of PyTorch's CPU generator
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Sampling steps
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Sampler: dpmpp_2m, ddim, euler, …
    #[arg(long, default_value = "dpmpp_2m")]
    sampler: String,
    /// Spacing of the noise levels: timesteps (or normal), karras, exponential, sgm_uniform, simple, beta or ays
    #[arg(long, value_parser = named::<SigmaSpacing>)]
    schedule: Option<SigmaSpacing>,
    /// Choice of timesteps: leading, linspace or trailing
    #[arg(long, value_parser = named::<TimestepSpacing>)]
    spacing: Option<TimestepSpacing>,
    /// Share of fresh noise in each step, 0 to 1, for samplers that have it
    #[arg(long, value_name = "X")]
    eta: Option<f64>,
    /// Where noise comes from: torch or philox
    #[arg(long, default_value = "torch")]
    rng: Rng,
    /// How prompts are read: plain (as diffusers) or a1111 (weights, BREAK, [a:b:0.5], <lora:name:0.8>)
    #[arg(long, default_value = "plain")]
    syntax: Syntax,
    /// Layers of the text encoder to leave out at the end (diffusers' number)
    #[arg(long, value_name = "N", default_value_t = 0)]
    clip_skip: usize,
    /// Pictures to draw at once; all but the first get a number in their name
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// A PNG to start from
    #[arg(long, value_name = "IMG.png", requires = "strength")]
    init: Option<PathBuf>,
    /// How far to go from it, 0 to 1
    #[arg(long, value_name = "X", requires = "init")]
    strength: Option<f64>,
    /// A PNG of the same size: what is white there is drawn anew, the rest stays
    #[arg(long, value_name = "IMG.png", requires = "init")]
    mask: Option<PathBuf>,
    /// Draw a second pass, so many times as wide and high
    #[arg(long, value_name = "X")]
    hires_scale: Option<f64>,
    /// How far the second pass goes from the first, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.7, requires = "hires_scale")]
    hires_strength: f64,
    /// Sampling steps of the second pass; 0 for as many as the first has
    #[arg(long, value_name = "N", default_value_t = 0, requires = "hires_scale")]
    hires_steps: usize,
    /// What the second pass makes larger: latent or pixels
    #[arg(long, default_value = "latent", value_parser = named::<Upscaler>, requires = "hires_scale")]
    hires_upscaler: Upscaler,
    /// Strength of all LoRAs on the text encoders, where it differs
    #[arg(long, value_name = "X")]
    te_strength: Option<f32>,
    /// Classifier-free guidance; 1 and less leave out the negative prompt
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

/// Reads a word of a type that JSON spells in words.
fn named<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|error| error.to_string())
}

/// Draws the picture and writes it.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    pollster::block_on(draw(arguments))
}

/// Opens a diffusers folder or a single-file checkpoint.
pub async fn open(path: &Path, vae: Option<&Path>) -> Result<Model, Box<dyn Error>> {
    let name = files::name(path);
    if path.is_dir() {
        return Ok(Model::open(&name, &Folder::open(path)?).await?);
    }
    let file = async |path: &Path| -> Result<TensorFile, Box<dyn Error>> {
        Ok(TensorFile::open(files::name(path), Rc::new(files::source(path)?)).await?)
    };
    let vae = match vae {
        Some(path) => Some(file(path).await?),
        None => None,
    };
    Ok(Model::open_file(&name, file(path).await?, vae, Tokenizer::clip()).await?)
}

async fn draw(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let root = arguments.model.clone().unwrap_or_else(|| DEMO.into());
    let model = open(&root, arguments.vae.as_deref()).await?;
    let name = model.name.clone();
    let (mut adapters, mut choices) = (Vec::new(), Vec::new());
    for lora in &arguments.loras {
        let (path, config) = files::adapter(&lora.path);
        let source: Rc<dyn ByteSource> = Rc::new(files::source(&path)?);
        let file = TensorFile::open(files::name(&path), source).await?;
        let known = hashes(file.source.as_ref(), Some(&file.header)).await?;
        choices.push(AdapterChoice {
            name: files::name(&path),
            sha256: known.sha256.clone(),
            strength: lora.strength,
            text_encoder: arguments.te_strength,
            blocks: lora.blocks.clone(),
            hash: known.auto_v3,
        });
        let modules = model.networks.modules();
        adapters.push(LoadedAdapter::open(known.sha256, file, config.as_deref(), &modules).await?);
    }
    let gpu = Gpu::open().await?;
    gpu.self_test().await?;
    let mut session = Session::new(Rc::new(gpu), model);
    let (mut embeddings, mut words) = (Vec::new(), Vec::new());
    for path in &arguments.embeddings {
        let source: Rc<dyn ByteSource> = Rc::new(files::source(path)?);
        let sha256 = hashes(source.as_ref(), None).await?.sha256;
        let file = TensorFile::open(files::name(path), source).await?;
        embeddings.push(Embedding::open(sha256.clone(), &file, &session.text_widths()).await?);
        words.push(EmbeddingChoice { name: file.name, sha256 });
    }
    let native = session.model.native_size();
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
        schedule: arguments.schedule,
        spacing: arguments.spacing,
        rng: arguments.rng,
        syntax: arguments.syntax,
        clip_skip: arguments.clip_skip,
        batch: arguments.batch,
        denoise: arguments.strength,
        eta: arguments.eta,
        masked: arguments.mask.is_some(),
        hires: arguments.hires_scale.map(|scale| Hires {
            scale,
            denoise: arguments.hires_strength,
            steps: arguments.hires_steps,
            upscaler: arguments.hires_upscaler,
        }),
        embeddings: words,
    };
    let picture = |path: &PathBuf| picture_file(path, width, height);
    let init = arguments.init.as_ref().map(picture).transpose()?;
    // The mean of a pixel's colours, from 0 to 1.
    let grey = |pixel: &[f32]| pixel.iter().sum::<f32>() / 6.0 + 0.5;
    let mask = arguments.mask.as_ref().map(picture).transpose()?;
    let mask: Option<Vec<f32>> = mask.map(|mask| mask.chunks_exact(3).map(grey).collect());
    let started = Instant::now();
    let chosen: Vec<&LoadedAdapter> = adapters.iter().collect();
    let called: Vec<&Embedding> = embeddings.iter().collect();
    let given =
        GenerateInputs { adapters: &chosen, embeddings: &called, init: init.as_deref(), mask: mask.as_deref(), preview: false };
    let picture = session.generate(&recipe, &given, &mut reporter()).await?;
    let seconds = started.elapsed().as_secs_f64();

    let written = serde_json::to_string(&recipe)?;
    let parameters = Infotext::of(&recipe).to_string();
    let texts = [("parameters", parameters.as_str()), ("lora-loupe", &written)];
    for (index, rgb) in picture.rgb.chunks_exact(picture.width * picture.height * 3).enumerate() {
        let png = encode_png(rgb, picture.width, picture.height, &texts)?;
        write(&numbered(&arguments.output, index), &png)?;
    }
    if let Some(path) = &arguments.latents {
        write(path, &latents(&picture, session.model.size_multiple())?)?;
    }
    tell(arguments, &recipe, &picture, &session, seconds)?;
    Ok(ExitCode::SUCCESS)
}

/// The path itself for the first picture, `name.1.png` for the second, …
fn numbered(path: &Path, index: usize) -> PathBuf {
    match index {
        0 => path.to_owned(),
        _ => path.with_extension(format!("{index}.png")),
    }
}

/// A PNG of the wanted size as numbers from -1 to 1.
fn picture_file(path: &Path, width: usize, height: usize) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let picture = decode_png(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    if (picture.width, picture.height) != (width, height) {
        let found = format!("{}x{}", picture.width, picture.height);
        return Err(
            format!("{}: it is {found} pixels, the result {width}x{height}; scale it first", path.display()).into()
        );
    }
    Ok(picture.rgb.iter().map(|&value| f32::from(value) / 127.5 - 1.0).collect())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
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
    if arguments.json {
        let told = json!({ "output": output, "recipe": recipe, "applied": picture.applied, "seconds": seconds, "gpu": session.gpu.info() });
        say!("{told}");
        return Ok(());
    }
    for applied in &picture.applied {
        say!("{}: {} layers changed, {} keys left over", applied.name, applied.matched, applied.leftovers);
    }
    say!("{output}: {}x{} in {seconds:.1} s on {}", picture.width, picture.height, session.gpu.info().adapter);
    Ok(())
}

/// Progress on one line of the terminal, with the time left; silence elsewhere.
fn reporter() -> impl FnMut(Progress) -> ControlFlow<()> {
    let shown = std::io::stderr().is_terminal();
    let mut denoising: Option<Instant> = None;
    move |progress: Progress| {
        if shown {
            let Progress { stage, step, steps, .. } = progress;
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

/// The last latents as PyTorch lays them out, under the name `latents`.
fn latents(picture: &Picture, multiple: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let (height, width) = (picture.height / multiple, picture.width / multiple);
    let pictures = picture.rgb.len() / (picture.height * picture.width * 3);
    let pixels = height * width;
    let channels = picture.latents.len() / pixels / pictures;
    let mut bytes = Vec::with_capacity(picture.latents.len() * 4);
    for latent in picture.latents.chunks_exact(pixels * channels) {
        for i in 0..latent.len() {
            bytes.extend(latent[i % pixels * channels + i / pixels].to_le_bytes());
        }
    }
    let shape = vec![pictures, channels, height, width];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes)?;
    Ok(safetensors::serialize([("latents", view)], None)?)
}
