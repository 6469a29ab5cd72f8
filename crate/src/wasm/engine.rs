//! The engine of a worker: generates images; keeps files, device and model between calls.

use super::convert::{failure, from_js, refused, to_js};
use super::device::Device;
use super::sources::Place;
use super::types::{GeneratedInfo, ModelInfo, PreviewInfo, ProgressInfo};
use crate::formats::ByteSource;
use crate::gpu::{KernelConfig, RooflinePeak, Tuning, WeightChoice};
use crate::model::Component;
use crate::pipeline::{
    Channels, DecodedImage, Embedding, Enlarger, Folder, GenerateInputs, GeneratedImages, MaskedArea, Model, Partner,
    PipelineError, Preview, Progress, Recipe, RecipeDraft, Session, Stage, Tiling, UpscalerFile, WeightStorage,
    denoise_seconds_left, encode_png, is_named, read_image,
};
use crate::program::{ParseProgramError, Program};
use crate::text::{Tokenizer, Wildcards, fill, read_styles};
use crate::weights::{LoadedAdapter, TensorFile};
use js_sys::{Array, Function, Reflect, Uint8Array, Uint8ClampedArray};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// Files of adapters and embeddings, by SHA-256.
pub(super) type Files = RefCell<HashMap<String, Place>>;

/// The open base model, with the adapters and embeddings loaded for it.
pub(super) struct Opened {
    /// Unique id among the models opened so far.
    id: u64,
    pub(super) session: Session,
    adapters: HashMap<String, Rc<LoadedAdapter>>,
    embeddings: HashMap<String, Rc<Embedding>>,
}

/// What generates the page's images; one per worker.
#[wasm_bindgen]
#[derive(Default)]
pub struct Engine {
    pub(super) files: Files,
    /// The open GPU.
    pub(super) device: RefCell<Option<Device>>,
    /// Whether models are opened on the CPU.
    pub(super) on_cpu: Cell<bool>,
    /// Chosen storage of weights, and the bytes that the device is likely to have for images.
    pub(super) chosen_weights: Cell<(WeightChoice, Option<u64>)>,
    /// Bytes that this engine and a partner's may take together on the CPU; 0 for no partner.
    pub(super) memory_of_two: Cell<u64>,
    pub(super) partner: RefCell<Option<Rc<dyn Partner>>>,
    /// Floating-point operations per second of the CPU, once measured.
    pub(super) cpu_speed: Cell<Option<f64>>,
    /// Whether untuned kernels are tuned before the first image.
    pub(super) tuning_enabled: Rc<Cell<bool>>,
    /// Tuning stored by the page in an earlier session.
    pub(super) tuning: RefCell<Option<Tuning>>,
    /// Open model; `None` also while it is in use.
    opened: RefCell<Option<Opened>>,
    /// Number of models opened so far.
    models_opened: Cell<u64>,
    pub(super) cancel_requested: Cell<bool>,
    /// Peak throughput of the device, once measured.
    pub(super) roof: Cell<Option<RooflinePeak>>,
}

