"""Converts a kohya LoRA of the demo to a deliberately broken one: correct weights under keys that no loader looks up.

    python break_lora.py [--source duotone] [--output broken_names]

The result is what PEFT's `save_pretrained` writes: diffusers keys with the prefix `base_model.model.`, no alpha
(it is in `adapter_config.json`, which users forget to share) and no metadata.
ComfyUI, A1111, diffusers and stable-diffusion.cpp ignore such a file, Forge and InvokeAI refuse it.
`lora-loupe convert FILE --to kohya` fixes it. The source must have alpha = rank, which is what every program
assumes without an alpha.
"""

import argparse

from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from catalogue import LORAS, MODEL, list_lora

PART = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight"}


def broken(tensors, modules):
    """Returns the tensors of a kohya file under PEFT keys; `modules` are the UNet's module names."""
    dotted = {name.replace(".", "_"): name for name in modules}
    result = {}
    for key, value in tensors.items():
        layer, part = key.removeprefix("lora_unet_").split(".", 1)
        if part == "alpha":
            rank = tensors[f"lora_unet_{layer}.lora_down.weight"].shape[0]
            if value.item() != rank:
                raise SystemExit(f"{key} is {value.item()}, the rank is {rank}: choose a source whose alpha is its rank.")
        else:
            result[f"base_model.model.{dotted[layer]}.{PART[part]}"] = value
    return result


def write(source, output):
    config = UNet2DConditionModel.load_config(MODEL / "unet")
    modules = [name for name, _ in UNet2DConditionModel.from_config(config).named_modules()]
    save_file(broken(load_file(LORAS / f"{source}.safetensors"), modules), LORAS / f"{output}.safetensors")
    list_lora(
        f"{output}.safetensors",
        label=f"{source.capitalize()}, broken on purpose",
        shows=f"{source} under names that other programs do not look up: its report says why, converting it mends it",
        broken=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="duotone")
    parser.add_argument("--output", default="broken_names")
    arguments = parser.parse_args()
    write(arguments.source, arguments.output)
