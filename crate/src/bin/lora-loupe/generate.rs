//! `generate` command: images from a prompt, as PNG files.

use crate::device::{DeviceChoice, WeightsArgument, open_device};
use crate::files;
use crate::lora::Lora;
use crate::template::TemplateArguments;
use crate::upscale;
use crate::values::size;
use crate::web_ui::WebUiArguments;
use lora_loupe::analysis::hashes;
use lora_loupe::formats::ByteSource;
use lora_loupe::gpu::KernelConfig;
use lora_loupe::pipeline::{
    AdapterChoice, DecodedImage, Embedding, EmbeddingChoice, Folder, GenerateInputs, GeneratedImages, Hires,
    MaskedArea, MaskedAreaSettings, Model, Progress, Recipe, RecipeDraft, Rng, Session, Stage, Upscaler, decode_png,
    denoise_seconds_left, encode_png, file_stem,
};
use lora_loupe::program::Program;
use lora_loupe::samplers::{PredictionType, SamplerKind, SigmaSpacing, TimestepSpacing};
use lora_loupe::text::{Emphasis, Tokenizer};
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use serde_json::json;
use std::error::Error;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

/// Path of the bundled demo model in the source tree.
pub const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/public/demo/model");

/// Generate images with a model and any number of LoRAs
#[derive(clap::Args)]
pub struct Arguments {
    /// A diffusers folder, or a single-file checkpoint or UNet, .safetensors or .gguf (default: the bundled demo model)
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    #[command(flatten)]
    parts: PartArguments,
    /// An adapter, its strength (default 1) and optional block weights; can be repeated
    #[arg(long = "lora", value_name = "FILE=STRENGTH[:IN04=0.2,MID=0]")]
    loras: Vec<Lora>,
    /// A textual inversion embedding, used in prompts by its file name; can be repeated
    #[arg(long = "embedding", value_name = "FILE")]
    embeddings: Vec<PathBuf>,
    /// Where to run the networks
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// How the model's weights are stored
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = WeightsArgument::Auto)]
    weights: WeightsArgument,
    /// Prompt
    #[arg(long)]
    prompt: String,
    /// Negative prompt
    #[arg(long)]
    negative: Option<String>,
    /// Seed of the RNG
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Sampling steps
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Sampler: dpmpp_2m, ddim, euler, …
    #[arg(long, default_value = "dpmpp_2m")]
    sampler: SamplerKind,
    /// Schedule type: timesteps (or normal), karras, exponential, sgm_uniform, simple, beta or ays; with --as a1111 or
    /// comfyui also polyexponential, kl_optimal, ddim_uniform, linear_quadratic, turbo, ays11, ays32 and ays_gits
    #[arg(long, value_parser = named::<SigmaSpacing>)]
    schedule: Option<SigmaSpacing>,
    /// Timestep spacing: leading, linspace or trailing
    #[arg(long, value_parser = named::<TimestepSpacing>)]
    spacing: Option<TimestepSpacing>,
    /// Eta: noise added per step, 0 to 1, for samplers that support it
    #[arg(long, value_name = "X")]
    eta: Option<f64>,
    /// RNG: torch (PyTorch on the CPU), philox (A1111's NV) or torch_philox (ComfyUI on an NVIDIA card)
    #[arg(long, default_value = "torch")]
    rng: Rng,
    /// Program whose image to reproduce: diffusers, a1111 or comfyui; the web UIs read weights, BREAK, [a:b:0.5] and
    /// <lora:name:0.8> in prompts
    #[arg(long = "as", value_name = "PROGRAM", default_value = "diffusers", alias = "syntax")]
    program: Program,
    /// Number of final text encoder layers to skip, as in diffusers (A1111's Clip skip minus 1)
    #[arg(long, value_name = "N", default_value_t = 0)]
    clip_skip: usize,
    /// Meaning of weights such as (cat:1.2) in A1111: original, no_norm, ignore or none
    #[arg(long, value_name = "MODE", default_value = "original")]
    emphasis: Emphasis,
    /// Fill up the shorter of prompt and negative prompt with empty chunks (A1111's "Pad prompt/negative prompt")
    #[arg(long)]
    pad_conds: bool,
    /// What the model predicts, if its files do not say or are wrong: epsilon (noise), v_prediction or sample
    #[arg(long, value_name = "TYPE", value_parser = named::<PredictionType>)]
    prediction: Option<PredictionType>,
    /// Zero terminal SNR, if the model's files do not say or are wrong: start from pure noise (true or false)
    #[arg(long, value_name = "BOOL")]
    zero_snr: Option<bool>,
    /// CFG rescale, 0 to 1: against overexposed images of v-prediction models; 0.7 is usual
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    cfg_rescale: f32,
    /// Batch size; all images but the first get a number in their file name
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// Input PNG (img2img)
    #[arg(long, value_name = "IMG.png", requires = "strength")]
    init: Option<PathBuf>,
    /// Denoising strength, 0 to 1
    #[arg(long, value_name = "X", requires = "init")]
    strength: Option<f64>,
    /// Mask PNG of the same size (inpaint): white areas are regenerated, black areas are kept
    #[arg(long, value_name = "IMG.png", requires = "init")]
    mask: Option<PathBuf>,
    /// Generate only the masked area, at --size, and paste it into the input, which may have any size (Only masked)
    #[arg(long, requires = "mask", conflicts_with = "hires_scale")]
    only_masked: bool,
    /// Pixels around the mask that are generated with it
    #[arg(long, value_name = "N", default_value_t = 32, requires = "only_masked")]
    mask_padding: usize,
    /// Blur in pixels of the mask through which the result is pasted, with --only-masked or --program a1111; 4 if not given
    #[arg(long, value_name = "N", requires = "mask", conflicts_with = "hires_scale")]
    mask_blur: Option<usize>,
    /// Hires. fix: upscale by this factor in a second pass
    #[arg(long, value_name = "X")]
    hires_scale: Option<f64>,
    /// Denoising strength of the second pass, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.7, requires = "hires_scale")]
    hires_strength: f64,
    /// Sampling steps of the second pass; 0 = same as --steps
    #[arg(long, value_name = "N", default_value_t = 0, requires = "hires_scale")]
    hires_steps: usize,
    /// What the second pass upscales: latent or pixels
    #[arg(long, default_value = "latent", value_parser = named::<Upscaler>, requires = "hires_scale")]
    hires_upscaler: Upscaler,
    /// An upscaling network that enlarges the pixels for the second pass, a .pth or .safetensors file
    #[arg(long, value_name = "FILE", requires = "hires_scale", conflicts_with = "hires_upscaler")]
    upscaler: Option<PathBuf>,
    /// Strength of all LoRAs in the text encoders (default: the LoRA's strength)
    #[arg(long, value_name = "X")]
    te_strength: Option<f32>,
    /// CFG scale; the negative prompt is ignored at 1 and below
    #[arg(long, value_name = "X", default_value_t = 7.0)]
    cfg: f32,
    /// Width and height in pixels, e.g. 512x512 (default: the model's native size)
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(usize, usize)>,
    /// Output PNG
    #[arg(short, long, value_name = "OUT.png")]
    output: PathBuf,
    /// Also write the final latents, (batch, channels, h, w), as a .safetensors file
    #[arg(long, value_name = "OUT.safetensors")]
    latents: Option<PathBuf>,
    /// Print one JSON object about the image
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    template: TemplateArguments,
    #[command(flatten)]
    web_ui: WebUiArguments,
}

