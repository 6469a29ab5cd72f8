"""Writes NumPy's singular values of the products of small random factors.

    python tests/make/spectra.py

Writes golden/edit/spectra.safetensors, an adapter with SD 1.5 keys and unusual sizes (wide, tall, rank
above both dimensions, rank-deficient, zeros, conv kernels, LoHa, LoKr in its variants), and
golden/edit/spectra.json: for each layer its scale, its singular values in f64, largest first, and for
some ranks the smallest error of any matrix of that rank.
"""

import json
import pathlib

import numpy as np
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "golden" / "edit"
LINEAR = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"
RANDOM = np.random.default_rng(7)
tensors, answers = {}, {}


def random(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def put(name, alpha, rank, change, **factors):
    for suffix, data in factors.items():
        weight = ".weight" if suffix.startswith("lora") else ""
        tensors[f"{name}.{suffix}{weight}"] = np.ascontiguousarray(data, np.float32)
    scale = 1.0
    if alpha is not None:
        tensors[f"{name}.alpha"] = np.array(alpha, np.float32)
        scale = alpha / rank
    change = change.reshape(len(change), -1) * scale
    values = np.linalg.svd(change, compute_uv=False)
    errors = {str(k): float(np.sqrt((values[k:] ** 2).sum())) for k in (1, 2, 3)}
    answers[name] = {"scale": scale, "values": values.tolist(), "errors": errors}


def f64(*factors):
    return [factor.astype(np.float64) for factor in factors]


def lora(name, up, down, alpha=None):
    a, b = f64(up, down)
    change = np.einsum("or,r...->o...", a.reshape(len(a), -1), b)
    put(name, alpha, len(down), change, lora_up=up, lora_down=down)


lora(LINEAR + "attn1_to_q", random(37, 5), random(5, 23), alpha=2)
lora(LINEAR + "attn1_to_k", random(4, 9), random(9, 31))
lora(LINEAR + "attn1_to_v", random(1, 3), random(3, 8), alpha=-3)
deficient = random(7, 2) @ random(2, 12)
lora(LINEAR + "attn1_to_out_0", random(19, 7), deficient, alpha=7)
lora(LINEAR + "attn2_to_q", np.zeros((6, 2)), random(2, 9))
steep = np.float32(10.0) ** -np.arange(6)
lora(LINEAR + "attn2_to_k", random(33, 6) * steep, random(6, 40), alpha=1)
lora(CONV, random(10, 4, 1, 1), random(4, 3, 3, 3), alpha=8)
w1a, w1b, w2a, w2b = random(11, 3), random(3, 50), random(11, 2), random(2, 50)
a, b, c, d = f64(w1a, w1b, w2a, w2b)
put(LINEAR + "attn2_to_v", 1.5, 3, (a @ b) * (c @ d), hada_w1_a=w1a, hada_w1_b=w1b, hada_w2_a=w2a, hada_w2_b=w2b)
w1, w2 = random(3, 5), random(4, 2)
put(LINEAR + "attn2_to_out_0", None, 1, np.kron(*f64(w1, w2)), lokr_w1=w1, lokr_w2=w2)
w1, w2a, w2b = random(2, 3), random(9, 2), random(2, 7)
a, b, c = f64(w1, w2a, w2b)
put(LINEAR + "ff_net_0_proj", 4, 2, np.kron(a, b @ c), lokr_w1=w1, lokr_w2_a=w2a, lokr_w2_b=w2b)
w1a, w1b, w2a, w2b = random(6, 1), random(1, 4), random(3, 2), random(2, 5)
a, b, c, d = f64(w1a, w1b, w2a, w2b)
factors = dict(lokr_w1_a=w1a, lokr_w1_b=w1b, lokr_w2_a=w2a, lokr_w2_b=w2b)
put(LINEAR + "ff_net_2", 3, 2, np.kron(a @ b, c @ d), **factors)
whole = random(13, 29)
put("lora_unet_time_embedding_linear_1", None, 1, whole.astype(np.float64), diff=whole)
OUT.mkdir(parents=True, exist_ok=True)
save_file(tensors, OUT / "spectra.safetensors")
(OUT / "spectra.json").write_text(json.dumps(answers, indent=1) + "\n")
