//! Turns the worker's calls into reports and pictures; keeps files, device and model between them.

use super::convert::{failure, from_js, refused, to_js};
use super::sources::Place;
use super::progress::ProgressReporter;
use super::types::{Inspected, ModelInfo, PictureInfo, PngInfo, PreviewInfo, ProgressInfo};
use crate::analysis;
use crate::edit::{EditInput, fixes};
use crate::formats::ByteSource;
use crate::gpu::{Gpu, RooflinePeak, Tuning};
use crate::pipeline::{
    Embedding, Folder, GenerateInputs, Infotext, Model, Picture, PipelineError, Preview, Progress, Recipe, Session, Stage,
    denoise_seconds_left, encode_png, png_parameters,
};
use crate::text::Tokenizer;
use crate::weights::{LoadedAdapter, TensorFile};
use js_sys::{Array, Function, Reflect, Uint8Array, Uint8ClampedArray};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// Inspected files, by their sha256.
pub(super) type Files = RefCell<HashMap<String, Place>>;

/// A model that pictures are drawn with, and what was read against it.
pub(super) struct Opened {
    /// Tells it from models opened before and after.
    opening: u64,
    pub(super) session: Session,
    adapters: HashMap<String, Rc<LoadedAdapter>>,
    embeddings: HashMap<String, Rc<Embedding>>,
}

/// Everything behind the page, in one worker.
#[wasm_bindgen]
#[derive(Default)]
pub struct Engine {
    pub(super) files: Files,
    pub(super) gpu: RefCell<Option<Rc<Gpu>>>,
    /// What an earlier visit found out of the device.
    pub(super) tuning: RefCell<Option<Tuning>>,
    /// Taken out while it is at work.
    opened: RefCell<Option<Opened>>,
    /// How many models were opened.
    openings: Cell<u64>,
    stop: Cell<bool>,
    /// How often reading was stopped.
    reading: Cell<u64>,
    /// How often edits were stopped.
    pub(super) editing: Cell<u64>,
    /// How often weighing was stopped.
    pub(super) weighing: Cell<u64>,
    /// What the device can do at most, once measured.
    pub(super) roof: Cell<Option<RooflinePeak>>,
}