/// Files with networks of a model.
#[derive(clap::Args)]
pub struct PartArguments {
    /// A VAE that replaces the checkpoint's own, or that a UNet lacks
    #[arg(long, value_name = "FILE")]
    vae: Option<PathBuf>,
    /// A text encoder that replaces the checkpoint's own, or that a UNet lacks; SDXL has two
    #[arg(long, value_name = "FILE")]
    text_encoder: Vec<PathBuf>,
}

/// Parses a value that deserializes from a JSON string.
fn named<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|error| error.to_string())
}

/// Generates the images and writes them.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    pollster::block_on(generate(arguments))
}

/// Opens a diffusers folder, or a single-file checkpoint or UNet with the `parts` that it lacks.
pub async fn open(path: &Path, parts: &PartArguments) -> Result<Model, Box<dyn Error>> {
    let name = files::name(path);
    if path.is_dir() {
        return Ok(Model::open(&name, &Folder::open(path)?).await?);
    }
    let file = async |path: &Path| -> Result<TensorFile, Box<dyn Error>> {
        Ok(TensorFile::open(files::name(path), Rc::new(files::source(path)?)).await?)
    };
    let mut opened = vec![file(path).await?];
    for part in parts.text_encoder.iter().chain(&parts.vae) {
        opened.push(file(part).await?);
    }
    Ok(Model::open_files(&name, opened, Tokenizer::clip())?)
}

