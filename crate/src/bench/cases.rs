//! Benchmark cases: single operations, a UNet layer and the demo's UNet.

use crate::gpu::KernelConfig;
use crate::gpu::lower::lower_step;
use crate::model::{ConfigError, Family, FamilyId, Unet, UnetConfig};
use crate::num::{host_len, numel};
use crate::ops::{Attention, Conv2d, GroupNorm, LayerNorm, Matmul, Op, Storage};
use crate::plan::{Builder, Layout, Plan, PlanError, unet, unet_layer};

/// Config of the demo's UNet, whose folder is not in the published crate.
const DEMO: &str = include_str!("demo_unet.json");

/// Size class of the shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Shapes that a software rasterizer finishes within seconds, also in a browser.
    Small,
    /// Shapes of Stable Diffusion 1.5 at 512x512 with classifier-free guidance, and of SDXL at 1024x1024.
    Full,
}

/// A plan to time.
#[derive(Debug, Clone)]
pub struct Case {
    /// Operation and sizes, for display.
    pub name: String,
    /// Plan with a single output.
    pub plan: Plan,
    /// Storage type of matrices.
    pub storage: Storage,
}

/// Returns the cases of a size that apply to a device with these capabilities: also with f16 weights if
/// it keeps them in f16, and with Winograd convolutions where it uses them.
pub fn cases(size: Size, config: &KernelConfig) -> Result<Vec<Case>, PlanError> {
    let mut list = Vec::new();
    for case in f32_cases(size)? {
        let plan = Plan { allows_winograd: true, ..case.plan.clone() };
        let step = &plan.steps[0];
        let sequence = lower_step(&plan, step, &vec![Storage::F32; step.inputs.len()], config);
        let uses_winograd = matches!(step.op, Op::Conv2d(_)) && sequence.is_ok_and(|list| list.dispatches.len() > 1);
        let winograd =
            uses_winograd.then(|| Case { name: format!("{}, Winograd", case.name), plan, storage: Storage::F32 });
        list.push(case);
        list.extend(winograd);
    }
    if config.f16_weights {
        let with_f16 =
            |case: &Case| Case { name: format!("{}, f16 weights", case.name), storage: Storage::F16, ..case.clone() };
        let f16_cases: Vec<Case> = list.iter().filter(|case| case.has_matrix()).map(with_f16).collect();
        list.extend(f16_cases);
    }
    Ok(list)
}

impl Case {
    /// Returns whether the case reads matrices, which can be stored in f16.
    fn has_matrix(&self) -> bool {
        self.plan.weights().any(|(_, _, shape)| shape.len() > 1)
    }
}

/// Returns the cases of a size with weights in f32.
fn f32_cases(size: Size) -> Result<Vec<Case>, PlanError> {
    Ok(match size {
        Size::Small => vec![
            conv(1, 32, 320, 320)?,
            conv(1, 16, 640, 640)?,
            conv(1, 32, 256, 256)?,
            matmul(1024, 320, 320)?,
            matmul(256, 640, 2560)?,
            matmul(64, 1280, 1280)?,
            attention(1, 1024, 1024, 8, 40)?,
            attention(1, 256, 256, 8, 80)?,
            group_norm(1, 32, 320)?,
            layer_norm(1024, 320)?,
            layer(1, 16)?,
            demo()?,
        ],
        Size::Full => vec![
            conv(2, 64, 320, 320)?,
            conv(2, 32, 640, 640)?,
            conv(2, 16, 1280, 1280)?,
            conv(2, 8, 1280, 1280)?,
            conv(1, 128, 512, 512)?,
            conv(1, 256, 256, 256)?,
            conv(1, 512, 128, 128)?,
            matmul(8192, 320, 320)?,
            matmul(8192, 320, 2560)?,
            matmul(8192, 1280, 320)?,
            matmul(2048, 640, 640)?,
            matmul(512, 1280, 1280)?,
            matmul(2048, 1280, 10240)?,
            attention(2, 4096, 4096, 8, 40)?,
            attention(2, 1024, 1024, 8, 80)?,
            attention(2, 256, 256, 8, 160)?,
            attention(2, 4096, 77, 8, 40)?,
            attention(2, 1024, 1024, 20, 64)?,
            group_norm(2, 64, 320)?,
            layer_norm(8192, 320)?,
            layer(2, 64)?,
        ],
    })
}

