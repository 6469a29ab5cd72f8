"""Compares an image that lora-loupe generates from any checkpoint with diffusers: final latents and pixels.

Not part of the tests: it needs a real model, and time. The model is a .safetensors checkpoint of Stable
Diffusion 1.x, 2.x or XL, or a diffusers folder; LoRAs can be in any format that both programs load.

    pip install torch diffusers transformers peft accelerate safetensors pillow numpy
    cargo build --release -p lora-loupe
    python tests/make/compare_checkpoint.py model.safetensors --size 512x512 --steps 4

It prints the relative distance of the latents, ||a - b|| / ||b||, and the difference of the pixels in levels
of 255. With f16 weights about 1e-3 is expected, with f32 weights about 1e-5 on the CPU. A few percent or more
after many steps with an ancestral sampler is normal on another device, but 0.1 after four steps of DDIM is a
bug: please report it with the printed lines.
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCHEDULERS = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler}


def is_xl(model):
    if model.is_dir():
        return (model / "text_encoder_2").is_dir()
    with safe_open(model, "pt") as file:
        return any(key.startswith("conditioner.embedders.1.") for key in file.keys())


def reference(arguments, width, height):
    cls = StableDiffusionXLPipeline if is_xl(arguments.model) else StableDiffusionPipeline
    load = cls.from_pretrained if arguments.model.is_dir() else cls.from_single_file
    pipe = load(arguments.model, torch_dtype=torch.float32)
    pipe.safety_checker = None
    pipe.scheduler = SCHEDULERS[arguments.sampler].from_config(pipe.scheduler.config)
    for index, lora in enumerate(arguments.lora):
        path, _, strength = lora.rpartition("=")
        pipe.load_lora_weights(path, adapter_name=str(index))
        pipe.fuse_lora(lora_scale=float(strength), adapter_names=[str(index)])
    pipe.to(arguments.device)
    seeded = torch.Generator("cpu").manual_seed(arguments.seed)
    latents = pipe(
        arguments.prompt, negative_prompt=arguments.negative, width=width, height=height, generator=seeded,
        num_inference_steps=arguments.steps, guidance_scale=arguments.cfg, output_type="latent",
    ).images  # fmt: skip
    with torch.no_grad():
        image = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    pixels = (image / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0) * 255
    return latents.float().cpu(), pixels.round().cpu().numpy(), pipe.scheduler.config.get("timestep_spacing")


def ours(arguments, folder, spacing):
    png, latents = folder / "ours.png", folder / "ours.safetensors"
    command = [arguments.binary, "generate", "--model", arguments.model, "--prompt", arguments.prompt, "--negative", arguments.negative]
    command += ["--seed", arguments.seed, "--steps", arguments.steps, "--cfg", arguments.cfg, "--sampler", arguments.sampler]
    command += ["--size", arguments.size, "-o", png, "--latents", latents]
    if spacing:
        command += ["--spacing", spacing]
    for lora in arguments.lora:
        command += ["--lora", lora]
    subprocess.run([str(part) for part in command], check=True)
    return load_file(latents)["latents"], np.asarray(Image.open(png), np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--lora", action="append", default=[], metavar="FILE=STRENGTH")
    parser.add_argument("--prompt", default="a photograph of a lighthouse at dusk")
    parser.add_argument("--negative", default="blurry")
    parser.add_argument("--size", default="512x512", metavar="WxH")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--cfg", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampler", choices=sorted(SCHEDULERS), default="ddim")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "lora-loupe")
    arguments = parser.parse_args()
    width, height = (int(part) for part in arguments.size.split("x"))
    # Single files do not specify the timestep spacing; diffusers uses the published model's config.
    wanted, colours, spacing = reference(arguments, width, height)
    with tempfile.TemporaryDirectory() as folder:
        latents, pixels = ours(arguments, pathlib.Path(folder), spacing)
    off = np.abs(pixels - colours)
    print(f"latents: {(latents - wanted).norm() / wanted.norm():.1e} apart")
    print(f"pixels: {off.mean():.2f} levels apart on average, {off.max():.0f} at most")


if __name__ == "__main__":
    main()
