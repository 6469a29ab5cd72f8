"""Checks our keys of single-file checkpoints with diffusers' converters and writes them as a golden.

    pip install torch diffusers transformers
    cargo run -p lora-loupe-tests -- keys > keys.jsonl
    python tests/make/single_file.py keys.jsonl

Every tensor has a constant, distinct value, which shows where the converters move it.
Writes golden/single_file/FAMILY.json.gz: {key: shape}.
"""

import gzip
import json
import pathlib
import sys
import types

import torch
from diffusers.loaders import single_file_utils as diffusers

OUT = pathlib.Path(__file__).resolve().parent.parent / "golden" / "single_file"
CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "crate/src/model/configs"
TEXT = {"sd15": ("cond_stage_model.transformer.", None), "sd21": (None, "cond_stage_model.model."), "sdxl": ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model.")}
OPEN_CLIP = {
    "self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
}


def open_clip(path, part):
    """Returns OpenCLIP's key of a tensor, and the third of its rows, if it is fused."""
    path = path.removeprefix("text_model.")
    fixed = {
        "embeddings.token_embedding": "token_embedding.weight", "embeddings.position_embedding": "positional_embedding",
        "final_layer_norm": f"ln_final.{part}", "text_projection": "text_projection",
    }
    if path in fixed:
        return fixed[path], None
    layer, name = path.removeprefix("encoder.layers.").split(".", 1)
    if name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
        return f"transformer.resblocks.{layer}.attn.in_proj_{part}", "qkv".index(name.split(".")[1][0])
    return f"transformer.resblocks.{layer}.{OPEN_CLIP[name]}.{part}", None


def main():
    rows = [json.loads(line) for line in open(sys.argv[1])]
    for family in ("sd15", "sd21", "sdxl"):
        wanted, shapes = {}, {}
        for name, component, path, ldm, part, shape in rows:
            if name != family:
                continue
            clip, openai = TEXT[family]
            if component == "unet":
                key, third = f"model.diffusion_model.{ldm}.{part}", None
            elif component == "vae":
                key, third = f"first_stage_model.{ldm}.{part}", None
                if ".attn_1." in ldm and part == "weight" and not ldm.endswith("norm"):
                    shape = shape + [1, 1]
            elif component == "text_encoder" and clip:
                key, third = f"{clip}{path}.{part}", None
            else:
                key, third = open_clip(path, part)
                key = openai + key
            if third is not None:
                shape = [shape[0] * 3] + shape[1:]
            if path == "text_projection":
                shape = shape[::-1]
            shapes[key] = shape
            wanted[(component, f"{path}.{part}")] = key
        ids = {key: float(i + 1) for i, key in enumerate(shapes)}
        checkpoint = {key: torch.tensor(ids[key]).expand(shape) for key, shape in shapes.items()}

        unet_config = {"layers_per_block": 2, **json.loads((CONFIGS / family / "unet.json").read_text())}
        unet_config.setdefault("class_embed_type", None)
        got = {("unet", key): value for key, value in diffusers.convert_ldm_unet_checkpoint(dict(checkpoint), unet_config).items()}
        vae_config = json.loads((CONFIGS / family / "vae.json").read_text()) | {"down_block_types": [0] * 4, "up_block_types": [0] * 4}
        got |= {("vae", key): value for key, value in diffusers.convert_ldm_vae_checkpoint(dict(checkpoint), vae_config).items()}
        if TEXT[family][0]:
            got |= {("text_encoder", key): value for key, value in diffusers.convert_ldm_clip_checkpoint(dict(checkpoint), remove_prefix=TEXT[family][0]).items()}
        if TEXT[family][1]:
            component = "text_encoder_2" if family == "sdxl" else "text_encoder"
            width = 1280 if family == "sdxl" else 1024
            model = types.SimpleNamespace(config=types.SimpleNamespace(hidden_size=width))
            converted = diffusers.convert_open_clip_checkpoint(model, dict(checkpoint), prefix=TEXT[family][1])
            got |= {(component, key): value for key, value in converted.items()}

        missing = [name for name in wanted if name not in got]
        wrong = [name for name in wanted if name in got and float(got[name].reshape(-1)[0]) != ids[wanted[name]]]
        assert not missing and not wrong, (family, missing[:5], wrong[:5])
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{family}.json.gz").write_bytes(gzip.compress(json.dumps(shapes, separators=(",", ":")).encode(), mtime=0))
        print(family, len(shapes), "keys", len(wanted), "tensors agree with diffusers' converters")


if __name__ == "__main__":
    main()