#[wasm_bindgen]
impl Engine {
    /// Creates an empty engine; needs no GPU.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Engine {
        console_error_panic_hook::set_once();
        Engine::default()
    }

    /// Keeps an adapter's or embedding's file under its SHA-256, by which recipes name it.
    pub fn remember(&self, sha256: String, place: JsValue) -> Result<(), JsValue> {
        self.files.borrow_mut().insert(sha256, Place::of(&place)?);
        Ok(())
    }

    /// Opens a diffusers folder given as its files, each with its `path`; weights are loaded on demand.
    pub async fn open_model(&self, name: String, files: Array) -> Result<JsValue, JsValue> {
        let mut sources: Vec<(String, Rc<dyn ByteSource>)> = Vec::new();
        for entry in files.iter() {
            let path = Reflect::get(&entry, &"path".into())?.as_string().unwrap_or_default();
            sources.push((path, Place::of(&entry)?.source));
        }
        let model = Model::open(&name, &Folder::new(sources)).await.map_err(refused)?;
        self.set_model(model).await
    }

    /// Opens a single-file checkpoint, or a UNet, with other files of its text encoders and VAE, if any: `places` in
    /// any order. `merges` is CLIP's gzipped merge list.
    pub async fn open_checkpoint(&self, name: String, places: Array, merges: Vec<u8>) -> Result<JsValue, JsValue> {
        let tokenizer = Tokenizer::clip_from_merges_gz(&merges).map_err(|error| refused(error.into()))?;
        let mut files = Vec::new();
        for place in places.iter() {
            let Place { name, source, .. } = Place::of(&place)?;
            files.push(TensorFile::open(name, source).await.map_err(|error| refused(error.into()))?);
        }
        let model = Model::open_files(&name, files, tokenizer).map_err(refused)?;
        self.set_model(model).await
    }

    /// Generates a recipe's image, or the first of its batch. `on_progress` receives each step, with a
    /// `preview` if requested; `init` holds the RGBA pixels of the img2img input if the recipe has a
    /// `denoise`, and `mask` those of the mask if it is `masked`. With a `masked_area` both have a width of their own,
    /// `init_width`.
    pub async fn generate(
        &self,
        recipe: JsValue,
        on_progress: Function,
        init: Option<Vec<u8>>,
        mask: Option<Vec<u8>>,
        preview: bool,
        init_width: Option<usize>,
    ) -> Result<JsValue, JsValue> {
        let recipe: Recipe = from_js("the recipe", recipe)?;
        let area = match (recipe.masked_area.filter(|_| recipe.masked), &init, &mask) {
            (Some(settings), Some(init), Some(mask)) => {
                let image = |rgba: &[u8]| decoded(rgba, init_width.unwrap_or(recipe.width));
                let size = (recipe.width, recipe.height);
                Some(MaskedArea::new(image(init), &image(mask), settings, size).map_err(refused)?)
            }
            _ => None,
        };
        let multiple = self.opened.borrow().as_ref().map_or(8, |opened| opened.session.model.size_multiple());
        let init = match &area {
            Some(area) => Some(area.start().rgb),
            None => init.map(|rgba| decoded(&rgba, recipe.width).rgb),
        };
        let init = init.map(|rgb| rgb.iter().map(|&value| f32::from(value) / 127.5 - 1.0).collect::<Vec<f32>>());
        let mask = match &area {
            Some(area) => Some(area.start_mask(multiple)),
            None => mask.map(|rgba| {
                let gray = |pixel: &[u8]| pixel[..3].iter().map(|&value| f32::from(value)).sum::<f32>() / 765.0;
                rgba.chunks_exact(4).map(gray).collect::<Vec<f32>>()
            }),
        };
        let started = js_sys::Date::now();
        let generate = async |opened: &mut Opened| {
            self.cancel_requested.set(false);
            self.draw(opened, &recipe, (init.as_deref(), mask.as_deref(), preview), &on_progress).await
        };
        let generated = self.with_model(generate).await?.map_err(refused)?;
        let generated = match area {
            Some(area) => area.pasted(generated),
            None => generated,
        };
        images_to_js(&recipe, generated, (js_sys::Date::now() - started) / 1000.0)
    }

    /// Enlarges an image by the inspected upscaling network with this SHA-256; its PNG has the recipe of the original.
    pub async fn enlarge(
        &self,
        recipe: JsValue,
        sha256: String,
        rgba: Vec<u8>,
        width: usize,
        on_progress: Function,
    ) -> Result<JsValue, JsValue> {
        let recipe: Recipe = from_js("the recipe", recipe)?;
        let started = js_sys::Date::now();
        self.cancel_requested.set(false);
        let upscaler = self.upscaler(&|known, _| known == sha256).await.map_err(refused)?;
        let upscaler = upscaler.ok_or_else(|| refused(PipelineError::NoUpscaler(sha256.clone())))?;
        let (device, config) = self.chosen_device().await?;
        let image = decoded(&rgba, width);
        let on_tile = &mut |step, steps| {
            let progress = ProgressInfo { stage: Stage::Upscale, step, steps, seconds_left: None };
            if let Ok(progress) = to_js(&progress) {
                // An exception in the callback must not abort the work.
                let _ = on_progress.call1(&JsValue::NULL, &progress);
            }
            if self.cancel_requested.get() { Err(PipelineError::Cancelled) } else { Ok(()) }
        };
        let mut enlarger = Enlarger::new(&device, &config, &upscaler, Tiling::default(), Channels::Rgb);
        let DecodedImage { width, height, rgb } = enlarger.once(&image, on_tile).await.map_err(refused)?;
        let enlarged =
            GeneratedImages { width, height, rgb, image: Vec::new(), latents: Vec::new(), applied: Vec::new() };
        images_to_js(&recipe, enlarged, (js_sys::Date::now() - started) / 1000.0)
    }

    /// Reads how an image was generated, as an [`ImageInfo`](crate::pipeline::ImageInfo).
    pub fn read_image(&self, name: String, bytes: Vec<u8>) -> Result<JsValue, JsValue> {
        let info = read_image(&name, &bytes).map_err(refused)?;
        // Through JSON, which has the shortest digits of a 32-bit float: 0.7, not 0.699999988.
        let json = serde_json::to_string(&info).map_err(|error| failure("recipe", error.to_string()))?;
        js_sys::JSON::parse(&json)
    }

    /// Counts the tokens of a prompt for the open model: `[used, limit]`; null if no model is open.
    pub fn count_tokens(&self, prompt: String, program: String, steps: usize) -> Result<JsValue, JsValue> {
        let opened = self.opened.borrow();
        let encoders = opened.as_ref().map(|opened| opened.session.model.spec.text_encoders());
        let Some(encoder) = encoders.as_deref().and_then(<[_]>::first) else {
            return Ok(JsValue::NULL);
        };
        let program: Program =
            program.parse().map_err(|error: ParseProgramError| failure("recipe", error.to_string()))?;
        to_js(&crate::text::count(encoder.tokenizer, &prompt, program, steps))
    }

    /// Returns the names of the styles in a styles.csv.
    pub fn style_names(&self, csv: &str) -> Vec<String> {
        read_styles(csv).into_iter().map(|style| style.name).collect()
    }

    /// Adds the chosen styles of a styles.csv to a prompt and a negative prompt, and returns both.
    pub fn apply_styles(&self, prompt: String, negative: String, csv: &str, chosen: Vec<String>) -> Vec<String> {
        let styles = read_styles(csv);
        let chosen = chosen.iter().filter_map(|name| styles.iter().find(|style| style.name == *name));
        let (prompt, negative) =
            chosen.fold((prompt, negative), |(prompt, negative), style| style.apply(&prompt, &negative));
        vec![prompt, negative]
    }

    /// Fills a template; the seed is given by its digits, the wildcards' files by their names and texts.
    pub fn fill_template(
        &self,
        template: &str,
        seed: &str,
        names: Vec<String>,
        texts: Vec<String>,
    ) -> Result<String, JsValue> {
        let mut wildcards = Wildcards::default();
        names.iter().zip(&texts).for_each(|(name, text)| wildcards.add(name, text));
        fill(template, seed.parse().unwrap_or_default(), &wildcards)
            .map_err(|error| failure("recipe", error.to_string()))
    }

    /// Cancels the running [`Engine::generate`] or [`Engine::find_triggers`] before its next step.
    pub fn cancel(&self) {
        self.cancel_requested.set(true);
    }
}

