"""Adapters that the tests make themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

import numpy as np
import pytest
from safetensors.numpy import save_file

STEMS = [
    f"lora_unet_down_blocks_{block}_attentions_{layer}_transformer_blocks_0_{part}"
    for block in (0, 1)
    for layer in (0, 1)
    for part in ("attn1_to_q", "attn1_to_k", "attn1_to_v", "attn1_to_out_0")
]


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a LoRA of Stable Diffusion 1.5 with sd-scripts' keys."""

    def write(name: str = "panda", seed: int = 0, rank: int = 4, metadata: Optional[dict[str, str]] = None) -> Path:
        random = np.random.default_rng(seed)
        tensors: dict[str, np.ndarray] = {}
        for stem in STEMS:
            width = 320 if "down_blocks_0" in stem else 640
            tensors[f"{stem}.lora_up.weight"] = random.standard_normal((width, rank)).astype(np.float32)
            tensors[f"{stem}.lora_down.weight"] = random.standard_normal((rank, width)).astype(np.float32)
            tensors[f"{stem}.alpha"] = np.array(2, np.float32)
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, str(path), metadata)
        return path

    return write
