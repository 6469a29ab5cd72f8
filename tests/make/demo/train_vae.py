"""Trains a VAE whose latents have mean 0 and standard deviation 1 per channel after SD's scaling."""

import numpy as np
import torch

from course import Course
from latents import unit
from networks import DEVICE, SCALING, bf16, encoded, new_vae
from train_decoder import loss

BATCH, RATE, KL = 8, 1.5e-3, 5e-4
SHARES = {"noto": 0.6, "contrast": 0.18, "fluent": 0.22}


def batch(sets):
    """Samples images, shifted by up to three pixels, some mirrored, with permuted channels or inverted."""
    pictures = []
    for name in np.random.choice(list(SHARES), BATCH, p=list(SHARES.values())):
        picture = sets[name][np.random.randint(len(sets[name]))]
        picture = torch.roll(picture, tuple(np.random.randint(-3, 4, 2)), (1, 2))
        picture = picture.flip(-1) if np.random.random() < 0.5 else picture
        picture = picture[torch.randperm(3)] if np.random.random() < 0.15 else picture
        pictures.append(255 - picture if np.random.random() < 0.08 else picture)
    return unit(torch.stack(pictures)).to(DEVICE)


@torch.no_grad()
def settle(vae, pictures):
    """Folds the latents' mean and standard deviation into the adjacent 1x1 convolutions, which keeps the output."""
    latents = encoded(vae, pictures) / SCALING
    mean, scale = latents.mean((0, 2, 3)).to(DEVICE), (1 / SCALING / latents.std((0, 2, 3))).to(DEVICE)
    into, out = vae.quant_conv, vae.post_quant_conv
    into.weight[:4] *= scale.view(4, 1, 1, 1)
    into.bias[:4] = (into.bias[:4] - mean) * scale
    into.bias[4:] += 2 * scale.log()
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight /= scale.view(1, 4, 1, 1)


def train(sets, folder, steps, minutes):
    """Trains and returns the VAE."""
    torch.manual_seed(0)
    vae = new_vae().to(DEVICE)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0)
    course = Course(folder, "vae", optimiser, {"vae": vae}, steps, minutes, warm_up=60)
    for _ in course:
        pictures = batch(sets)
        with bf16():
            latent = vae.encode(pictures).latent_dist
            drawn = vae.decode(latent.sample()).sample.float()
        off = loss(drawn, pictures)
        (off + KL * latent.kl().mean() / latent.mean[0].numel()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        course.note(loss=off, psnr=10 * torch.log10(4 / (drawn - pictures).pow(2).mean()))
    settle(vae.eval(), unit(sets["noto"]))
    return vae