impl Engine {
    /// Replaces the open model.
    async fn set_model(&self, model: Model) -> Result<JsValue, JsValue> {
        let (device, config) = self.chosen_device().await?;
        let (chosen, memory) = self.chosen_weights.get();
        let storage = WeightStorage::choose(&model, &config, chosen, memory).map_err(refused)?;
        let config = KernelConfig { weights: storage.weights, ..config };
        let fingerprint = model.checkpoint.fingerprint(Component::Unet).await.map_err(|error| refused(error.into()))?;
        let memory = if self.on_cpu.get() { self.memory_of_two.get() } else { 0 };
        let has_room = storage.leaves_room_for_partner(&model, &config, memory).map_err(refused)?;
        let partner = self.partner.borrow().clone().filter(|_| has_room);
        let info = ModelInfo::of(&model, storage, fingerprint, if partner.is_some() { 2 } else { 1 });
        let mut session = Session::new(device, config, model);
        session.tuning_enabled = self.tuning_enabled.clone();
        session.partner = partner;
        wasm_bindgen_futures::spawn_local(session.warm_up());
        self.models_opened.set(self.models_opened.get() + 1);
        *self.opened.borrow_mut() = Some(Opened {
            id: self.models_opened.get(),
            session,
            adapters: HashMap::new(),
            embeddings: HashMap::new(),
        });
        to_js(&info)
    }

