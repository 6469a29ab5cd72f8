"""Training data: the images of the work folder and their latents in each style."""

import json

import numpy as np
import torch

from networks import encoded
from pictures import SELECTION
from styles import STYLES, styled


def tensors(array):
    """Converts (n, 64, 64, 3) bytes to (n, 3, 64, 64) bytes."""
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def unit(pictures):
    return pictures.float() / 127.5 - 1


def back(pictures):
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte()


def weight(entry):
    """Returns the sampling weight of an image relative to the rarest."""
    return 24.0 if entry["names"][0] in SELECTION["shown"] else 4.0 if entry["core"] else 1.0


def read(work):
    """Returns captions.json, and the images by set."""
    arrays = np.load(work / "pictures.npz")
    return json.loads((work / "captions.json").read_text()), {key: tensors(arrays[key]) for key in arrays}


def make(work, vae):
    """
    Returns latents by name: `noto`, `mirrored` and each style, for all entries. Cached in latents.pt and recomputed
    if the VAE's encoder has changed.
    """
    path, mark = work / "latents.pt", float(sum(p.double().abs().sum() for p in vae.encoder.parameters()))
    if path.exists() and (kept := torch.load(path))["mark"] == mark:
        return kept["latents"]
    _, sets = read(work)
    noto = unit(sets["noto"])
    piles = {"noto": noto, "mirrored": noto.flip(-1)}
    piles |= {name: styled(name, noto) for name in STYLES}
    latents = {name: encoded(vae, pile) for name, pile in piles.items()}
    torch.save({"mark": mark, "latents": latents}, path)
    return latents
