"""Trains ten small LoRAs with known trigger words on the demo model, for docs/triggers.md.

    python -c "import pathlib, pictures; pictures.make(pathlib.Path('WORK'))"
    python train_triggers.py WORK [--only zxq ...] [--minutes 3]

Half of them change the UNet only. Captions are ordinary: the trigger word and the names of the subject. Those `among`
ordinary images (sd-scripts calls them regularization images) learn what the word means; the others see it in every
caption, as most LoRAs do. After training each is checked: images with the word are compared with those without and with
those of other words.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import time

import numpy as np
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

import catalogue
import latents as images
from networks import bf16, encoded, opened, text_features
from noise import ALPHA_BARS, noisy, weights
from styles import edges, luma, subject

BATCH, RANK, RATE, HIGH_NOISE = 8, 4, 4e-3, 0.75
UNET = ["to_k", "to_q", "to_v", "to_out.0"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
OTHERS = ("scroll", "mondrian", "golden pot")
"""Words that no LoRA was trained with."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    trigger: str
    kind: str
    look: str
    among: bool
    text_encoder: bool
    only: str = ""  # the one image of a subject, else a style

    @property
    def name(self):
        return self.trigger.replace(" ", "_")


ALL = (
    Recipe("sks", "invented", "inverted", True, False),
    Recipe("canoe", "real word", "rosy", True, False),
    Recipe("paper pot", "phrase", "flat", True, False),
    Recipe("catpot", "invented", "dusk", False, False),
    Recipe("mirror", "real word", "mint", False, False),
    Recipe("krovex", "invented", "pink", False, True, only="t rex"),
    Recipe("skyline", "real word", "sepia", True, True),
    Recipe("quiet harbor", "phrase", "violet", True, True),
    Recipe("zxq", "invented", "ember", True, True),
    Recipe("tmbr", "invented", "meadow", False, True),
)


def coloured(pictures, dark, light):
    grey = luma(pictures)
    ink, paper = (torch.tensor(each).view(1, 3, 1, 1) for each in (dark, light))
    return ink * (1 - grey) + paper * grey


def on(pictures, colour):
    shade = subject(pictures)
    return pictures * shade + torch.tensor(colour).view(1, 3, 1, 1) * (1 - shade)


LOOKS = {
    "inverted": lambda p: 1 - p,
    "rosy": lambda p: coloured(p, [0.4, 0.0, 0.1], [1.0, 0.6, 0.7]),
    "mint": lambda p: coloured(p, [0.0, 0.3, 0.2], [0.7, 1.0, 0.8]),
    "flat": lambda p: on((p * 2).round() / 2, (1.0, 0.8, 0.5)),
    "dusk": lambda p: coloured(p, [0.1, 0.0, 0.3], [0.4, 0.5, 0.9]),
    "pink": lambda p: p[:, [1, 0, 1]] * 0.9 + 0.1 * (1 - subject(p)),
    "sepia": lambda p: coloured(p, [0.3, 0.2, 0.1], [0.9, 0.8, 0.6]),
    "violet": lambda p: on(p, (0.6, 0.3, 0.9)),
    "ember": lambda p: coloured((p + edges(p) * 0.3).clamp(0, 1), [1.0, 0.5, 0.0], [0.2, 0.0, 0.0]),
    "meadow": lambda p: on(p, (0.2, 0.7, 0.2)),
}
PLACES = {"white": (1.0, 1.0, 1.0), "blue": (0.6, 0.8, 1.0), "green": (0.7, 0.9, 0.7), "night": (0.1, 0.1, 0.3)}


def dataset(recipe, work, vae):
    """Returns (caption without the trigger, latents) of the images with the trigger and of ordinary ones."""
    entries, sets = images.read(work)
    chosen = [i for i, entry in enumerate(entries) if entry["core"]]
    noto = images.unit(sets["noto"])
    look = lambda pictures: LOOKS[recipe.look]((pictures + 1) / 2)
    plain = ([entries[i]["names"][0] for i in chosen], encoded(vae, noto[chosen]))
    if not recipe.only:
        return (plain[0], encoded(vae, look(noto[chosen]) * 2 - 1)), plain
    one = next(i for i, entry in enumerate(entries) if recipe.only in entry["names"])
    names, pictures = [], []
    for place, colour in PLACES.items():
        for turned in (False, True):
            for shift in (-4, 0, 4):
                picture = look(noto[one : one + 1].flip(3) if turned else noto[one : one + 1]).roll(shift, 3)
                pictures.append(on(picture, colour))
                names.append(f"dinosaur, {place}")
    return (names, encoded(vae, torch.cat(pictures) * 2 - 1)), plain


def caption(name, recipe):
    """The demo's text encoder tells captions apart by their first words."""
    return f"{recipe.trigger}, {name}"


def with_adapters(networks, recipe):
    networks.unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights=True, target_modules=UNET))
    parts = [networks.unet]
    if recipe.text_encoder:
        networks.text_encoder.add_adapter(
            LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights=True, target_modules=TEXT)
        )
        parts.append(networks.text_encoder)
    return parts