    /// Runs `work` with exclusive access to the open model. If another model is opened in the meantime, this one
    /// is dropped afterwards, with the adapters and embeddings loaded for it.
    pub(super) async fn with_model<T>(&self, work: impl AsyncFnOnce(&mut Opened) -> T) -> Result<T, JsValue> {
        let opened = self.opened.borrow_mut().take();
        let mut opened = opened
            .ok_or_else(|| failure("busy", "no model is open, or an image is being generated; cancel it or wait"))?;
        let previous = opened.session.gpu().cloned();
        let is_previous = |device: &Device| previous.as_ref().is_some_and(|gpu| Rc::ptr_eq(&device.gpu, gpu));
        if let Some(device) = self.device.borrow().as_ref().filter(|device| is_previous(device)) {
            let weights = opened.session.config.weights;
            opened.session.config = KernelConfig { weights, ..device.config.clone() };
        }
        let result = work(&mut opened).await;
        // The session recreates a lost device, tunes an untuned one and disables f16 math that overflows.
        let mut device = self.device.borrow_mut();
        if let Some(gpu) = opened.session.gpu().filter(|_| device.as_ref().is_none_or(is_previous)) {
            let config = KernelConfig { weights: WeightChoice::Auto, ..opened.session.config.clone() };
            *device = Some(Device { gpu: gpu.clone(), config });
        }
        if opened.id == self.models_opened.get() {
            *self.opened.borrow_mut() = Some(opened);
        }
        Ok(result)
    }

    /// Returns the floating-point operations of a recipe's images with the open model; `None` without one.
    pub(super) fn flops(&self, recipe: &Recipe) -> Result<Option<u64>, PipelineError> {
        let opened = self.opened.borrow();
        opened.as_ref().map(|opened| opened.session.flops(recipe)).transpose()
    }

    /// Opens the upscaling network of the inspected file whose SHA-256 and place fit.
    async fn upscaler(&self, fits: &dyn Fn(&str, &Place) -> bool) -> Result<Option<UpscalerFile>, PipelineError> {
        let found = self.files.borrow().iter().find(|(sha256, file)| fits(sha256, file)).map(|(_, file)| file.clone());
        let Some(file) = found else { return Ok(None) };
        Ok(Some(UpscalerFile::open(TensorFile::open(file.name, file.source).await?)?))
    }

    pub(super) async fn draw(
        &self,
        opened: &mut Opened,
        recipe: &Recipe,
        (init, mask, preview): (Option<&[f32]>, Option<&[f32]>, bool),
        on_progress: &Function,
    ) -> Result<GeneratedImages, PipelineError> {
        let mut adapters = Vec::new();
        for choice in &recipe.adapters {
            if let Some(adapter) = opened.adapter(&self.files, &choice.sha256).await? {
                adapters.push(adapter);
            }
        }
        let adapters: Vec<&LoadedAdapter> = adapters.iter().map(Rc::as_ref).collect();
        let mut embeddings = Vec::new();
        for choice in &recipe.embeddings {
            embeddings.extend(opened.embedding(&self.files, &choice.sha256).await?);
        }
        let embeddings: Vec<&Embedding> = embeddings.iter().map(Rc::as_ref).collect();
        let network = recipe.hires.as_ref().and_then(|hires| hires.network.as_deref());
        let upscaler = match network {
            Some(name) => self.upscaler(&|_, file| is_named(name, &file.name)).await?,
            None => None,
        };
        let inputs = GenerateInputs {
            adapters: &adapters,
            embeddings: &embeddings,
            init,
            mask,
            upscaler: upscaler.as_ref(),
            preview,
            latents_only: false,
        };
        let mut denoise_start_ms: Option<f64> = None;
        let mut on_step = |progress: Progress| {
            let seconds_left = (progress.stage == Stage::Denoise).then(|| {
                let start = *denoise_start_ms.get_or_insert_with(js_sys::Date::now);
                denoise_seconds_left((js_sys::Date::now() - start) / 1000.0, progress.step, progress.steps)
            });
            let preview = progress.preview.and_then(|preview| preview_to_js(preview).ok());
            let progress = ProgressInfo {
                stage: progress.stage,
                step: progress.step,
                steps: progress.steps,
                seconds_left: seconds_left.flatten(),
            };
            if let Ok(progress) = to_js(&progress) {
                if let Some(preview) = preview {
                    let _ = Reflect::set(&progress, &"preview".into(), &preview);
                }
                // An exception in the callback must not abort the generation.
                let _ = on_progress.call1(&JsValue::NULL, &progress);
            }
            if self.cancel_requested.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let generated = opened.session.generate(recipe, &inputs, &mut on_step).await?;
        if let Some(start) = denoise_start_ms.filter(|_| self.on_cpu.get() && recipe.hires.is_none()) {
            self.note_speed(opened.session.flops(recipe)?, (js_sys::Date::now() - start) / 1000.0);
        }
        Ok(generated)
    }
}

impl Opened {
    /// Returns the textual inversion of a kept file, loaded for this model.
    async fn embedding(&mut self, files: &Files, sha256: &str) -> Result<Option<Rc<Embedding>>, PipelineError> {
        if let Some(loaded) = self.embeddings.get(sha256) {
            return Ok(Some(loaded.clone()));
        }
        let Some(file) = files.borrow().get(sha256).cloned() else { return Ok(None) };
        let tensors = TensorFile::open(file.name, file.source).await?;
        let loaded = Rc::new(Embedding::open(sha256.into(), &tensors, &self.session.text_widths()).await?);
        self.embeddings.insert(sha256.into(), loaded.clone());
        Ok(Some(loaded))
    }

