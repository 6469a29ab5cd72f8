"""Exports the work folder to the page's demo folder: the model in f16, the LoRAs, and demo.json."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

import break_lora
import catalogue
from train_lora import RECIPES

BUDGET = 20_000_000
"""Maximum total size of model and LoRAs in bytes."""
SCHEDULER = dict(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, skip_prk_steps=True,
    set_alpha_to_one=False, steps_offset=1, prediction_type="epsilon",
)


def halves(source, target):
    """Writes the tensors in f16; text encoder keys get the `text_model.` prefix of published models."""
    state = {}
    for key, value in load_file(source).items():
        bare = "text_encoder" in source.parts and not key.startswith("text_model.")
        state[f"text_model.{key}" if bare else key] = value.half() if value.is_floating_point() else value
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise SystemExit(f"{source} has values out of range of f16: train again at a lower rate.")
    save_file(state, target, {"format": "pt"})


def export(work, chosen=None):
    """Copies the trained parts of the model and the LoRAs (`chosen` or all), and updates demo.json."""
    for part in ("unet", "vae", "text_encoder"):
        file = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        source, target = work / "model" / part, catalogue.MODEL / part
        if source.exists():
            halves(source / f"{file}.safetensors", target / f"{file}.safetensors")
            config = json.loads((source / "config.json").read_text())
            config.pop("_name_or_path", None)  # a path on the training machine
            if "dtype" in config:
                config["dtype"] = "float16"
            (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if (work / "model" / "tokenizer").exists():
        shutil.copytree(work / "model" / "tokenizer", catalogue.MODEL / "tokenizer", dirs_exist_ok=True)
        (catalogue.MODEL / "scheduler").mkdir(exist_ok=True)
        scheduler = {"_class_name": "PNDMScheduler", **SCHEDULER}
        (catalogue.MODEL / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=2) + "\n")
    for name, recipe in RECIPES.items():
        source = work / "loras" / f"{name}.safetensors"
        if source.exists() and (not chosen or name in chosen):
            shutil.copy(source, catalogue.LORAS / source.name)
            catalogue.list_lora(source.name, label=recipe.label, shows=recipe.shows)
    break_lora.write("duotone", "broken_names")
    catalogue.write(json.loads(catalogue.LIST.read_text()))
    files = [path for folder in (catalogue.MODEL, catalogue.LORAS) for path in folder.rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    print(f"model and LoRAs: {total / 1e6:.2f} MB")
    if total > BUDGET:
        raise SystemExit(f"{total} bytes exceed {BUDGET}: reduce a rank in train_lora.py.")
