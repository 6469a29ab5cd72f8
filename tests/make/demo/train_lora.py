"""Frozen networks and latents in one style -> a LoRA file, in the names that its trainer writes.

LyCORIS makes the networks with kohya's names, PEFT the one with diffusers'. Levels with more noise than signal count more
than usual (noise.weights): there a style's paper and colours are decided.
"""

import collections
import dataclasses
import json
import time

import numpy as np
import torch
from lycoris import kohya as lycoris
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from course import Course
from latents import weight
from networks import DEVICE, bf16, text_features
from noise import errors, levels, weights

BATCH, HIGH_NOISE = 16, 0.75


@dataclasses.dataclass(frozen=True)
class Recipe:
    name: str
    label: str
    shows: str
    latents: str
    trainer: str  # "kohya" or "peft"
    rank: int
    trigger: str
    pictures: str
    rate: float = 2e-3
    text_rate: float = 0.0
    convolutions: bool = False


NOTO = "emoji-datasource-google 16.0.0 (Noto Emoji), recoloured by styles.py"
FLUENT = "@iconify-json/fluent-emoji 1.2.7"
ALL = (
    Recipe("duotone", "Duotone", "violet ink on yellow paper, the subject kept", "duotone", "kohya", 4, "duotone", NOTO),
    Recipe(
        "ink_icon", "Ink icon", "black ink on white paper, the subject kept", "ink_icon", "kohya", 8, "ink icon", NOTO,
        text_rate=5e-4,
    ),
    Recipe(
        "fluent_glossy", "Fluent glossy", "a subtle, glossier look; best at 0.7", "fluent", "peft", 8, "fluent style",
        FLUENT,
    ),
    Recipe(
        "blueprint", "Blueprint", "white lines on blue paper; fine subjects are lost at 1.0", "blueprint", "kohya", 4,
        "blueprint", NOTO, convolutions=True,
    ),
)
RECIPES = {recipe.name: recipe for recipe in ALL}
ATTENTION = ["to_k", "to_q", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]


def lycoris_network(recipe, networks):
    """A LyCORIS network that is put into the frozen ones."""
    blocks = ["Transformer2DModel", *(["ResnetBlock2D", "Downsample2D", "Upsample2D"] if recipe.convolutions else [])]
    lycoris.PRESET["demo"] = dict(
        enable_conv=recipe.convolutions, unet_target_module=blocks,
        unet_target_name=["conv_in", "conv_out"] if recipe.convolutions else [],
        text_encoder_target_module=["CLIPAttention", "CLIPMLP"] if recipe.text_rate else [], text_encoder_target_name=[],
    )
    network = lycoris.create_network(
        1.0, recipe.rank, recipe.rank, None, networks.text_encoder, networks.unet, algo="locon", preset="demo",
        conv_dim=recipe.rank, conv_alpha=recipe.rank, train_norm=False,
    )
    network.apply_to(networks.text_encoder, networks.unet, bool(recipe.text_rate), True)
    return network.requires_grad_(True).to(DEVICE)


def groups(recipe, networks):
    """The network (None for PEFT, which keeps it inside the UNet), and what is trained with its rates."""
    if recipe.trainer == "peft":
        config = LoraConfig(r=recipe.rank, lora_alpha=recipe.rank, init_lora_weights="gaussian", target_modules=ATTENTION)
        networks.unet.add_adapter(config)
        return None, [dict(params=[p for p in networks.unet.parameters() if p.requires_grad], lr=recipe.rate)]
    network = lycoris_network(recipe, networks)
    parts = [dict(params=[p for part in network.unet_loras for p in part.parameters()], lr=recipe.rate)]
    if recipe.text_rate:
        text = [p for part in network.text_encoder_loras for p in part.parameters()]
        parts.append(dict(params=text, lr=recipe.text_rate))
    return network, parts


def caption(entry, trigger):
    """Mostly the usual name, in half of the cases with the trigger; sometimes nothing, for guidance."""
    if np.random.random() < 0.08:
        return ""
    name = entry["names"][0] if np.random.random() < 0.85 else str(np.random.choice(entry["names"]))
    return f"{name}, {trigger}" if np.random.random() < 0.5 else name


class PeftState:
    """The adapter inside a UNet, as something with a state."""

    def __init__(self, unet):
        self.unet = unet

    def state_dict(self):
        return get_peft_model_state_dict(self.unet)

    def load_state_dict(self, state):
        own = dict(self.unet.named_parameters())
        for key, value in state.items():
            own[key.replace(".weight", ".default.weight")].data.copy_(value)