#[wasm_bindgen]
impl Engine {
    /// An engine that holds nothing yet; needs no graphics processor.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Engine {
        console_error_panic_hook::set_once();
        Engine::default()
    }

    /// Reads the numbers of one of the `parts` of a file, for [`Engine::inspect`] of any engine.
    /// `on_progress` hears of the layers as they are read; see [`ReadProgress`].
    pub async fn measure(
        &self,
        place: JsValue,
        part: usize,
        parts: usize,
        on_progress: Function,
    ) -> Result<JsValue, JsValue> {
        let Place { name, source, config } = Place::of(&place)?;
        let (mut reporter, turn) = (ProgressReporter::new(Some(on_progress)), self.reading.get());
        let share = analysis::Share { part, parts };
        let mut on_progress = |progress: analysis::Progress<'_>| self.on_progress(&mut reporter, turn, progress);
        let numbers = analysis::measure(&name, source.as_ref(), config.as_deref(), share, &mut on_progress).await;
        self.unless_stopped(turn)?;
        reporter.flush();
        to_js(&numbers)
    }

    /// Reports on a file, with what mends it, and keeps it under its sha256 for
    /// [`Engine::generate`]. `on_progress` hears of the layers as they are read, then of the hashes; see
    /// [`ReadProgress`]. `known` lists what [`Engine::measure`] gave for parts of the file.
    pub async fn inspect(
        &self,
        place: JsValue,
        on_progress: Option<Function>,
        known: JsValue,
    ) -> Result<JsValue, JsValue> {
        let Place { name, source, config } = Place::of(&place)?;
        let known = if known.is_undefined() { Vec::new() } else { from_js("the numbers that were read", known)? };
        let (mut reporter, turn) = (ProgressReporter::new(on_progress), self.reading.get());
        let mut on_progress = |progress: analysis::Progress<'_>| self.on_progress(&mut reporter, turn, progress);
        let report = analysis::inspect_with(&name, source.as_ref(), config.as_deref(), &known, &mut on_progress).await;
        self.unless_stopped(turn)?;
        let input = EditInput::file(&name, source.as_ref(), config.as_deref());
        // A file that cannot be mended is reported all the same.
        let fixes = fixes(&input, &report).await.unwrap_or_default();
        self.files.borrow_mut().insert(
            report.sha256.clone(),
            Place { name: name.clone(), source: source.clone(), config: config.clone() },
        );
        to_js(&Inspected { report, fixes })
    }

    /// Keeps a file that was inspected before, under its sha256.
    pub fn remember(&self, sha256: String, place: JsValue) -> Result<(), JsValue> {
        self.files.borrow_mut().insert(sha256, Place::of(&place)?);
        Ok(())
    }

    /// Ends every [`Engine::measure`] and [`Engine::inspect`] that is running, at its next layer.
    pub fn stop_reading(&self) {
        self.reading.set(self.reading.get() + 1);
    }

    /// Opens the graphics processor and says what it is.
    pub async fn gpu(&self) -> Result<JsValue, JsValue> {
        to_js(self.device().await?.info())
    }

    /// Reads a diffusers folder given as its places, each with its `path`; weights are read when they are needed.
    pub async fn open_model(&self, name: String, files: Array) -> Result<JsValue, JsValue> {
        let mut listed: Vec<(String, Rc<dyn ByteSource>)> = Vec::new();
        for entry in files.iter() {
            let path = Reflect::get(&entry, &"path".into())?.as_string().unwrap_or_default();
            listed.push((path, Place::of(&entry)?.source));
        }
        let model = Model::open(&name, &Folder::new(listed)).await.map_err(refused)?;
        self.adopt(model).await
    }

    /// Reads the single-file checkpoint at a place; `merges` is CLIP's gzipped merge list, `vae` the
    /// place of a file in place of the checkpoint's own autoencoder, or undefined.
    pub async fn open_checkpoint(
        &self,
        name: String,
        place: JsValue,
        merges: Vec<u8>,
        vae: JsValue,
    ) -> Result<JsValue, JsValue> {
        let tokenizer = Tokenizer::clip_from_merges_gz(&merges).map_err(|error| refused(error.into()))?;
        let open = async |name: &str, place: JsValue| {
            let opened = TensorFile::open(name.into(), Place::of(&place)?.source).await;
            opened.map_err(|error| refused(error.into()))
        };
        let vae = if vae.is_undefined() { None } else { Some(open("the VAE", vae).await?) };
        let file = open(&name, place).await?;
        let model = Model::open_file(&name, file, vae, tokenizer).await.map_err(refused)?;
        self.adopt(model).await
    }

    /// Draws a recipe's picture, or the first of its batch. `on_progress` hears of each part, with a
    /// `preview` where that is asked for; `init` holds the RGBA pixels of the picture to start from,
    /// where the recipe has a `denoise`, and `mask` those of its mask, where it is `masked`.
    pub async fn generate(
        &self,
        recipe: JsValue,
        on_progress: Function,
        init: Option<Vec<u8>>,
        mask: Option<Vec<u8>>,
        preview: bool,
    ) -> Result<JsValue, JsValue> {
        let recipe: Recipe = from_js("the recipe", recipe)?;
        let init = init.map(|rgba| {
            let colours = rgba.chunks_exact(4).flat_map(|pixel| &pixel[..3]);
            colours.map(|&value| f32::from(value) / 127.5 - 1.0).collect::<Vec<f32>>()
        });
        let mask = mask.map(|rgba| {
            let grey = |pixel: &[u8]| pixel[..3].iter().map(|&value| f32::from(value)).sum::<f32>() / 765.0;
            rgba.chunks_exact(4).map(grey).collect::<Vec<f32>>()
        });
        let started = js_sys::Date::now();
        let draw = async |opened: &mut Opened| {
            self.stop.set(false);
            self.draw(opened, &recipe, (init.as_deref(), mask.as_deref(), preview), &on_progress).await
        };
        let picture = self.with_model(draw).await?.map_err(refused)?;
        hand_over(&recipe, picture, (js_sys::Date::now() - started) / 1000.0)
    }

    /// What a PNG says of how it was made: this program's own recipe, and the web UIs' infotext.
    pub fn read_png(&self, bytes: Vec<u8>) -> Result<JsValue, JsValue> {
        let recipe = png_text("lora-loupe", &bytes).and_then(|text| serde_json::from_str(&text).ok());
        let infotext = png_text("parameters", &bytes).map(|text| Infotext::read(&text));
        to_js(&PngInfo { recipe, infotext })
    }

    /// How many tokens a prompt takes of the open model's room, `[used, room]`; null while none is open.
    pub fn count_tokens(&self, prompt: String, syntax: String, steps: usize) -> Result<JsValue, JsValue> {
        let opened = self.opened.borrow();
        let Some(tokenizer) = opened.as_ref().and_then(|opened| opened.session.model.tokenizers.first()) else {
            return Ok(JsValue::NULL);
        };
        let syntax = syntax.parse().map_err(|error: crate::text::TextError| refused(error.into()))?;
        to_js(&crate::text::count(tokenizer, &prompt, syntax, steps))
    }

    /// Stops the picture that is being drawn, before its next step.
    pub fn cancel(&self) {
        self.stop.set(true);
    }
}

