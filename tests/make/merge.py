"""Merges of LoRAs by sparse methods as PEFT computes them, for tests/merge.rs.

    pip install torch peft==0.21.2 safetensors
    python tests/make/merge.py

Writes tests/golden/merge/: two LoRAs of PEFT that share two layers of three, and for each case what
`add_weighted_adapter` makes of them (combination types that end in `_svd`, at full rank, so that nothing is lost). SLERP,
which PEFT lacks, is computed here in double precision from its definition, on flattened changes.
"""

import json
import math
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import merge_utils
from safetensors.torch import save_file
from torch import nn

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "merge"
OUTPUTS, INPUTS = 20, 24
LAYERS = ["first", "second", "third"]
FILES = {
    "a": {"rank": 3, "alpha": 6, "layers": ["first", "second"]},
    "b": {"rank": 4, "alpha": 2, "layers": ["first", "second", "third"]},
}
CASES = [
    {"method": "ties", "density": 0.5, "strengths": [1, 1]},
    {"method": "ties", "density": 0.2, "strengths": [0.7, -0.4]},
    {"method": "ties", "density": 1, "strengths": [0.5, 0.8]},
    {"method": "dare", "density": 0.5, "strengths": [0.7, 0.3], "seed": 7},
    {"method": "dare", "density": 0.9, "strengths": [1, -1], "seed": 123456},
    {"method": "dare-ties", "density": 0.6, "strengths": [1, 0.5], "seed": 0},
    {"method": "prune", "density": 0.3, "strengths": [1, 0.6]},
    {"method": "linear", "density": 1, "strengths": [0.7, -0.3]},
    {"method": "slerp", "position": 0.5, "strengths": [1, 1]},
    {"method": "slerp", "position": 0.2, "strengths": [0.8, -1.5]},
    {"method": "slerp", "position": 1, "strengths": [1, 1]},
]
PEFT = {"ties": "ties_svd", "dare": "dare_linear_svd", "dare-ties": "dare_ties_svd", "prune": "magnitude_prune_svd",
        "linear": "svd"}


class Model(nn.Module):
    def __init__(self, layers):
        super().__init__()
        for layer in layers:
            setattr(self, layer, nn.Linear(INPUTS, OUTPUTS, bias=False))


def factors():
    """The factors of both files, by layer."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: {layer: (torch.randn(file["rank"], INPUTS, generator=generator),
                       torch.randn(OUTPUTS, file["rank"], generator=generator)) for layer in file["layers"]}
        for name, file in FILES.items()
    }


def layer_seed(seed, layer):
    """The seed of a layer: FNV-1a of its name."""
    value = 0x811C9DC5 ^ seed
    for byte in layer.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def merged_by_peft(case, layer, data):
    """The merged change of one layer."""
    names = [name for name in FILES if layer in data[name]]
    model = None
    for name in names:
        file = FILES[name]
        config = LoraConfig(r=file["rank"], lora_alpha=file["alpha"], target_modules=[layer])
        if model is None:
            model = get_peft_model(Model([layer]), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
        module = getattr(model.base_model.model, layer)
        down, up = data[name][layer]
        module.lora_A[name].weight.data, module.lora_B[name].weight.data = down.clone(), up.clone()
    strengths = [case["strengths"][list(FILES).index(name)] for name in names]
    torch.manual_seed(layer_seed(case.get("seed", 0), layer))
    if len(names) == 1 or "dare" in case["method"]:
        # PEFT's function of changes alone: with one adapter PEFT combines the factors, and creating the merged adapter draws
        # random numbers.
        change = [module.get_delta_weight(name) for name in names]
        weights = torch.tensor(strengths, dtype=torch.float32)
        function = getattr(merge_utils, PEFT[case["method"]].removesuffix("_svd").replace("svd", "task_arithmetic"))
        return function(change, weights, *([] if case["method"] == "linear" else [case["density"]]))
    model.add_weighted_adapter(names, strengths, "merged", combination_type=PEFT[case["method"]],
                               svd_rank=min(INPUTS, OUTPUTS), density=case["density"])
    return module.get_delta_weight("merged").detach()


def merged_by_slerp(case, layer, data):
    changes = []
    for (name, file), strength in zip(FILES.items(), case["strengths"]):
        if layer in data[name]:
            down, up = (factor.double() for factor in data[name][layer])
            changes.append(strength * file["alpha"] / file["rank"] * up @ down)
        else:
            changes.append(torch.zeros(OUTPUTS, INPUTS, dtype=torch.double))
    a, b = (change.flatten() for change in changes)
    t = case["position"]
    if not a.norm() or not b.norm():
        return ((1 - t) * a + t * b).reshape(OUTPUTS, INPUTS).float()
    angle = math.acos(float(a @ b / (a.norm() * b.norm())))
    merged = (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
    return merged.reshape(OUTPUTS, INPUTS).float()


def main():
    FOLDER.mkdir(exist_ok=True)
    data = factors()
    for name, file in FILES.items():
        tensors = {}
        for layer, (down, up) in data[name].items():
            tensors[f"{layer}.lora_down.weight"] = down
            tensors[f"{layer}.lora_up.weight"] = up
            tensors[f"{layer}.alpha"] = torch.tensor(float(file["alpha"]))
        save_file(tensors, FOLDER / f"{name}.safetensors")
    results = {}
    for index, case in enumerate(CASES):
        for layer in LAYERS:
            merge = merged_by_slerp if case["method"] == "slerp" else merged_by_peft
            results[f"{index}.{layer}"] = merge(case, layer, data).contiguous()
    save_file(results, FOLDER / "merged.safetensors")
    (FOLDER / "cases.json").write_text(json.dumps(CASES, indent=1) + "\n")


if __name__ == "__main__":
    main()