fn single(
    name: String,
    op: impl Into<Op>,
    inputs: &[(&str, &[usize])],
    weights: &[(&str, &[usize])],
) -> Result<Case, PlanError> {
    let mut builder = Builder::new(&name);
    let mut ids: Vec<_> = inputs.iter().map(|(name, shape)| builder.input(name, shape)).collect();
    ids.extend(weights.iter().map(|(name, shape)| builder.weight(name, shape, Layout::Ohwi)));
    let y = builder.push(op, &ids, &name)?;
    builder.output("y", y);
    Ok(Case { name, plan: builder.finish(), storage: Storage::F32 })
}

fn batched(batch: usize, name: String) -> String {
    if batch == 1 { name } else { format!("{batch} x {name}") }
}

fn conv(batch: usize, edge: usize, channels: usize, outputs: usize) -> Result<Case, PlanError> {
    let name = batched(batch, format!("conv 3x3 {channels} to {outputs} at {edge}x{edge}"));
    let op = Conv2d { kernel: 3, stride: 1, padding: 1, bias: true, ..Default::default() };
    let weights: [(&str, &[usize]); 2] = [("w", &[outputs, 9 * channels]), ("b", &[outputs])];
    single(name, op, &[("x", &[batch, edge, edge, channels])], &weights)
}

fn matmul(rows: usize, inner: usize, columns: usize) -> Result<Case, PlanError> {
    let op = Matmul { transpose_b: true, ..Default::default() };
    single(format!("matmul {rows} x {inner} x {columns}"), op, &[("x", &[1, rows, inner])], &[("w", &[columns, inner])])
}

fn attention(batch: usize, queries: usize, keys: usize, heads: usize, head_dim: usize) -> Result<Case, PlanError> {
    let tokens = if queries == keys { format!("{queries}") } else { format!("{queries} to {keys}") };
    let name = batched(batch, format!("attention {tokens} tokens, {heads} heads of {head_dim}"));
    let (q_shape, kv_shape) = ([batch, queries, heads * head_dim], [batch, keys, heads * head_dim]);
    let inputs: [(&str, &[usize]); 3] = [("q", &q_shape), ("k", &kv_shape), ("v", &kv_shape)];
    single(name, Attention { heads, causal: false }, &inputs, &[])
}

fn group_norm(batch: usize, edge: usize, channels: usize) -> Result<Case, PlanError> {
    let name = batched(batch, format!("group norm and SiLU, {channels} channels at {edge}x{edge}"));
    let op = GroupNorm { groups: 32, eps: 1e-5, silu: true, concat: false };
    single(name, op, &[("x", &[batch, edge, edge, channels])], &[("weight", &[channels]), ("bias", &[channels])])
}

fn layer_norm(rows: usize, width: usize) -> Result<Case, PlanError> {
    let op = LayerNorm { eps: 1e-5 };
    let weights: [(&str, &[usize]); 2] = [("weight", &[width]), ("bias", &[width])];
    single(format!("layer norm {rows} x {width}"), op, &[("x", &[1, rows, width])], &weights)
}

/// Builds the case of SD 1.5's first layer: a resnet and a transformer of 320 channels.
fn layer(batch: usize, edge: usize) -> Result<Case, PlanError> {
    let family = Family::published(FamilyId::Sd15).map_err(invalid)?;
    let name = batched(batch, format!("UNet layer of 320 channels at {edge}x{edge}: resnet and transformer"));
    Ok(Case { name, plan: unet_layer(&family.unet, 0, batch, edge, edge, 77)?.fuse_epilogues(), storage: Storage::F32 })
}

/// Builds the case of the demo's UNet, with the steps that depend on the text alone.
fn demo() -> Result<Case, PlanError> {
    let net = Unet::new(&UnetConfig::parse(DEMO).map_err(invalid)?);
    let name = "UNet of the demo at 64x64 with guidance".into();
    Ok(Case { name, plan: unet(&net, 2, 16, 16, 77)?.fuse_epilogues(), storage: Storage::F32 })
}

fn invalid(error: ConfigError) -> PlanError {
    PlanError::Size { what: "a config of a UNet".into(), wanted: "valid".into(), found: error.to_string() }
}

/// Returns the seed of a tensor's random values: the FNV-1a hash of its name.
pub fn seed(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Generates a tensor's values from its name: -1 to 1; those of a matrix are scaled so that products keep their
/// magnitude.
pub fn numbers(name: &str, shape: &[usize]) -> Vec<f32> {
    let scale = match shape {
        [_, inner] => (3.0 / *inner as f32).sqrt(),
        _ => 1.0,
    };
    let mut data = crate::gpu::numbers(seed(name), host_len(numel(shape)));
    data.iter_mut().for_each(|value| *value *= scale);
    data
}
