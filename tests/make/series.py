"""Trains a small LoRA on the demo model and saves it after each epoch, for the tests of training runs.

    pip install torch diffusers transformers peft==0.21.2 safetensors numpy pillow
    python tests/make/series.py

Writes tests/golden/series/: twelve files as sd-scripts names them (the last one has no number), and run.json with the norms,
moves, cosines and effective ranks of each, computed by NumPy in double precision from the multiplied matrices. The pictures are
rings and squares drawn here; the run is real, with a learning rate that falls to 0, so that it settles.
"""

import json
import pathlib
import random

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL, FOLDER = ROOT / "web/public/demo/model", ROOT / "tests/golden/series"
EPOCHS, STEPS, BATCH, RANK, ALPHA, RATE = 12, 12, 4, 2, 1, 4e-3
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.2"]


def picture(kind, side):
    image = Image.new("RGB", (64, 64), (250, 220, 60))
    draw = ImageDraw.Draw(image)
    box = [32 - side, 32 - side, 32 + side, 32 + side]
    (draw.ellipse if kind == "ring" else draw.rectangle)(box, outline=(90, 20, 120), width=6)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 127.5 - 1


def kohya(state):
    """The state dict with sd-scripts' keys."""
    tensors = {}
    for key, value in state.items():
        stem, kind = key.rsplit(".lora_", 1)
        name = "lora_unet_" + stem.replace(".", "_")
        tensors[f"{name}.lora_{'down' if kind[0] == 'A' else 'up'}.weight"] = value.detach().half().contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(float(ALPHA)).half()
    return tensors


def changes(tensors):
    """The change of each layer in double precision."""
    names = sorted({key.split(".")[0] for key in tensors})
    double = lambda key: tensors[key].double().numpy()
    return {name: double(f"{name}.lora_up.weight") @ double(f"{name}.lora_down.weight") * ALPHA / RANK for name in names}


def numbers(files):
    rows, before = [], None
    for tensors in files:
        layers = changes(tensors)
        norm = np.sqrt(sum(np.linalg.norm(change) ** 2 for change in layers.values()))
        row = {"norm": norm, "moved": None, "cosine": None}
        if before is not None:
            row["moved"] = np.sqrt(sum(np.linalg.norm(layers[name] - before[name]) ** 2 for name in layers))
            other = np.sqrt(sum(np.linalg.norm(change) ** 2 for change in before.values()))
            row["cosine"] = sum((layers[name] * before[name]).sum() for name in layers) / (norm * other)
        ranks, energies = [], []
        for change in layers.values():
            values = np.linalg.svd(change, compute_uv=False)[:RANK]
            shares = values / values.sum() if values.sum() > 0 else values
            shares = shares[shares > 0]
            ranks.append(np.exp(-(shares * np.log(shares)).sum()) if len(shares) else 0)
            energies.append((values**2).sum())
        row["effective_rank"] = float(np.average(ranks, weights=energies)) if sum(energies) > 0 else 0
        rows.append(row)
        before = layers
    return rows


def main():
    random.seed(1)
    torch.manual_seed(1)
    load = lambda kind, name: kind.from_pretrained(MODEL, subfolder=name, torch_dtype=torch.float32)
    unet, vae, text = load(UNet2DConditionModel, "unet"), load(AutoencoderKL, "vae"), load(CLIPTextModel, "text_encoder")
    tokenizer, noise = CLIPTokenizer.from_pretrained(MODEL, subfolder="tokenizer"), DDPMScheduler.from_pretrained(MODEL, subfolder="scheduler")
    for network in (unet, vae, text):
        network.requires_grad_(False)
    drawn = [(kind, side) for kind in ("ring", "square") for side in range(10, 26)]
    with torch.no_grad():
        latents = vae.encode(torch.stack([picture(*each) for each in drawn])).latent_dist.mean * vae.config.scaling_factor
        tokens = tokenizer([f"{kind}, xyzstyle" for kind, _ in drawn], padding="max_length", max_length=tokenizer.model_max_length,
                           truncation=True, return_tensors="pt").input_ids
        states = text(tokens)[0]
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS))
    trained = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * STEPS)
    FOLDER.mkdir(exist_ok=True)
    files = []
    for epoch in range(1, EPOCHS + 1):
        for _ in range(STEPS):
            chosen = random.sample(range(len(drawn)), BATCH)
            at = torch.randint(0, noise.config.num_train_timesteps, (BATCH,))
            added = torch.randn(BATCH, *latents.shape[1:])
            guess = unet(noise.add_noise(latents[chosen], added, at), at, states[chosen]).sample
            loss = torch.nn.functional.mse_loss(guess, added)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        tensors = kohya(get_peft_model_state_dict(unet))
        metadata = {
            "ss_output_name": "rings", "ss_session_id": "1234567", "ss_training_started_at": "1764550000.0",
            "ss_base_model_version": "sd_v1", "ss_network_module": "networks.lora", "ss_network_dim": str(RANK),
            "ss_network_alpha": str(ALPHA), "ss_epoch": str(epoch), "ss_num_epochs": str(EPOCHS),
            "ss_steps": str(epoch * STEPS), "ss_max_train_steps": str(EPOCHS * STEPS), "format": "pt",
        }
        name = "rings.safetensors" if epoch == EPOCHS else f"rings-{epoch:06}.safetensors"
        save_file(tensors, FOLDER / name, metadata)
        files.append(tensors)
        print(epoch, float(loss), flush=True)
    (FOLDER / "run.json").write_text(json.dumps(numbers(files), indent=1) + "\n")


if __name__ == "__main__":
    main()
