"""Writes blocks as ggml quantizes them: golden/ops/blocks.safetensors.

    pip install gguf numpy safetensors
    python tests/make/blocks.py
"""

import pathlib

import gguf
import numpy as np
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

BLOCK = 32
TYPES = {"q8": gguf.GGMLQuantizationType.Q8_0, "q4": gguf.GGMLQuantizationType.Q4_0}
OUT = pathlib.Path(__file__).resolve().parent.parent / "golden" / "ops" / "blocks.safetensors"

random = np.random.default_rng(20)
values = random.standard_normal((32, BLOCK)).astype(np.float32) * 0.02
values[1] = 0
values[2] *= 1e-7  # scales below the smallest normal f16
values[3] *= 1e-9  # scales of 0 in f16
values[4, :] = np.arange(BLOCK) * np.float32(0.5) - 8  # halves between two quants
values[5, [3, 7]] = [0.25, -0.25]  # two elements of the largest magnitude
values[6, [3, 7]] = [-0.25, 0.25]
values[7] = np.abs(values[7])
values[8] *= 1e4
values[9] = values[9].astype(np.float16)  # as checkpoints store them

tensors = {"values": values}
for name, type_ in TYPES.items():
    packed = quantize(values, type_)
    tensors[f"{name}_blocks"] = packed
    tensors[f"{name}_values"] = dequantize(packed, type_)
save_file(tensors, OUT)
