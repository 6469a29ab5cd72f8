"""Writes diffusers' latents for cases that the end-to-end goldens lack: golden/runner/cases.json and
latents.safetensors. Inpainting with a four-channel UNet, hires fix, textual inversions, block strengths,
CLIP skip, low guidance and TCD as in the pipelines, rounded weights. The model is
golden/pipelines/mini-sd15; images, masks and vectors follow from (seed, index), see `numbers` in ops.py.

    pip install torch diffusers transformers safetensors
    python tests/make/runner.py
"""

import json
import pathlib
import tempfile

import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    TCDScheduler,
    UNet2DConditionModel,
)
from ops import numbers
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
MODEL = GOLDEN / "pipelines" / "mini-sd15"
HEIGHT, WIDTH = 40, 56
PROMPT, NEGATIVE, SEED, GUIDANCE = "a cat on a mat", "blurry", 7, 5.0
PICTURE = numbers(11, (1, 3, HEIGHT, WIDTH)) * 0.9
Y, X = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
MASK = (((X + 2 * Y) % 24) < 12).float()[None, None]
SCHEDULERS = {
    "ddim": DDIMScheduler,
    "dpm2": KDPM2DiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "heun": HeunDiscreteScheduler,
    "tcd": TCDScheduler,
}


def pipeline(cls, sampler="ddim"):
    pipe = cls.from_pretrained(MODEL, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.scheduler = SCHEDULERS[sampler].from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def usual(**more):
    seeded = torch.Generator("cpu").manual_seed(SEED)
    return dict(prompt=PROMPT, negative_prompt=NEGATIVE, guidance_scale=GUIDANCE, generator=seeded, output_type="latent") | more


def inpaint(sampler, steps, strength):
    pipe = pipeline(StableDiffusionInpaintPipeline, sampler)
    size = dict(height=HEIGHT, width=WIDTH, num_inference_steps=steps, strength=strength)
    return pipe(**usual(image=PICTURE, mask_image=MASK, **size)).images


def inpaint_with_its_model(sampler, steps, strength, images):
    """Of a UNet that also reads the mask and the masked image; its conv_in follows from (seed, index)."""
    pipe = pipeline(StableDiffusionInpaintPipeline, sampler)
    old = pipe.unet.conv_in
    pipe.unet.conv_in = torch.nn.Conv2d(9, old.out_channels, 3, padding=1)
    with torch.no_grad():
        pipe.unet.conv_in.weight.copy_(numbers(31, pipe.unet.conv_in.weight.shape) * 0.2)
        pipe.unet.conv_in.bias.copy_(old.bias)
    pipe.unet.register_to_config(in_channels=9)
    size = dict(height=HEIGHT, width=WIDTH, num_inference_steps=steps, strength=strength, num_images_per_prompt=images)
    return pipe(**usual(image=PICTURE, mask_image=MASK, **size)).images


def hires(steps, scale, second, strength):
    first = pipeline(StableDiffusionPipeline)(**usual(height=HEIGHT, width=WIDTH, num_inference_steps=steps)).images
    size = (int(HEIGHT * scale / 8), int(WIDTH * scale / 8))
    larger = torch.nn.functional.interpolate(first, size=size, mode="bilinear")
    return pipeline(StableDiffusionImg2ImgPipeline)(**usual(image=larger, num_inference_steps=second, strength=strength)).images


def inversion(prompt, vectors):
    pipe = pipeline(StableDiffusionPipeline)
    width = pipe.text_encoder.config.hidden_size
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/inkstyle.safetensors"
        save_file({"emb_params": numbers(21, (vectors, width)) * 0.1}, path)
        pipe.load_textual_inversion(path, token="inkstyle")
    return pipe(**usual(prompt=prompt, height=HEIGHT, width=WIDTH, num_inference_steps=4)).images


def blocks(strength, factors):
    pipe = pipeline(StableDiffusionPipeline)
    lora = load_file(GOLDEN / "loras" / "mini-sd15" / "lora_b.safetensors")
    merged = 0
    for key, down in lora.items():
        if not key.endswith(".lora_A.weight"):
            continue
        part, name = key.removesuffix(".lora_A.weight").split(".", 1)
        up = lora[key.replace("lora_A", "lora_B")]
        parameters = dict(getattr(pipe, part).named_parameters())
        # Newer transformers versions omit the first part of the name.
        weight = parameters.get(name + ".weight", parameters.get(name.removeprefix("text_model.") + ".weight"))
        factor = factors["TE"] if part == "text_encoder" else factors["MID"] if "mid_block" in name else 1.0
        # alpha = 2 x rank, from the file's metadata.
        weight.data += strength * factor * 2 * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        merged += 1
    assert merged == len(lora) // 2
    return pipe(**usual(height=HEIGHT, width=WIDTH, num_inference_steps=4)).images


def from_image(images, steps, strength):
    """A batch from one initial image: the encoder's distribution is sampled once."""
    pipe = pipeline(StableDiffusionImg2ImgPipeline)
    return pipe(**usual(image=PICTURE, num_images_per_prompt=images, num_inference_steps=steps, strength=strength)).images


def told_guidance(guidance, width):
    """A UNet with guidance embedding, as in latent consistency models."""
    pipe = pipeline(StableDiffusionPipeline)
    unet = UNet2DConditionModel.from_config(pipe.unet.config, time_cond_proj_dim=width)
    unet.load_state_dict(pipe.unet.state_dict(), strict=False)
    projection = unet.time_embedding.cond_proj.weight
    projection.data = numbers(31, tuple(projection.shape))
    pipe.unet = unet.eval()
    return pipe(**usual(height=HEIGHT, width=WIDTH, num_inference_steps=4, guidance_scale=guidance)).images


def asked(sampler, **more):
    """Settings that the pipeline interprets."""
    pipe = pipeline(StableDiffusionPipeline, sampler)
    if not hasattr(pipe.text_encoder, "text_model"):
        # Newer transformers versions omit this attribute, which the pipeline reads.
        pipe.text_encoder.__dict__["text_model"] = pipe.text_encoder
    return pipe(**usual(height=HEIGHT, width=WIDTH, num_inference_steps=4, **more)).images


def rounded(dtype):
    """All weights rounded to a smaller dtype; f32 math."""
    pipe = pipeline(StableDiffusionPipeline)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        for parameter in part.parameters():
            parameter.data = parameter.data.to(dtype).float()
    return pipe(**usual(height=HEIGHT, width=WIDTH, num_inference_steps=4)).images


def main():
    cases, tensors = [], {}

    def add(latents, **case):
        tensors[str(len(cases))] = latents.contiguous()
        cases.append(case)

    for sampler, steps, strength in [("ddim", 6, 0.7), ("euler_a", 5, 1.0), ("heun", 4, 0.8), ("dpm2", 5, 0.6)]:
        add(inpaint(sampler, steps, strength), kind="inpaint", sampler=sampler, steps=steps, strength=strength)
    for steps, scale, second, strength in [(5, 1.5, 4, 0.6), (4, 2.0, 6, 0.5)]:
        add(hires(steps, scale, second, strength), kind="hires", steps=steps, scale=scale, second=second, strength=strength)
    for prompt, vectors in [("a cat, inkstyle, on a mat", 3), ("inkstyle", 1), ("ainkstyle inkstyle's", 2)]:
        add(inversion(prompt, vectors), kind="inversion", prompt=prompt, vectors=vectors)
    factors = {"TE": 0.5, "MID": -0.75}
    add(blocks(0.8, factors), kind="blocks", strength=0.8, blocks=",".join(f"{name}={factor}" for name, factor in factors.items()))

    add(told_guidance(2.5, 16), kind="told guidance", guidance=2.5, width=16)
    add(from_image(2, 5, 0.6), kind="from image", images=2, steps=5, strength=0.6)

    for clip_skip, guidance in [(1, GUIDANCE), (2, 1.0)]:
        latents = asked("ddim", clip_skip=clip_skip, guidance_scale=guidance)
        add(latents, kind="asked", sampler="ddim", clip_skip=clip_skip, guidance=guidance)
    add(asked("ddim", guidance_scale=0.5), kind="asked", sampler="ddim", clip_skip=0, guidance=0.5)
    add(asked("tcd"), kind="asked", sampler="tcd", clip_skip=0, guidance=GUIDANCE)

    for sampler, steps, strength, images in [("ddim", 5, 1.0, 1), ("euler_a", 5, 0.7, 1), ("ddim", 4, 0.6, 2)]:
        latents = inpaint_with_its_model(sampler, steps, strength, images)
        add(latents, kind="inpainting model", sampler=sampler, steps=steps, strength=strength, images=images)

    for name in ["float8_e4m3fn", "float8_e5m2", "bfloat16"]:
        add(rounded(getattr(torch, name)), kind="rounded", dtype=name)

    folder = GOLDEN / "runner"
    folder.mkdir(exist_ok=True)
    common = dict(height=HEIGHT, width=WIDTH, prompt=PROMPT, negative=NEGATIVE, seed=SEED, guidance=GUIDANCE)
    (folder / "cases.json").write_text(json.dumps({"common": common, "cases": cases}, indent=1) + "\n")
    save_file(tensors, folder / "latents.safetensors")
    print(len(cases), "cases", sum(t.nbytes for t in tensors.values()), "bytes")


if __name__ == "__main__":
    main()