impl Engine {
    /// Reports progress to the page; breaks once [`Engine::stop_reading`] was called.
    fn on_progress(
        &self,
        reporter: &mut ProgressReporter,
        turn: u64,
        progress: analysis::Progress<'_>,
    ) -> ControlFlow<()> {
        reporter.on_progress(progress);
        if self.reading.get() == turn { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn unless_stopped(&self, turn: u64) -> Result<(), JsValue> {
        if self.reading.get() == turn { Ok(()) } else { Err(failure("cancelled", "the reading was stopped")) }
    }

    /// Makes a model the one that is drawn with.
    async fn adopt(&self, model: Model) -> Result<JsValue, JsValue> {
        let info = ModelInfo::of(&model);
        let device = self.device().await?;
        let session = Session::new(device, model);
        wasm_bindgen_futures::spawn_local(session.warm_up());
        self.openings.set(self.openings.get() + 1);
        *self.opened.borrow_mut() = Some(Opened {
            opening: self.openings.get(),
            session,
            adapters: HashMap::new(),
            embeddings: HashMap::new(),
        });
        to_js(&info)
    }

    /// Does some work with the open model, which nobody else has meanwhile. Where another was opened in that
    /// time, this one is gone afterwards with all that was read for it.
    pub(super) async fn with_model<T>(&self, work: impl AsyncFnOnce(&mut Opened) -> T) -> Result<T, JsValue> {
        let opened = self.opened.borrow_mut().take();
        let mut opened =
            opened.ok_or_else(|| failure("busy", "no model is open, or a picture is being drawn: stop it or wait"))?;
        let before = opened.session.gpu.clone();
        let done = work(&mut opened).await;
        // A lost device has been opened anew.
        let mut gpu = self.gpu.borrow_mut();
        if gpu.as_ref().is_none_or(|gpu| Rc::ptr_eq(gpu, &before)) {
            *gpu = Some(opened.session.gpu.clone());
        }
        if opened.opening == self.openings.get() {
            *self.opened.borrow_mut() = Some(opened);
        }
        Ok(done)
    }

    pub(super) async fn device(&self) -> Result<Rc<Gpu>, JsValue> {
        if let Some(gpu) = self.gpu.borrow().clone() {
            return Ok(gpu);
        }
        let opened = Gpu::open().await.map_err(|error| refused(error.into()))?;
        let subgroups = Reflect::get(&js_sys::global(), &"deviceHasSubgroups".into());
        opened.set_has_subgroups(subgroups.is_ok_and(|has| has.is_truthy()));
        opened.self_test().await.map_err(|error| refused(error.into()))?;
        opened.set_wants_tuning(true);
        self.tell_tuning(&opened);
        Ok(self.gpu.borrow_mut().get_or_insert(Rc::new(opened)).clone())
    }

    pub(super) async fn draw(
        &self,
        opened: &mut Opened,
        recipe: &Recipe,
        (init, mask, preview): (Option<&[f32]>, Option<&[f32]>, bool),
        on_progress: &Function,
    ) -> Result<Picture, PipelineError> {
        let mut adapters = Vec::new();
        for choice in &recipe.adapters {
            if let Some(adapter) = opened.adapter(&self.files, &choice.sha256).await? {
                adapters.push(adapter);
            }
        }
        let chosen: Vec<&LoadedAdapter> = adapters.iter().map(Rc::as_ref).collect();
        let mut words = Vec::new();
        for choice in &recipe.embeddings {
            words.extend(opened.embedding(&self.files, &choice.sha256).await?);
        }
        let called: Vec<&Embedding> = words.iter().map(Rc::as_ref).collect();
        let given = GenerateInputs { adapters: &chosen, embeddings: &called, init, mask, preview };
        let mut denoising: Option<f64> = None;
        let mut hear = |progress: Progress| {
            let seconds_left = (progress.stage == Stage::Denoise).then(|| {
                let since = *denoising.get_or_insert_with(js_sys::Date::now);
                denoise_seconds_left((js_sys::Date::now() - since) / 1000.0, progress.step, progress.steps)
            });
            let shown = progress.preview.and_then(|preview| preview_to_js(preview).ok());
            let progress = ProgressInfo {
                stage: progress.stage,
                step: progress.step,
                steps: progress.steps,
                seconds_left: seconds_left.flatten(),
            };
            if let Ok(progress) = to_js(&progress) {
                if let Some(shown) = shown {
                    let _ = Reflect::set(&progress, &"preview".into(), &shown);
                }
                // A listener that throws must not cost the picture.
                let _ = on_progress.call1(&JsValue::NULL, &progress);
            }
            if self.stop.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        opened.session.generate(recipe, &given, &mut hear).await
    }
}

impl Opened {
    /// The textual inversion of an inspected file, read for this model.
    async fn embedding(&mut self, files: &Files, sha256: &str) -> Result<Option<Rc<Embedding>>, PipelineError> {
        if let Some(known) = self.embeddings.get(sha256) {
            return Ok(Some(known.clone()));
        }
        let Some(file) = files.borrow().get(sha256).cloned() else { return Ok(None) };
        let tensors = TensorFile::open(file.name, file.source).await?;
        let read = Rc::new(Embedding::open(sha256.into(), &tensors, &self.session.text_widths()).await?);
        self.embeddings.insert(sha256.into(), read.clone());
        Ok(Some(read))
    }

    /// The adapter of an inspected file, read against this model.
    pub(super) async fn adapter(
        &mut self,
        files: &Files,
        sha256: &str,
    ) -> Result<Option<Rc<LoadedAdapter>>, PipelineError> {
        if let Some(known) = self.adapters.get(sha256) {
            return Ok(Some(known.clone()));
        }
        let Some(file) = files.borrow().get(sha256).cloned() else { return Ok(None) };
        let tensors = TensorFile::open(file.name, file.source).await?;
        let modules = self.session.model.networks.modules();
        let loaded = Rc::new(LoadedAdapter::open(sha256.into(), tensors, file.config.as_deref(), &modules).await?);
        self.adapters.insert(sha256.into(), loaded.clone());
        Ok(Some(loaded))
    }
}

/// A small picture as `{width, height, rgba}`.
fn preview_to_js(preview: &Preview) -> Result<JsValue, JsValue> {
    let rgba: Vec<u8> = preview.rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    let shown = to_js(&PreviewInfo { width: preview.width, height: preview.height })?;
    Reflect::set(&shown, &"rgba".into(), &Uint8ClampedArray::from(rgba.as_slice()))?;
    Ok(shown)
}

/// A text chunk of a PNG, or None where there is none or it cannot be read.
fn png_text(name: &str, bytes: &[u8]) -> Option<String> {
    png_parameters(name, bytes).ok().flatten()
}

/// The picture as `{width, height, seconds, applied, rgba, png}`.
fn hand_over(recipe: &Recipe, picture: Picture, seconds: f64) -> Result<JsValue, JsValue> {
    let (width, height) = (picture.width, picture.height);
    let written = serde_json::to_string(recipe).map_err(|error| failure("recipe", error.to_string()))?;
    let parameters = Infotext::of(recipe).to_string();
    let texts = [("parameters", parameters.as_str()), ("lora-loupe", &written)];
    let png = encode_png(&picture.rgb[..width * height * 3], width, height, &texts)
        .map_err(|error| failure("file", format!("the PNG could not be written: {error}")))?;
    let rgba: Vec<u8> = picture.rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    let result = to_js(&PictureInfo { width, height, seconds, applied: picture.applied })?;
    Reflect::set(&result, &"rgba".into(), &Uint8ClampedArray::from(rgba.as_slice()))?;
    Reflect::set(&result, &"png".into(), &Uint8Array::from(png.as_slice()))?;
    Ok(result)
}
