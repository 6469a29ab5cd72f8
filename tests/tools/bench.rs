//! Native benchmarks of this machine's GPU, printed as JSON; run by `cargo xtask bench --native`.
//! `--full` adds the shapes of published models, `--step` a full UNet call and VAE decode of SD 1.5 with synthetic
//! weights. With `--cpu FILE` it answers names of cases with their times on the CPU, for `cargo xtask bench --cpu`.

use lora_loupe::bench::{BUDGET, Prepared, Row, Size, cases, roofline_rows};
use lora_loupe::device::Device;
use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::{Gpu, KernelConfig, RooflinePeak};
use lora_loupe::model::{Family, FamilyId};
use lora_loupe::ops::Storage;
use lora_loupe::pipeline::{AdapterChoice, Folder, Model, PipelineError, Recipe, Session, calls};
use lora_loupe::plan::{Plan, UNET_VARYING, unet, vae_decoder};
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::golden;
use serde_json::json;
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::rc::Rc;

pub fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let has_flag = |flag: &str| arguments.contains(&flag);
    if let ["--cpu", file] = arguments {
        return pollster::block_on(answer(Path::new(file)));
    }
    pollster::block_on(async {
        let gpu = Rc::new(Gpu::open().await?);
        let device = Device::from(gpu.clone());
        let config = gpu.self_test(&gpu.default_config()).await?;
        let peak = gpu.roofline_peak(BUDGET).await?;
        let mut rows = roofline_rows(peak).to_vec();
        let sizes: &[Size] = if has_flag("--full") { &[Size::Small, Size::Full] } else { &[Size::Small] };
        for size in sizes {
            rows.extend(kernels(&device, &config, *size, peak).await?);
        }
        if has_flag("--step") {
            let net = Family::published(FamilyId::Sd15)?.unet;
            let (_, each) = calls(unet(&net, 2, 64, 64, 77)?, &UNET_VARYING, config.style);
            rows.push(network(&device, &config, "UNet step: SD 1.5 at 512x512 with guidance", each, peak).await?);
            let net = Family::published_vae(FamilyId::Sd15)?;
            rows.push(
                network(
                    &device,
                    &config,
                    "VAE decode: SD 1.5 at 512x512",
                    vae_decoder(&net, 1, 64, 64)?.fuse_epilogues(),
                    peak,
                )
                .await?,
            );
        }
        rows.extend(demo(&gpu, &config, peak).await?);
        let info = gpu.info();
        println!("{}", json!({ "adapter": format!("{} ({})", info.adapter, info.backend), "rows": rows }));
        Ok(())
    })
}

/// Answers each line of the standard input, a case's name, with its times on the CPU, a line of JSON. Writes the output
/// of a case's first run to `file`.
async fn answer(file: &Path) -> Result<(), Box<dyn Error>> {
    let (device, config) = (Device::cpu(), KernelConfig::CPU);
    let cases = cases(Size::Small, &config)?;
    let mut prepared = HashMap::new();
    for name in std::io::stdin().lines() {
        let name = name?;
        let case = cases.iter().find(|case| case.name == name).ok_or_else(|| format!("no case `{name}`"))?;
        if !prepared.contains_key(&name) {
            let case = Prepared::new(&device, &config, &case.plan, case.storage).await?;
            let bytes: Vec<u8> = case.output().await?.into_iter().flat_map(f32::to_le_bytes).collect();
            std::fs::write(file, bytes)?;
            prepared.insert(name.clone(), case);
        }
        println!("{}", json!(prepared[&name].row("kernels", &name, None).await?));
    }
    Ok(())
}

async fn kernels(
    device: &Device,
    config: &KernelConfig,
    size: Size,
    peak: RooflinePeak,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for case in cases(size, config)? {
        eprintln!("{}", case.name);
        let prepared = Prepared::new(device, config, &case.plan, case.storage).await?;
        rows.push(prepared.row("kernels", &case.name, Some(peak)).await?);
    }
    Ok(rows)
}

async fn network(
    device: &Device,
    config: &KernelConfig,
    name: &str,
    plan: Plan,
    peak: RooflinePeak,
) -> Result<Row, PipelineError> {
    eprintln!("{name}");
    let storage = if config.f16_weights { Storage::F16 } else { Storage::F32 };
    Prepared::new(device, config, &plan, storage).await?.row("networks", name, Some(peak)).await
}

/// Benchmarks the demo model with one of its LoRAs.
async fn demo(gpu: &Rc<Gpu>, config: &KernelConfig, peak: RooflinePeak) -> Result<Vec<Row>, Box<dyn Error>> {
    eprintln!("the demo model");
    let root = golden::path("../web/public/demo");
    let model = Model::open("demo", &Folder::open(&root.join("model"))?).await?;
    let native = model.native_size();
    let mut session = Session::new(gpu.clone(), config.clone(), model);
    let recipe: Recipe = serde_json::from_value(json!({
        "version": 1, "model": "demo", "prompt": "a panda", "seed": 1, "steps": 4, "guidance": 5.0,
        "sampler": "dpmpp_2m", "width": native, "height": native, "adapters": [],
    }))?;
    let adapter = lora(&root, &session).await?;
    let choice = AdapterChoice {
        name: adapter.file.name.clone(),
        sha256: adapter.id.clone(),
        strength: 1.0,
        text_encoder: None,
        blocks: None,
        hash: None,
    };
    let recipe = Recipe { adapters: vec![choice], ..recipe };
    Ok(Row::of_session(&mut session, &recipe, Some(&adapter), Some(peak)).await?)
}

async fn lora(root: &Path, session: &Session) -> Result<LoadedAdapter, Box<dyn Error>> {
    let path = root.join("loras/blueprint.safetensors");
    let file = TensorFile::open("blueprint.safetensors".into(), Rc::new(FileSource::open(&path)?)).await?;
    Ok(LoadedAdapter::open("demo".into(), file, None, &session.model.modules()).await?)
}