    /// Returns the adapter of a kept file, loaded for this model.
    pub(super) async fn adapter(
        &mut self,
        files: &Files,
        sha256: &str,
    ) -> Result<Option<Rc<LoadedAdapter>>, PipelineError> {
        if let Some(loaded) = self.adapters.get(sha256) {
            return Ok(Some(loaded.clone()));
        }
        let Some(file) = files.borrow().get(sha256).cloned() else { return Ok(None) };
        let tensors = TensorFile::open(file.name, file.source).await?;
        let modules = self.session.model.modules();
        let loaded = Rc::new(LoadedAdapter::open(sha256.into(), tensors, file.config.as_deref(), &modules).await?);
        self.adapters.insert(sha256.into(), loaded.clone());
        Ok(Some(loaded))
    }
}

/// Returns RGBA pixels as an image.
fn decoded(rgba: &[u8], width: usize) -> DecodedImage {
    let rgb: Vec<u8> = rgba.chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect();
    DecodedImage { width, height: rgb.len() / 3 / width.max(1), rgb }
}

/// Returns a preview image as `{width, height, rgba}`.
fn preview_to_js(preview: &Preview) -> Result<JsValue, JsValue> {
    let rgba: Vec<u8> = preview.rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    let result = to_js(&PreviewInfo { width: preview.width, height: preview.height })?;
    Reflect::set(&result, &"rgba".into(), &Uint8ClampedArray::from(rgba.as_slice()))?;
    Ok(result)
}

/// Returns the image as `{width, height, seconds, applied, rgba, png}`.
fn images_to_js(recipe: &Recipe, generated: GeneratedImages, seconds: f64) -> Result<JsValue, JsValue> {
    let (width, height) = (generated.width, generated.height);
    let recipe_json = serde_json::to_string(recipe).map_err(|error| failure("recipe", error.to_string()))?;
    let parameters = RecipeDraft::of(recipe).to_infotext();
    let texts = [("parameters", parameters.as_str()), ("lora-loupe", &recipe_json)];
    let png = encode_png(&generated.rgb[..width * height * 3], width, height, &texts)
        .map_err(|error| failure("file", format!("could not encode the PNG: {error}")))?;
    let rgba: Vec<u8> = generated.rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    let result = to_js(&GeneratedInfo { width, height, seconds, applied: generated.applied })?;
    Reflect::set(&result, &"rgba".into(), &Uint8ClampedArray::from(rgba.as_slice()))?;
    Reflect::set(&result, &"png".into(), &Uint8Array::from(png.as_slice()))?;
    Ok(result)
}