async fn generate(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let prompts = arguments.template.prompts(&arguments.prompt, arguments.negative.as_deref(), arguments.seed)?;
    let root = arguments.model.clone().unwrap_or_else(|| DEMO.into());
    let model = open(&root, &arguments.parts).await?;
    let (adapters, adapter_choices) = open_adapters(arguments, &model).await?;
    let (device, config) = open_device(arguments.device).await?;
    let config = KernelConfig { weights: arguments.weights.into(), ..config };
    let mut session = Session::new(device, config, model);
    let (embeddings, embedding_choices) = open_embeddings(arguments, &session).await?;
    let upscaler = match &arguments.upscaler {
        Some(path) => Some(upscale::open(path).await?),
        None => None,
    };
    let recipe = recipe(arguments, prompts, &session.model, adapter_choices, embedding_choices);
    let area = masked_area(arguments, &recipe)?;
    let (init, mask) = match &area {
        Some(area) => (Some(signed(&area.start())), Some(area.start_mask(session.model.size_multiple()))),
        None => {
            let read = |path: &PathBuf| read_image(path, (recipe.width, recipe.height));
            let init = arguments.init.as_ref().map(read).transpose()?.map(|image| signed(&image));
            let mask = arguments.mask.as_ref().map(read).transpose()?.map(|mask| gray(&mask));
            (init, mask)
        }
    };
    let started = Instant::now();
    let adapters: Vec<&LoadedAdapter> = adapters.iter().collect();
    let embeddings: Vec<&Embedding> = embeddings.iter().collect();
    let inputs = GenerateInputs {
        adapters: &adapters,
        embeddings: &embeddings,
        init: init.as_deref(),
        mask: mask.as_deref(),
        upscaler: upscaler.as_ref(),
        preview: false,
        latents_only: false,
    };
    let generated = session.generate(&recipe, &inputs, &mut reporter()).await?;
    let latents = arguments.latents.as_ref().map(|path| (path, latents(&generated, session.model.size_multiple())));
    let generated = match area {
        Some(area) => area.pasted(generated),
        None => generated,
    };
    let seconds = started.elapsed().as_secs_f64();
    write_images(&arguments.output, &recipe, &generated)?;
    if let Some((path, latents)) = latents {
        write(path, &latents?)?;
    }
    print_summary(arguments, &recipe, &generated, &session, seconds)?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the LoRAs and returns with them their entries in the recipe.
async fn open_adapters(
    arguments: &Arguments,
    model: &Model,
) -> Result<(Vec<LoadedAdapter>, Vec<AdapterChoice>), Box<dyn Error>> {
    let (mut adapters, mut choices) = (Vec::new(), Vec::new());
    for lora in &arguments.loras {
        let (path, config) = files::adapter(&lora.path);
        let source: Rc<dyn ByteSource> = Rc::new(files::source(&path)?);
        let file = TensorFile::open(files::name(&path), source).await?;
        let file_hashes = hashes(file.source.as_ref(), Some(&file.header)).await?;
        choices.push(AdapterChoice {
            name: files::name(&path),
            sha256: file_hashes.sha256.clone(),
            strength: lora.strength,
            text_encoder: arguments.te_strength,
            blocks: lora.blocks.clone(),
            hash: file_hashes.auto_v3,
        });
        let modules = model.modules();
        adapters.push(LoadedAdapter::open(file_hashes.sha256, file, config.as_deref(), &modules).await?);
    }
    Ok((adapters, choices))
}

/// Opens the embeddings and returns with them their entries in the recipe.
async fn open_embeddings(
    arguments: &Arguments,
    session: &Session,
) -> Result<(Vec<Embedding>, Vec<EmbeddingChoice>), Box<dyn Error>> {
    let (mut embeddings, mut choices) = (Vec::new(), Vec::new());
    for path in &arguments.embeddings {
        let source: Rc<dyn ByteSource> = Rc::new(files::source(path)?);
        let sha256 = hashes(source.as_ref(), None).await?.sha256;
        let file = TensorFile::open(files::name(path), source).await?;
        embeddings.push(Embedding::open(sha256.clone(), &file, &session.text_widths()).await?);
        choices.push(EmbeddingChoice { name: file.name, sha256 });
    }
    Ok((embeddings, choices))
}

/// Returns the recipe of the image that the arguments request, with the prompts that were made.
fn recipe(
    arguments: &Arguments,
    (prompt, negative): (String, Option<String>),
    model: &Model,
    adapters: Vec<AdapterChoice>,
    embeddings: Vec<EmbeddingChoice>,
) -> Recipe {
    let native_size = model.native_size();
    let (width, height) = arguments.size.unwrap_or((native_size, native_size));
    Recipe {
        version: 1,
        model: model.name.clone(),
        adapters,
        prompt,
        negative,
        seed: arguments.seed,
        steps: arguments.steps,
        guidance: arguments.cfg,
        sampler: arguments.sampler,
        width,
        height,
        schedule: arguments.schedule,
        spacing: arguments.spacing,
        rng: arguments.rng,
        program: arguments.program,
        web_ui: arguments.web_ui.settings(),
        variation: arguments.web_ui.variation(),
        seed_resize: arguments.web_ui.seed_resize,
        clip_skip: arguments.clip_skip,
        emphasis: arguments.emphasis,
        pad_conds: arguments.pad_conds,
        prediction: arguments.prediction,
        zero_snr: arguments.zero_snr,
        guidance_rescale: arguments.cfg_rescale,
        batch: arguments.batch,
        denoise: arguments.strength,
        eta: arguments.eta,
        masked: arguments.mask.is_some(),
        masked_area: masked_area_settings(arguments),
        hires: arguments.hires_scale.map(|scale| Hires {
            scale,
            denoise: arguments.hires_strength,
            steps: arguments.hires_steps,
            upscaler: if arguments.upscaler.is_some() { Upscaler::Pixels } else { arguments.hires_upscaler },
            network: arguments.upscaler.as_deref().map(|path| file_stem(&files::name(path)).to_owned()),
        }),
        embeddings,
    }
}

/// Writes the images of a batch as PNG files with their generation data.
fn write_images(output: &Path, recipe: &Recipe, generated: &GeneratedImages) -> Result<(), Box<dyn Error>> {
    let recipe_json = serde_json::to_string(recipe)?;
    let parameters = RecipeDraft::of(recipe).to_infotext();
    let texts = [("parameters", parameters.as_str()), ("lora-loupe", &recipe_json)];
    for (index, rgb) in generated.rgb.chunks_exact(generated.width * generated.height * 3).enumerate() {
        let png = encode_png(rgb, generated.width, generated.height, &texts)?;
        write(&numbered(output, index), &png)?;
    }
    Ok(())
}

/// Returns the path itself for the first image, `name.1.png` for the second, …
fn numbered(path: &Path, index: usize) -> PathBuf {
    match index {
        0 => path.to_owned(),
        _ => path.with_extension(format!("{index}.png")),
    }
}

/// Returns the settings of inpainting as AUTOMATIC1111 does it, if that is requested.
fn masked_area_settings(arguments: &Arguments) -> Option<MaskedAreaSettings> {
    let is_whole_picture = arguments.program == Program::A1111 && arguments.hires_scale.is_none();
    let padding = arguments.only_masked.then_some(arguments.mask_padding);
    let settings = MaskedAreaSettings { padding, blur: arguments.mask_blur.unwrap_or(4) };
    (arguments.mask.is_some() && (arguments.only_masked || is_whole_picture)).then_some(settings)
}

/// Returns the image and mask of which the masked area is generated and pasted back, if that is requested.
fn masked_area(arguments: &Arguments, recipe: &Recipe) -> Result<Option<MaskedArea>, Box<dyn Error>> {
    let (Some(settings), Some(init), Some(mask)) = (recipe.masked_area, &arguments.init, &arguments.mask) else {
        if arguments.mask_blur.is_some() {
            return Err("--mask-blur: masks are blurred with --only-masked or --program a1111".into());
        }
        return Ok(None);
    };
    let image = decode_png(&std::fs::read(init).map_err(|error| format!("{}: {error}", init.display()))?)
        .map_err(|error| format!("{}: {error}", init.display()))?;
    let levels = read_image(mask, (image.width, image.height))?;
    Ok(Some(MaskedArea::new(image, &levels, settings, (recipe.width, recipe.height))?))
}

/// Returns the RGB values from -1 to 1.
fn signed(image: &DecodedImage) -> Vec<f32> {
    image.rgb.iter().map(|&value| f32::from(value) / 127.5 - 1.0).collect()
}

/// Returns the means of the RGB values, from 0 to 1.
fn gray(image: &DecodedImage) -> Vec<f32> {
    image.rgb.chunks_exact(3).map(|pixel| pixel.iter().map(|&value| f32::from(value)).sum::<f32>() / 765.0).collect()
}

/// Reads a PNG of this width and height.
fn read_image(path: &Path, (width, height): (usize, usize)) -> Result<DecodedImage, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let image = decode_png(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    if (image.width, image.height) != (width, height) {
        let found = format!("{}x{}", image.width, image.height);
        return Err(
            format!("{}: the image is {found}, but must be {width}x{height}; resize it first", path.display()).into()
        );
    }
    Ok(image)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Prints the output path, applied adapters, time and device.
fn print_summary(
    arguments: &Arguments,
    recipe: &Recipe,
    generated: &GeneratedImages,
    session: &Session,
    seconds: f64,
) -> Result<(), Box<dyn Error>> {
    let output = arguments.output.display().to_string();
    if arguments.json {
        let summary = json!({ "output": output, "recipe": recipe, "applied": generated.applied, "seconds": seconds, "device": session.device.name(), "gpu": session.gpu().map(|gpu| gpu.info()) });
        say!("{summary}");
        return Ok(());
    }
    for applied in &generated.applied {
        say!("{}: {} layers applied, {} keys unused", applied.name, applied.matched, applied.leftovers);
    }
    say!("{output}: {}x{} in {seconds:.1} s on {}", generated.width, generated.height, session.device.name());
    Ok(())
}

/// Returns a progress callback that prints one line with the time left; silent if stderr is no terminal.
fn reporter() -> impl FnMut(Progress) -> ControlFlow<()> {
    let is_terminal = std::io::stderr().is_terminal();
    let mut denoise_start: Option<Instant> = None;
    move |progress: Progress| {
        if is_terminal {
            let Progress { stage, step, steps, .. } = progress;
            let left = (stage == Stage::Denoise)
                .then(|| denoise_start.get_or_insert_with(Instant::now).elapsed().as_secs_f64());
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

/// Returns a safetensors file with the final latents in NCHW layout, as tensor `latents`.
fn latents(generated: &GeneratedImages, vae_scale_factor: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let (height, width) = (generated.height / vae_scale_factor, generated.width / vae_scale_factor);
    let batch = generated.rgb.len() / (generated.height * generated.width * 3);
    let pixels = height * width;
    let channels = generated.latents.len() / pixels / batch;
    let mut bytes = Vec::with_capacity(generated.latents.len() * 4);
    for latent in generated.latents.chunks_exact(pixels * channels) {
        for i in 0..latent.len() {
            bytes.extend(latent[i % pixels * channels + i / pixels].to_le_bytes());
        }
    }
    let shape = vec![batch, channels, height, width];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes)?;
    Ok(safetensors::serialize([("latents", view)], None)?)
}
