//! `upscale` command: an image, enlarged by a network.

use crate::device::{DeviceChoice, open_device};
use crate::files;
use lora_loupe::num::to_index;
use lora_loupe::pipeline::{Channels, DecodedImage, Enlarger, Tiling, UpscalerFile, decode_png, encode_png};
use lora_loupe::weights::TensorFile;
use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

/// Enlarge an image with an upscaling network (ESRGAN, Real-ESRGAN, ESRGAN+ or Real-ESRGAN Compact)
#[derive(clap::Args)]
pub struct Arguments {
    /// The image, a PNG
    image: PathBuf,
    /// The network, a .pth or .safetensors file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Enlarge by this factor: by the network, several times if needed, then by Lanczos (default: the network's factor)
    #[arg(long, value_name = "X")]
    scale: Option<f64>,
    /// Width and height of the tiles that are enlarged one by one, in pixels of the image; 0 for the whole image
    #[arg(long, value_name = "PIXELS", default_value_t = Tiling::default().size)]
    tile: usize,
    /// Pixels of the image over which a tile fades into the next one
    #[arg(long, value_name = "PIXELS", default_value_t = Tiling::default().overlap)]
    overlap: usize,
    /// Give the network blue first, as AUTOMATIC1111's web UI does
    #[arg(long)]
    bgr: bool,
    /// Where to run the network
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Output PNG
    #[arg(short, long, value_name = "OUT.png")]
    output: PathBuf,
}

/// Enlarges the image and writes it.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let tiling = Tiling { size: arguments.tile, overlap: arguments.overlap };
    if tiling.size != 0 && tiling.size <= tiling.overlap {
        return Err(format!("tiles of {} pixels must be larger than their overlap", tiling.size).into());
    }
    if arguments.scale.is_some_and(|scale| !(scale > 0.0 && scale <= 16.0)) {
        return Err("the factor must be above 0 and at most 16".into());
    }
    pollster::block_on(upscale(arguments, tiling))
}

/// Opens an upscaling network.
pub async fn open(path: &Path) -> Result<UpscalerFile, Box<dyn Error>> {
    let file = TensorFile::open(files::name(path), Rc::new(files::source(path)?)).await?;
    Ok(UpscalerFile::open(file)?)
}

async fn upscale(arguments: &Arguments, tiling: Tiling) -> Result<ExitCode, Box<dyn Error>> {
    let failed = |error: &dyn Error| format!("{}: {error}", arguments.image.display());
    let bytes = std::fs::read(&arguments.image).map_err(|error| failed(&error))?;
    let image = decode_png(&bytes).map_err(|error| failed(&error))?;
    let upscaler = open(&arguments.model).await?;
    let (device, config) = open_device(arguments.device).await?;
    let channels = if arguments.bgr { Channels::Bgr } else { Channels::Rgb };
    let mut enlarger = Enlarger::new(&device, &config, &upscaler, tiling, channels);
    let is_terminal = std::io::stderr().is_terminal();
    let on_tile = &mut |done: usize, tiles: usize| {
        if is_terminal {
            eprint!("\r\x1b[K{}", if done < tiles { format!("tile {done}/{tiles}") } else { String::new() });
        }
        Ok(())
    };
    let started = Instant::now();
    let times = |length: usize, scale: f64| to_index((length as f64 * scale).round()).max(1);
    let DecodedImage { width, height, rgb } = match arguments.scale {
        None => enlarger.once(&image, on_tile).await?,
        Some(scale) => {
            let size = (times(image.width, scale), times(image.height, scale));
            enlarger.enlarge(image, size, on_tile).await?
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let output = &arguments.output;
    std::fs::write(output, encode_png(&rgb, width, height, &[])?)
        .map_err(|error| format!("{}: {error}", output.display()))?;
    let (net, name) = (&upscaler.net, device.name());
    say!("{}: {}, {} times", files::name(&arguments.model), net.architecture(), net.scale);
    say!("{}: {width}x{height} in {seconds:.1} s on {name}", output.display());
    Ok(ExitCode::SUCCESS)
}
