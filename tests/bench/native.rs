//! Turns this machine's device into rows of times, as JSON: `cargo xtask bench --native` runs it.
//! `--full` adds the shapes of published models, `--step` a whole UNet call of SD 1.5 with made-up weights.

use lora_loupe::bench::{BUDGET, Prepared, Row, Size, cases, roofline_rows};
use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::{Gpu, RooflinePeak};
use lora_loupe::model::{Family, FamilyId};
use lora_loupe::ops::Storage;
use lora_loupe::pipeline::{AdapterChoice, Folder, Model, PipelineError, Recipe, Session, calls};
use lora_loupe::plan::{Plan, unet, vae_decoder};
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::golden;
use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::rc::Rc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    pollster::block_on(async {
        let gpu = Rc::new(Gpu::open().await?);
        gpu.self_test().await?;
        let roof = gpu.roofline_peak(BUDGET).await?;
        let mut rows = roofline_rows(roof).to_vec();
        let sizes: &[Size] = if asked("--full") { &[Size::Small, Size::Full] } else { &[Size::Small] };
        for size in sizes {
            rows.extend(kernels(&gpu, *size, roof).await?);
        }
        if asked("--step") {
            let net = Family::published(FamilyId::Sd15)?.unet;
            let (_, each) = calls(unet(&net, 2, 64, 64, 77)?, gpu.style());
            rows.push(network(&gpu, "UNet step: SD 1.5 at 512x512 with guidance", each, roof).await?);
            let net = Family::published_vae(FamilyId::Sd15)?;
            rows.push(
                network(&gpu, "VAE decode: SD 1.5 at 512x512", vae_decoder(&net, 1, 64, 64)?.fuse_epilogues(), roof).await?,
            );
        }
        rows.extend(demo(&gpu, roof).await?);
        let info = gpu.info();
        println!("{}", json!({ "adapter": format!("{} ({})", info.adapter, info.backend), "rows": rows }));
        Ok(())
    })
}

async fn kernels(gpu: &Gpu, size: Size, roof: RooflinePeak) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for case in cases(size, gpu.caps())? {
        eprintln!("{}", case.name);
        let prepared = Prepared::new(gpu, &case.plan, case.storage).await?;
        rows.push(prepared.row(gpu, "kernels", &case.name, roof).await?);
    }
    Ok(rows)
}

async fn network(gpu: &Gpu, name: &str, plan: Plan, roof: RooflinePeak) -> Result<Row, PipelineError> {
    eprintln!("{name}");
    let storage = if gpu.f16_weights() { Storage::F16 } else { Storage::F32 };
    Prepared::new(gpu, &plan, storage).await?.row(gpu, "networks", name, roof).await
}

/// The bundled model with its bundled LoRA.
async fn demo(gpu: &Rc<Gpu>, roof: RooflinePeak) -> Result<Vec<Row>, Box<dyn Error>> {
    eprintln!("the demo model");
    let root = golden::path("../web/public/demo");
    let model = Model::open("demo", &Folder::open(&root.join("model"))?).await?;
    let native = model.native_size();
    let mut session = Session::new(gpu.clone(), model);
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
    Ok(Row::of_session(&mut session, &recipe, Some(&adapter), roof).await?)
}

async fn lora(root: &Path, session: &Session) -> Result<LoadedAdapter, Box<dyn Error>> {
    let path = root.join("loras/blueprint.safetensors");
    let file = TensorFile::open("blueprint.safetensors".into(), Rc::new(FileSource::open(&path)?)).await?;
    Ok(LoadedAdapter::open("demo".into(), file, None, &session.model.networks.modules()).await?)
}
