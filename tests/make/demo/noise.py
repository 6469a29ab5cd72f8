"""SD 1.x's noise schedule of 1000 timesteps: noising of latents, and loss weights."""

import torch

from networks import DEVICE, bf16

LEVELS = 1000
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, LEVELS, dtype=torch.float64) ** 2
ALPHA_BARS = torch.cumprod(1 - BETAS, 0).float()
SNR = ALPHA_BARS / (1 - ALPHA_BARS)


def weights(high_noise):
    """
    Returns the loss weight of each timestep: min-SNR with gamma 5 (arXiv 2303.09556), times SNR^-high_noise where
    there is more noise than signal: these timesteps determine layout and colors, and are undertrained otherwise.
    """
    return SNR.clamp(max=5) / SNR * SNR.clamp(max=1) ** -high_noise


def levels(count):
    """Samples a timestep from each of `count` equal parts of the schedule, in random order."""
    spread = ((torch.arange(count) + torch.rand(count)) / count * LEVELS).long().clamp(0, LEVELS - 1)
    return spread[torch.randperm(count)]


def noisy(latents, noise, at):
    bars = ALPHA_BARS[at].view(-1, 1, 1, 1)
    return bars.sqrt() * latents + (1 - bars).sqrt() * noise


def errors(unet, latents, features, at):
    """Returns the mean squared error of the predicted noise per sample."""
    noise = torch.randn_like(latents)
    with bf16():
        predicted = unet(noisy(latents, noise, at).to(DEVICE), at.to(DEVICE), features).sample
    return (predicted.float() - noise.to(DEVICE)).pow(2).mean((1, 2, 3))


@torch.no_grad()
def estimate(unet, latents, features, at):
    """Noises the latents and returns the UNet's estimate of the clean ones."""
    noise = torch.randn_like(latents)
    mixed = noisy(latents, noise, at)
    with bf16():
        predicted = unet(mixed.to(DEVICE), at.to(DEVICE), features).sample.float().cpu()
    bars = ALPHA_BARS[at].view(-1, 1, 1, 1)
    return (mixed - (1 - bars).sqrt() * predicted) / bars.sqrt()
