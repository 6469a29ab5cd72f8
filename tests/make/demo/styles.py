"""Pixel-wise style filters for the Noto images, as training targets of the style LoRAs."""

import torch
import torch.nn.functional as F

LUMA = torch.tensor([0.30, 0.59, 0.11]).view(1, 3, 1, 1)
SOBEL = torch.tensor([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 4


def colour(red, green, blue):
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1)


def luma(pictures):
    return (pictures * LUMA).sum(1, keepdim=True)


def edges(pictures):
    """Returns the maximum gradient over channels, from 0 to about 1."""
    kernels = torch.stack([SOBEL, SOBEL.T])[:, None]
    steep = [
        F.conv2d(F.pad(pictures[:, i : i + 1], (1, 1, 1, 1), mode="replicate"), kernels).pow(2).sum(1, keepdim=True).sqrt()
        for i in range(3)
    ]
    return torch.cat(steep, 1).amax(1, keepdim=True)


def subject(pictures):
    """Returns 1 for the subject, 0 for the background."""
    return ((1 - pictures.amin(1, keepdim=True)) * 6).clamp(0, 1)


def duotone(pictures):
    """Two inks: violet for shadows, warm yellow for highlights."""
    dark, light = colour(0.30, 0.02, 0.45), colour(1.0, 0.86, 0.45)
    grey = ((luma(pictures) - 0.2) / 0.7).clamp(0, 1)
    return dark * (1 - grey) + light * grey


def ink_icon(pictures):
    """Black outlines and shadows on white, without colors."""
    grey = luma(pictures)
    shade = ((grey - 0.28) / 0.30).clamp(0, 1) * 0.30 + 0.70  # midtones become nearly white
    shade = torch.where(grey < 0.42, ((grey - 0.18) / 0.24).clamp(0, 1) * shade, shade)
    line = F.avg_pool2d(F.pad((edges(pictures) * 2.6 - 0.25).clamp(0, 1), (1, 1, 1, 1), mode="replicate"), 3, 1) * 1.5
    return (shade * (1 - line.clamp(0, 1))).expand(-1, 3, -1, -1)


def blueprint(pictures):
    """White lines and pale blue shapes on blue."""
    paper, body, chalk = colour(0.09, 0.25, 0.60), colour(0.30, 0.52, 0.85), colour(0.95, 0.98, 1.0)
    shade = subject(pictures) * (0.35 + 0.65 * (1 - luma(pictures)))
    line = (edges(pictures) * 2.2 - 0.15).clamp(0, 1)
    return (paper * (1 - shade) + body * shade) * (1 - line) + chalk * line


STYLES = {style.__name__: style for style in (duotone, ink_icon, blueprint)}


def styled(name, pictures):
    """Applies a style to images (n, 3, 64, 64) in -1..1."""
    return STYLES[name]((pictures + 1) / 2) * 2 - 1
