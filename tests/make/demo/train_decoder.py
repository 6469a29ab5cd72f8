"""Trains a sharper VAE decoder for a fixed encoder, robust against small errors of the UNet.

The latents do not change, so UNet and LoRAs need no retraining. A third of the latents is as encoded, a third has added
noise, a third is the UNet's estimate from noisy latents; the target is always the original image. Images in the styles
of the LoRAs are included, so that the decoder learns their colors.
"""

import torch
import torch.nn.functional as F

from course import Course
from networks import DEVICE, SCALING, bf16, text_features
from noise import estimate

BATCH, RATE = 8, 1e-3


def variants(networks, latents, captions):
    """Returns (3, n, 4, 16, 16): encoded latents (noise is added per step), and UNet estimates at two noise levels."""
    guesses = []
    for low, high in ((20, 150), (100, 320)):
        parts = []
        for start in range(0, len(latents), 32):
            part = latents[start : start + 32]
            at = torch.randint(low, high, (len(part),))
            parts.append(estimate(networks.unet, part, text_features(networks, captions[start : start + 32]), at))
        guesses.append(torch.cat(parts))
    return torch.stack([latents, *guesses])


def loss(drawn, wanted):
    """Distance of pixels, of gradients, and of downsampled colors."""
    off = drawn - wanted
    steps = (off[..., 1:] - off[..., :-1]).abs().mean() + (off[..., 1:, :] - off[..., :-1, :]).abs().mean()
    coarse = F.avg_pool2d(off, 4).abs().mean()
    return off.abs().mean() + 2 * off.pow(2).mean() + 0.5 * steps + 0.5 * coarse


def train(networks, pictures, latents, captions, folder, steps, minutes):
    """Trains the decoder of `networks.vae` on images (n, 3, 64, 64) as bytes and latents of unit standard deviation."""
    vae = networks.vae
    trained = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(trained, lr=RATE, betas=(0.9, 0.98), weight_decay=0)
    course = Course(folder, "decoder", optimiser, {"vae": vae}, steps, minutes, seed=20)
    inputs = variants(networks, latents, captions) if course.done() < 1 else None
    for _ in course:
        which, kind = torch.randint(len(pictures), (BATCH,)), torch.randint(3, (BATCH,))
        given = inputs[kind, which]
        given = given + torch.randn_like(given) * (torch.rand(BATCH) * 0.2 * (kind == 0)).view(-1, 1, 1, 1)
        wanted = pictures[which].float().to(DEVICE) / 127.5 - 1
        with bf16():
            drawn = vae.decode(given.to(DEVICE) / SCALING).sample
        far = loss(drawn.float(), wanted)
        far.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        course.note(loss=far, psnr=10 * torch.log10(4 / (drawn.float() - wanted).pow(2).mean()))
    for parameter in trained:
        parameter.requires_grad_(False)
