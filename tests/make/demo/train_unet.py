"""Trains UNet and text encoder together on latents with captions and keeps an EMA of their weights."""

import re

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from course import Course
from latents import weight
from muon import Muon
from networks import DEVICE, bf16, text_features
from noise import errors, levels, weights

BATCH, NOISES = 32, 2
"""Samples per step, and how many of them share an image and its text features."""
ADAM_RATE, MUON_RATE, HIGH_NOISE = 1e-3, 1.5e-3, 0.5


class Both:
    """Muon for hidden matrices and convolutions and AdamW for the rest, as one optimizer."""

    def __init__(self, named, fraction):
        hidden = [p for name, p in named if p.ndim > 1 and not re.search("embedding|conv_in|conv_out", name)]
        known = {id(p) for p in hidden}
        rest = [p for _, p in named if id(p) not in known]
        decayed = dict(params=[p for p in rest if p.ndim > 1], weight_decay=0.01)
        plain = dict(params=[p for p in rest if p.ndim <= 1], weight_decay=0.0)
        self.adam = torch.optim.AdamW([decayed, plain], lr=ADAM_RATE * fraction, betas=(0.9, 0.99))
        self.muon = Muon(hidden, lr=MUON_RATE * fraction)
        self.param_groups = self.adam.param_groups + self.muon.param_groups

    def step(self):
        self.adam.step(), self.muon.step()

    def zero_grad(self):
        self.adam.zero_grad(), self.muon.zero_grad()

    def state_dict(self):
        return dict(adam=self.adam.state_dict(), muon=self.muon.state_dict())

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"]), self.muon.load_state_dict(state["muon"])
        self.param_groups = self.adam.param_groups + self.muon.param_groups


def running_mean(step):
    """EMA update: averages the last few steps at the start, about 500 later."""
    return get_ema_multi_avg_fn(min(0.998, (1 + step) / (20 + step)))


def caption(entry):
    """Returns mostly the common name, at times with keywords, "a …" or "an emoji of …"; sometimes nothing, for guidance."""
    chance = np.random.random
    if chance() < 0.1:
        return ""
    name = entry["names"][0] if chance() < 0.75 else str(np.random.choice(entry["names"]))
    if chance() < 0.25 and entry["keys"]:
        keys = np.random.permutation(entry["keys"][:4])[: np.random.randint(1, 3)]
        name = ", ".join([name, *map(str, keys)])
    lead = chance()
    return f"a {name}" if lead < 0.15 else f"an emoji of {name}" if lead < 0.2 else name


def train(networks, entries, latents, folder, steps, minutes, fraction=1.0):
    """Trains `networks.unet` and `.text_encoder` and sets the EMA weights. `fraction` scales the learning rates."""
    both = torch.nn.ModuleDict({"unet": networks.unet, "text_encoder": networks.text_encoder}).requires_grad_(True)
    optimiser, mean = Both(list(both.named_parameters()), fraction), AveragedModel(both)
    course = Course(folder, "unet", optimiser, {"both": both, "mean": mean}, steps, minutes, warm_up=100, hold=0.5, seed=10)
    chance, balance = np.array([weight(entry) for entry in entries]), weights(HIGH_NOISE).to(DEVICE)
    for step in course:
        chosen = np.random.choice(len(entries), BATCH // NOISES, p=chance / chance.sum())
        pile = ["mirrored" if entries[i]["mirrored"] and np.random.random() < 0.2 else "noto" for i in chosen]
        clean = torch.stack([latents[name][i] for name, i in zip(pile, chosen)]).repeat_interleave(NOISES, 0)
        at = levels(BATCH)
        with bf16():
            features = text_features(networks, [caption(entries[i]) for i in chosen], train=True)
        off = errors(networks.unet, clean, features.repeat_interleave(NOISES, 0), at)
        loss = (off * balance[at.to(DEVICE)]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        mean.multi_avg_fn = running_mean(step)
        mean.update_parameters(both)
        course.note(loss=loss, error=off.mean())
    both.load_state_dict(mean.module.state_dict())
    both.requires_grad_(False).eval()