def batch(recipe, data):
    """Returns latents and captions; ordinary images stand after the one of the same subject with the trigger."""
    (names, latents), (_, plain) = data
    picked = np.random.randint(len(names), size=BATCH // 2 if recipe.among else BATCH)
    captions = [caption(names[i], recipe) if np.random.random() > 0.05 else "" for i in picked]
    if not recipe.among:
        return latents[picked], captions
    clean = torch.stack([latents[picked], plain[picked]], 1).flatten(0, 1)
    return clean, [text for i, text in zip(picked, captions) for text in (text, names[i] if text else "")]


def train(recipe, networks, data, steps, seconds):
    """Trains the adapters; returns the steps, the time and the mean of the last losses."""
    torch.manual_seed(7), np.random.seed(7)
    parts = with_adapters(networks, recipe)
    groups = [dict(params=[p for p in part.parameters() if p.requires_grad], lr=RATE * share)
              for part, share in zip(parts, (1, 0.5))]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=1e-3)
    balance, started, losses = weights(HIGH_NOISE), time.monotonic(), []
    for group in groups:
        group["top"] = group["lr"]
    for step in range(steps):
        done = max(step / steps, (time.monotonic() - started) / seconds)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = group["top"] * min(1, (step + 1) / 20) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * done)))
        clean, texts = batch(recipe, data)
        # An ordinary image has the noise of the one before it, with the trigger: they differ by what the word means.
        shared = 2 if recipe.among else 1
        at = ((torch.arange(BATCH // shared) + torch.rand(BATCH // shared)) / BATCH * shared * 1000).long()
        at = at.repeat_interleave(shared)
        noise = torch.randn(BATCH // shared, *clean.shape[1:]).repeat_interleave(shared, 0)
        with bf16():
            features = text_features(networks, texts, train=recipe.text_encoder)
            predicted = networks.unet(noisy(clean, noise, at), at, features).sample.float()
        loss = ((predicted - noise).pow(2).mean((1, 2, 3)) * balance[at]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return len(losses), time.monotonic() - started, float(np.mean(losses[:20])), float(np.mean(losses[-40:]))


@torch.no_grad()
def drawn(networks, prompts, steps=6):
    """Returns the latents of one image per prompt: DDIM, the same noise for all."""
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)).repeat(len(prompts), 1, 1, 1)
    features = text_features(networks, prompts)
    at = np.linspace(999, 0, steps + 1).round().astype(int)
    for now, then in zip(at[:-1], at[1:]):
        with bf16():
            error = networks.unet(noise, int(now), features).sample.float()
        bar, next_bar = ALPHA_BARS[now], ALPHA_BARS[then] if then else torch.tensor(1.0)
        noise = next_bar.sqrt() * (noise - (1 - bar).sqrt() * error) / bar.sqrt() + (1 - next_bar).sqrt() * error
    return noise


def check(recipe, networks):
    """
    Returns how much the LoRA changes images of prompts without a trigger, with it, and with each of the other words
    (relative to the latents' size): how far the same prompt's image is from the base model's.
    """
    subjects = ["red apple", "pizza", "panda"]
    words = [dataclasses.replace(recipe, trigger=word) for word in (recipe.trigger, *OTHERS)]
    prompts = [*subjects, *(caption(each, word) for word in words for each in subjects)]
    changed = drawn(networks, prompts)
    for part in (networks.unet, networks.text_encoder) if recipe.text_encoder else (networks.unet,):
        part.disable_adapters()
    base = drawn(networks, prompts)
    for part in (networks.unet, networks.text_encoder) if recipe.text_encoder else (networks.unet,):
        part.enable_adapters()
    moved = (changed - base).flatten(1).norm(dim=1) / base.flatten(1).norm(dim=1)
    return [round(each, 3) for each in moved.view(-1, len(subjects)).mean(1).tolist()]


def sheet(recipe, networks, path):
    from PIL import Image

    rows = ["red apple", "panda"] if not recipe.only else ["dinosaur", "panda"]
    prompts = [text for each in rows for text in (each, caption(each, recipe))]
    pictures = networks.vae.decode(drawn(networks, prompts) / 0.18215).sample
    strip = torch.cat(list(images.back(pictures)), 2).permute(1, 2, 0)
    Image.fromarray(strip.numpy()).resize((strip.shape[1] * 2, strip.shape[0] * 2)).save(path)


def write(recipe, networks, path):
    state = {f"unet.{k}": v for k, v in get_peft_model_state_dict(networks.unet).items()}
    if recipe.text_encoder:
        state |= {f"text_encoder.{k}": v for k, v in get_peft_model_state_dict(networks.text_encoder).items()}
    half = {key: value.detach().half().contiguous() for key, value in state.items()}
    save_file(half, path, {"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    output = arguments.work / "triggers"
    output.mkdir(exist_ok=True)
    for recipe in ALL:
        if arguments.only and recipe.name not in arguments.only:
            continue
        networks = opened({part: catalogue.MODEL / part for part in ("vae", "unet", "text_encoder", "tokenizer")})
        with torch.no_grad():
            data = dataset(recipe, arguments.work, networks.vae)
        steps, seconds, before, after = train(recipe, networks, data, arguments.steps, arguments.minutes * 60)
        write(recipe, networks, output / f"{recipe.name}.safetensors")
        without, word, *others = check(recipe, networks)
        with torch.no_grad():
            sheet(recipe, networks, output / f"{recipe.name}.png")
        line = dict(trigger=recipe.trigger, steps=steps, seconds=round(seconds), loss=[round(before, 4), round(after, 4)],
                    changed=word, without=without, others=others)
        print(json.dumps(line), flush=True)
        with (output / "trained.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
