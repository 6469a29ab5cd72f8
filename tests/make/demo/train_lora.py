"""Trains a LoRA on latents in one style and saves it with the keys of its trainer.

LoRAs with kohya keys are LyCORIS networks, the one with diffusers keys is PEFT's. Timesteps with more noise than signal
have increased weights (noise.weights): they determine a style's background and colors.
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
    convolutions: bool = False


NOTO = "emoji-datasource-google 16.0.0 (Noto Emoji), recoloured by styles.py"
ALL = (
    Recipe("duotone", "Duotone", "violet ink on yellow paper, the subject kept", "duotone", "kohya", 4, "duotone", NOTO),
    Recipe("ink_icon", "Ink icon", "black ink on white paper, the subject kept", "ink_icon", "peft", 4, "ink icon", NOTO),
    Recipe(
        "blueprint", "Blueprint", "white lines on blue paper", "blueprint", "kohya", 4, "blueprint", NOTO,
        convolutions=True,
    ),
)
RECIPES = {recipe.name: recipe for recipe in ALL}
ATTENTION = ["to_k", "to_q", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]


def lycoris_network(recipe, networks):
    """Returns a LyCORIS network applied to the frozen networks."""
    blocks = ["Transformer2DModel", *(["ResnetBlock2D", "Downsample2D", "Upsample2D"] if recipe.convolutions else [])]
    lycoris.PRESET["demo"] = dict(
        enable_conv=recipe.convolutions, unet_target_module=blocks,
        unet_target_name=["conv_in", "conv_out"] if recipe.convolutions else [],
        text_encoder_target_module=[], text_encoder_target_name=[],
    )
    network = lycoris.create_network(
        1.0, recipe.rank, recipe.rank, None, networks.text_encoder, networks.unet, algo="locon", preset="demo",
        conv_dim=recipe.rank, conv_alpha=recipe.rank, train_norm=False,
    )
    network.apply_to(networks.text_encoder, networks.unet, False, True)
    return network.requires_grad_(True).to(DEVICE)


def prepared(recipe, networks):
    """Returns the network (None for PEFT, which injects it into the UNet) and the trainable parameters."""
    if recipe.trainer == "peft":
        config = LoraConfig(r=recipe.rank, lora_alpha=recipe.rank, init_lora_weights="gaussian", target_modules=ATTENTION)
        networks.unet.add_adapter(config)
        return None, [p for p in networks.unet.parameters() if p.requires_grad]
    network = lycoris_network(recipe, networks)
    return network, [p for part in network.unet_loras for p in part.parameters()]


def caption(entry, trigger):
    """Returns mostly the common name, half of the time with the trigger word; sometimes nothing, for guidance."""
    if np.random.random() < 0.08:
        return ""
    name = entry["names"][0] if np.random.random() < 0.85 else str(np.random.choice(entry["names"]))
    return f"{name}, {trigger}" if np.random.random() < 0.5 else name


class PeftState:
    """The state of the adapter in a UNet."""

    def __init__(self, unet):
        self.unet = unet

    def state_dict(self):
        return get_peft_model_state_dict(self.unet)

    def load_state_dict(self, state):
        own = dict(self.unet.named_parameters())
        for key, value in state.items():
            own[key.replace(".weight", ".default.weight")].data.copy_(value)


def header(recipe, course, started, entries):
    """Returns sd-scripts' metadata with the actual settings; tag counts are those before trigger dropout."""
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
        "ss_text_encoder_lr": "None", "ss_lr_scheduler": "cosine", "ss_lr_warmup_steps": "30",
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
    """Writes the LoRA in f16 with the keys of its trainer."""
    half = lambda state: {key: value.detach().half().cpu().contiguous() for key, value in state.items()}
    if recipe.trainer == "peft":
        state = half(get_peft_model_state_dict(networks.unet))
        save_file({f"unet.{key}": value for key, value in state.items()}, path, {"format": "pt"})
        return
    save_file(half(network.state_dict()), path, metadata)


def train(recipe, networks, entries, latents, folder, output, steps, minutes):
    """Trains and writes OUTPUT/NAME.safetensors; modifies the networks."""
    torch.manual_seed(30)
    latents = latents[recipe.latents]
    rows = [(entry, i) for i, entry in enumerate(entries) if entry["core"]]
    chance = np.array([weight(entry) for entry, _ in rows])
    network, trained = prepared(recipe, networks)
    optimiser = torch.optim.AdamW(trained, lr=recipe.rate, betas=(0.9, 0.99), weight_decay=1e-3)
    state = network if network is not None else PeftState(networks.unet)
    course = Course(folder, f"lora-{recipe.name}", optimiser, {"network": state}, steps, minutes, seed=30)
    balance, started = weights(HIGH_NOISE).to(DEVICE), time.time() - course.spent
    for _ in course:
        chosen = [rows[i] for i in np.random.choice(len(rows), BATCH, p=chance / chance.sum())]
        at = levels(BATCH)
        with bf16():
            captions = [caption(entry, recipe.trigger) for entry, _ in chosen]
            features = text_features(networks, captions)
        off = errors(networks.unet, latents[[row for _, row in chosen]], features, at)
        loss = (off * balance[at.to(DEVICE)]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        course.note(loss=loss, error=off.mean())
    metadata = header(recipe, course, started, [entry for entry, _ in rows])
    write(recipe, networks, network, output / f"{recipe.name}.safetensors", metadata)
