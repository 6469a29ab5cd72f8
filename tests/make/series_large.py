"""Writes a training run of large files to measure how fast the page compares them; nothing of it is kept in the repository.

    pip install torch diffusers safetensors numpy
    python tests/make/series_large.py FOLDER [FILES]

FILES (40 by default) LoRAs of SDXL of 228 MB each: the attention and feed-forward layers of the UNet in f16, with random factors
that grow from file to file.
"""

import pathlib
import sys

import numpy as np
from diffusers import UNet2DConditionModel
from safetensors.numpy import save_file
from torch import device, nn

RANK = 53
CONFIG = dict(
    sample_size=128, in_channels=4, out_channels=4, block_out_channels=(320, 640, 1280), layers_per_block=2,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=2048,
    transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20), use_linear_projection=True,
    addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
)


def main():
    folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40
    folder.mkdir(parents=True, exist_ok=True)
    with device("meta"):
        unet = UNet2DConditionModel(**CONFIG)
    random = np.random.default_rng(0)
    first, drift = {}, {}
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear) and "transformer_blocks" in name:
            key = "lora_unet_" + name.replace(".", "_")
            for role, shape in (("down", (RANK, module.in_features)), ("up", (module.out_features, RANK))):
                first[f"{key}.lora_{role}.weight"] = random.standard_normal(shape, dtype=np.float32) / 100
                drift[f"{key}.lora_{role}.weight"] = random.standard_normal(shape, dtype=np.float32) / 100
    for file in range(1, count + 1):
        grown = {key: (value + drift[key] * (file / count)).astype(np.float16) for key, value in first.items()}
        alphas = {key.replace("lora_down.weight", "alpha"): np.array(RANK, np.float16) for key in first if "down" in key}
        metadata = {"ss_epoch": str(file), "ss_output_name": "large", "ss_session_id": "1", "ss_base_model_version": "sdxl_base_v1-0"}
        save_file(grown | alphas, folder / f"large-{file:06}.safetensors", metadata)
        print(file, flush=True)


if __name__ == "__main__":
    main()