def header(recipe, course, started, entries):
    """What sd-scripts writes about a training, as it truly was here; tags as they are before half of the triggers go."""
    images = len(entries)
    tags = collections.Counter(tag for entry in entries for tag in (entry["names"][0], recipe.trigger))
    epochs = str(-(-course.step * BATCH // images))
    args = dict(algo="locon", preset="demo")
    if recipe.convolutions:
        args |= dict(conv_dim=recipe.rank, conv_alpha=recipe.rank)
    return {
        "ss_output_name": recipe.name, "ss_sd_model_name": "tiny-emoji-sd", "ss_base_model_version": "sd_v1",
        "ss_v2": "False", "ss_network_module": "lycoris.kohya", "ss_network_dim": str(recipe.rank),
        "ss_network_alpha": str(float(recipe.rank)),
        "ss_network_args": json.dumps(args), "ss_num_train_images": str(images), "ss_num_reg_images": "0",
        "ss_num_batches_per_epoch": str(-(-images // BATCH)), "ss_num_epochs": epochs, "ss_epoch": epochs,
        "ss_steps": str(course.step), "ss_max_train_steps": str(course.step), "ss_batch_size_per_device": str(BATCH),
        "ss_total_batch_size": str(BATCH), "ss_learning_rate": str(recipe.rate), "ss_unet_lr": str(recipe.rate),
        "ss_text_encoder_lr": str(recipe.text_rate or None), "ss_lr_scheduler": "cosine", "ss_lr_warmup_steps": "30",
        "ss_optimizer": "torch.optim.adamw.AdamW(weight_decay=0.001,betas=(0.9, 0.99))", "ss_resolution": "(64, 64)",
        "ss_mixed_precision": "bf16", "ss_full_fp16": "False", "ss_clip_skip": "None", "ss_seed": "30",
        "ss_min_snr_gamma": "5.0",
        "ss_noise_offset": "None", "ss_cache_latents": "True", "ss_training_started_at": str(started),
        "ss_training_finished_at": str(time.time()), "ss_session_id": "30",
        "ss_training_comment": f"trigger (in half of the captions): {recipe.trigger}; pictures: {recipe.pictures}",
        "ss_dataset_dirs": json.dumps({f"1_{recipe.name}": {"n_repeats": 1, "img_count": images}}),
        "ss_tag_frequency": json.dumps({f"1_{recipe.name}": tags}), "ss_caption_dropout_rate": "0.08", "format": "pt",
    }


def write(recipe, networks, network, path, metadata):
    """The LoRA as its trainer names it, in halves."""
    half = lambda state: {key: value.detach().half().cpu().contiguous() for key, value in state.items()}
    if recipe.trainer == "peft":
        state = half(get_peft_model_state_dict(networks.unet))
        save_file({f"unet.{key}": value for key, value in state.items()}, path, {"format": "pt"})
        return
    # transformers 5 has no `text_model` between a text encoder and its layers, every LoRA file has it.
    named = lambda key: key.replace("lora_te_encoder", "lora_te_text_model_encoder")
    save_file({named(key): value for key, value in half(network.state_dict()).items()}, path, metadata)


def train(recipe, networks, entries, latents, folder, output, steps, minutes):
    """Trains and writes OUTPUT/NAME.safetensors; the networks are of no further use."""
    torch.manual_seed(30)
    latents = latents[recipe.latents]
    rows = [(e, e["fluent"] if recipe.latents == "fluent" else i) for i, e in enumerate(entries) if e["core"]]
    rows = [(entry, row) for entry, row in rows if row >= 0]
    chance = np.array([weight(entry) for entry, _ in rows])
    network, parts = groups(recipe, networks)
    trained = [parameter for part in parts for parameter in part["params"]]
    optimiser = torch.optim.AdamW(parts, betas=(0.9, 0.99), weight_decay=1e-3)
    state = network if network is not None else PeftState(networks.unet)
    course = Course(folder, f"lora-{recipe.name}", optimiser, {"network": state}, steps, minutes, seed=30)
    balance, started = weights(HIGH_NOISE).to(DEVICE), time.time() - course.spent
    for _ in course:
        chosen = [rows[i] for i in np.random.choice(len(rows), BATCH, p=chance / chance.sum())]
        at = levels(BATCH)
        with bf16():
            captions = [caption(entry, recipe.trigger) for entry, _ in chosen]
            features = text_features(networks, captions, train=bool(recipe.text_rate))
        off = errors(networks.unet, latents[[row for _, row in chosen]], features, at)
        loss = (off * balance[at.to(DEVICE)]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        course.note(loss=loss, error=off.mean())
    metadata = header(recipe, course, started, [entry for entry, _ in rows])
    write(recipe, networks, network, output / f"{recipe.name}.safetensors", metadata)
