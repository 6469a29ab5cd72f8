"""Adds adapters of PEFT's and LyCORIS's algorithms to the adapter test set in tests/corpus.

    pip install torch peft==0.21.2 lycoris-lora==4.1.3 safetensors
    python tests/make/peft_types.py

Run it after corpus.py, whose manifest it extends. Each adapter changes a few layers of the mini base whose weights
are in base/sample.safetensors. The library creates it, it gets random values, the library saves it, and the expected
change is that of the library's merged weights.
"""

import json
import pathlib
import re
import shutil
import tempfile

import torch
from peft import (
    AdaLoraConfig, BOFTConfig, DeloraConfig, HRAConfig, IA3Config, LoHaConfig, LoKrConfig, MissConfig, OFTConfig,
    ShiraConfig, VeraConfig, get_peft_model, get_peft_model_state_dict,
)
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.boft import layer as boft
from safetensors.torch import load_file, save_file
from torch import nn

from lycoris.modules.boft import ButterflyOFTModule
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "corpus"
MADE_BY = "peft_types.py"
BASE = load_file(CORPUS / "base" / "sample.safetensors")
UNET = "unet."
Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
V = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v"
K = "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
FF_IN = "down_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj"
FF_OUT = "up_blocks.1.attentions.0.transformer_blocks.0.ff.net.2"
CONV_IN = "conv_in"
DOWN = "down_blocks.2.downsamplers.0.conv"
POINT = "up_blocks.1.attentions.1.proj_in"
LINEAR = [Q, V, K, FF_IN, FF_OUT]
CONV = [CONV_IN, DOWN, POINT]


class BlockDiagonal:
    """PEFT's CUDA extension of BOFT, without which it allows one butterfly factor only."""

    @staticmethod
    def forward(blocks):
        return [torch.stack([torch.block_diag(*stage) for stage in blocks])]


def layer(path):
    """Returns the layer of the mini base, with its bias where the sample has it."""
    weight, bias = BASE[f"{UNET}{path}.weight"], BASE.get(f"{UNET}{path}.bias")
    has_bias = bias is not None
    if weight.dim() == 4:
        module = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2, bias=has_bias)
    else:
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=has_bias)
    module.weight.data.copy_(weight)
    if has_bias:
        module.bias.data.copy_(bias)
    return module


def network(paths):
    """Returns these layers as a network with the layers' full names."""
    root = nn.Module()
    for path in paths:
        *parents, name = path.split(".")
        place = root
        for parent in parents:
            if not hasattr(place, parent):
                place.add_module(parent, nn.Module())
            place = getattr(place, parent)
        place.add_module(name, layer(path))
    return root


def tensors(model, paths):
    """Returns weights and biases by the mini base's names."""
    named = dict(model.named_parameters())
    both = [(f"{UNET}{path}.{part}", f"{path}.{part}") for path in paths for part in ("weight", "bias")]
    return {full: named[name].detach().clone() for full, name in both if name in named}


def random_values(model, seed):
    """Sets an adapter's parameters to random values of the size that training gives them."""
    torch.manual_seed(seed)
    for name, value in model.named_parameters():
        kind = re.search(r"\.(\w+?)\.default", name)
        kind = kind and kind.group(1)
        if kind is None or kind in ("base_layer", "ranknum"):
            continue
        spread = {"oft_R": 0.15, "boft_R": 0.4, "shira_weight": 0.05, "miss_block": 0.05, "delora_lambda": 0.0}.get(kind, 0.3)
        center = {"ia3_l": 1.0, "boft_s": 1.0, "delora_lambda": 3.0, "vera_lambda_d": 0.3}.get(kind, 0.0)
        value.data.normal_(center, spread)


def with_peft(name, config, paths, seed, **case):
    """Writes PEFT's adapter and the changes of its merged weights."""
    model = network(paths)
    before = tensors(model, paths)
    model = get_peft_model(model, config)
    random_values(model, seed)
    folder = CORPUS / "files" / name
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in ("adapter_model.safetensors", "adapter_config.json"):
            shutil.copyfile(pathlib.Path(place) / file, folder / file)
    after = tensors(model.merge_and_unload(), paths)
    changes = {key: after[key] - before[key] for key in before if not torch.equal(after[key], before[key])}
    case = {
        "file": f"files/{name}/adapter_model.safetensors", "naming_convention": "peft_plain (base_model.model....)",
        "companion": f"files/{name}/adapter_config.json", "alphas": [], **case,
    }
    return finish(name, case, [(1.0, "linear", "peft 0.21.2 merge_and_unload", changes)])


def finish(name, case, results):
    """Writes expected changes, and returns the manifest's entry."""
    expected = []
    for strength, convention, authority, changes in results:
        stem = f"expected/{name}.s{strength:g}"
        # Contiguous, and without negative zeros.
        save_file({key: change.float().contiguous() + 0.0 for key, change in changes.items()}, CORPUS / f"{stem}.safetensors")
        norms = {key: float(f"{change.double().norm().item():.7g}") for key, change in changes.items()}
        (CORPUS / f"{stem}.norms.json").write_text(json.dumps(norms))
        expected.append({
            "strength": strength, "convention": convention, "authority": authority, "primary": True,
            "file": f"{stem}.safetensors", "norms": f"{stem}.norms.json",
        })
    layers = {key.rsplit(".", 1)[0] for _, _, _, changes in results for key in changes}
    return {
        "kind": "valid", "base_family": "sd15", "n_modules_unet": len(layers), "n_modules_te": 0, "dtypes": ["F32"],
        "unmatched_keys": [], "made_by": MADE_BY, "expected": expected, **case,
    }


def with_lycoris(name, create, paths, seed, strengths=(1.0,), **case):
    """Writes LyCORIS's adapter under sd-scripts' names and the changes that its modules make."""
    torch.manual_seed(seed)
    saved, changes = {}, {strength: {} for strength in strengths}
    for path in paths:
        target = layer(path)
        stem = "lora_unet_" + path.replace(".", "_")
        module = create(stem, target)
        for key, value in module.named_parameters():
            center = value.data.clone() if key == "dora_scale" else 1.0 if key == "rescale" else 0.0
            value.data.normal_(0, 0.25).add_(center)
        for key, value in module.custom_state_dict().items() if hasattr(module, "custom_state_dict") and module.custom_state_dict() else module.state_dict().items():
            if key.split(".")[0] in {kept.split(".")[0] for kept in module.weight_list}:
                saved[f"{stem}.{key}"] = value.detach().float().contiguous()
        for strength in strengths:
            weight, _ = module.get_merged_weight(strength, target.weight.shape)
            changes[strength][f"{UNET}{path}.weight"] = (weight - target.weight).detach()
    save_file(saved, CORPUS / "files" / f"{name}.safetensors")
    case = {"file": f"files/{name}.safetensors", "naming_convention": "kohya", **case}
    return finish(name, case, [(s, "lycoris", "lycoris-lora 4.1.3 get_merged_weight", changes[s]) for s in strengths])


def with_formulas(name, create, paths, seed, authority, **case):
    """Writes an adapter under sd-scripts' names, of a program that is not a library, and changes by its formulas.

    `create` returns the tensors of a layer and its change.
    """
    torch.manual_seed(seed)
    saved, changes = {}, {}
    for path in paths:
        weight = BASE[f"{UNET}{path}.weight"]
        made, change = create(weight.double())
        stem = "lora_unet_" + path.replace(".", "_")
        saved.update({f"{stem}.{key}": value.float().contiguous() for key, value in made.items()})
        changes[f"{UNET}{path}.weight"] = change.reshape(weight.shape)
    save_file(saved, CORPUS / "files" / f"{name}.safetensors")
    case = {"file": f"files/{name}.safetensors", "naming_convention": "kohya", **case}
    return finish(name, case, [(1.0, "linear", authority, changes)])


def numbers(*shape):
    """Returns random numbers that f32 holds exactly."""
    return (0.2 * torch.randn(shape)).double()


def onetrainer_oft(weight, scale=1.0):
    """OneTrainer's OFT rotates a linear layer's inputs and a convolution's weight."""
    flat = weight.flatten(1)
    blocks, size = flat.shape[1] // 8, 8
    triangles = numbers(blocks, size * (size - 1) // 2)
    q = torch.zeros(blocks, size, size, dtype=torch.double)
    q[:, *torch.triu_indices(size, size, 1)] = triangles
    q = scale * (q - q.mT)
    r = torch.block_diag(*(torch.eye(size) + 2 * q + 2 * q @ q + 2 * q @ q @ q + q @ q @ q @ q))
    return {"oft_R.weight": triangles}, flat @ (r if weight.dim() == 4 else r.T) - flat


def onetrainer_scaled_oft(weight):
    """OneTrainer's OFT with "scaled OFT": elements are larger by the root of their number in a block."""
    made, change = onetrainer_oft(weight, 28**-0.5)
    return made | {"oft_R.scaled_oft": torch.tensor(1)}, change


def glora_old(weight):
    """GLoRA of LyCORIS before version 2."""
    (outputs, inputs), rank = weight.shape[:2], 4
    a1, a2, b1, b2 = numbers(rank, inputs), numbers(inputs, rank), numbers(rank, inputs), numbers(outputs, rank)
    made = {"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2, "alpha": torch.tensor(2.0)}
    return made, 0.5 * (b2 @ b1 + weight @ a2 @ a1)


def flat_lora(weight):
    """ComfyUI's training node: matrices for kernels."""
    up, down = numbers(weight.shape[0], 4), numbers(4, weight[0].numel())
    return {"lora_up.weight": up, "lora_down.weight": down, "alpha": torch.tensor(2.0)}, 0.5 * up @ down


def flat_lokr(weight):
    """ComfyUI's training node: a Kronecker product that does not respect the kernel."""
    w1, a, b = numbers(4, 9), numbers(weight.shape[0] // 4, 2), numbers(2, weight[0].numel() // 9)
    made = {"lokr_w1": w1, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(1.0)}
    return made, 0.5 * torch.kron(w1, a @ b)


def cases():
    on = lambda paths: {"target_modules": paths}
    some = [Q, V, FF_OUT]
    yield with_peft("peft_oft", OFTConfig(oft_block_size=8, r=0, **on(LINEAR + CONV)), LINEAR + CONV, 1, algorithms=["oft_v2"], ranks=[8, 9])
    yield with_peft("peft_oft_exact", OFTConfig(r=2, oft_block_size=0, use_cayley_neumann=False, **on(some)), some, 2, algorithms=["oft_v2"], ranks=[8, 20, 64])
    yield with_peft("peft_oft_constrained", OFTConfig(oft_block_size=4, r=0, coft=True, eps=0.3, block_share=True, num_cayley_neumann_terms=7, **on(some)), some, 3, algorithms=["oft_v2"], ranks=[4])
    yield with_peft("peft_boft", BOFTConfig(boft_block_size=4, **on(LINEAR + CONV)), LINEAR + CONV, 4, algorithms=["boft"], ranks=[4])
    boft.get_fbd_cuda = BlockDiagonal
    yield with_peft("peft_boft_factors", BOFTConfig(boft_block_size=4, boft_n_butterfly_factor=3, **on([Q, FF_OUT, DOWN])), [Q, FF_OUT, DOWN], 5, algorithms=["boft"], ranks=[4])
    yield with_peft("peft_ia3", IA3Config(target_modules=LINEAR + CONV, feedforward_modules=[FF_OUT, DOWN]), LINEAR + CONV, 6, algorithms=["peft_ia3"], ranks=[])
    yield with_peft("peft_hra", HRAConfig(r=4, **on(LINEAR + CONV)), LINEAR + CONV, 7, algorithms=["hra"], ranks=[4])
    yield with_peft("peft_hra_orthogonal", HRAConfig(r=3, apply_GS=True, **on(some)), some, 8, algorithms=["hra"], ranks=[3])
    yield with_peft("peft_miss", MissConfig(r=6, **on(LINEAR)), LINEAR, 9, algorithms=["miss"], ranks=[6])
    yield with_peft("peft_miss_mini", MissConfig(r=4, mini_r=8, init_weights="mini", **on(some)), some, 10, algorithms=["miss"], ranks=[4])
    yield with_peft("peft_vera", VeraConfig(r=6, **on(LINEAR)), LINEAR, 11, algorithms=["vera"], ranks=[6])
    yield with_peft("peft_vera_seeded", VeraConfig(r=5, save_projection=False, projection_prng_key=1234567, **on(LINEAR)), LINEAR, 18, algorithms=["vera"], ranks=[5])
    yield with_peft("peft_adalora", AdaLoraConfig(init_r=6, target_r=4, lora_alpha=9, total_step=10, **on(LINEAR + CONV)), LINEAR + CONV, 12, algorithms=["adalora"], ranks=[6], alphas=[9.0])
    yield with_peft("peft_shira", ShiraConfig(r=2, **on(LINEAR)), LINEAR, 13, algorithms=["shira"], ranks=[])
    yield with_peft("peft_delora", DeloraConfig(r=4, **on(LINEAR)), LINEAR, 14, algorithms=["delora"], ranks=[4])
    yield with_peft("peft_loha", LoHaConfig(r=4, alpha=6, alpha_pattern={"attn2.to_v": 3}, **on(LINEAR + CONV)), LINEAR + CONV, 15, algorithms=["loha"], ranks=[4], alphas=[3.0, 6.0])
    yield with_peft("peft_lokr", LoKrConfig(r=3, alpha=7, rank_pattern={"to_q": 8}, **on(LINEAR + CONV)), LINEAR + CONV, 16, algorithms=["lokr"], ranks=[3], alphas=[7.0])
    yield with_peft("peft_lokr_full", LoKrConfig(r=64, alpha=16, **on(some)), some, 17, algorithms=["lokr"], ranks=[], alphas=[16.0])

    yield with_formulas("onetrainer_oft2", onetrainer_oft, [Q, V, FF_OUT, DOWN, POINT], 31, "formulas of OneTrainer's OFTModule", algorithms=["oft_v2"], ranks=[8], alphas=[])
    yield with_formulas("onetrainer_oft2_scaled", onetrainer_scaled_oft, [Q, V, FF_OUT, DOWN, POINT], 35, "formulas of OneTrainer's OFTModule", algorithms=["oft_v2"], ranks=[8], alphas=[])
    yield with_formulas("lycoris_glora_old", glora_old, [Q, V, FF_IN, FF_OUT], 32, "formulas of LyCORIS 1.8", algorithms=["glora_old"], ranks=[4], alphas=[2.0])
    yield with_formulas("comfyui_training_lora", flat_lora, [Q, CONV_IN, DOWN, POINT], 33, "up times down", algorithms=["lora"], ranks=[4], alphas=[2.0])
    yield with_formulas("comfyui_training_lokr", flat_lokr, [DOWN], 34, "Kronecker product", algorithms=["lokr"], ranks=[2], alphas=[1.0])
    both = (1.0, 0.6)
    oft = lambda constraint: lambda stem, target: DiagOFTModule(stem, target, lora_dim=4, constraint=constraint, rescaled=True)
    butterfly = lambda stem, target: ButterflyOFTModule(stem, target, lora_dim=4, constraint=0.1, rescaled=True)
    yield with_lycoris("lycoris_diag_oft_rescaled", oft(0.05), [Q, V, FF_OUT, DOWN, POINT], 21, both, algorithms=["diag_oft"], ranks=[4], alphas=[0.05])
    yield with_lycoris("lycoris_boft_rescaled", butterfly, [Q, V, FF_OUT, DOWN, POINT], 22, both, algorithms=["boft"], ranks=[4], alphas=[0.1])
    # get_merged_weight applies alpha / dim twice, the forward pass once; here it is 1.
    dora = {"weight_decompose": True, "wd_on_out": True}
    yield with_lycoris("lycoris_lokr_dora", lambda stem, target: LokrModule(stem, target, lora_dim=1, alpha=1, factor=4, **dora), [Q, V, FF_OUT, DOWN], 23, algorithms=["dora", "lokr"], ranks=[1], alphas=[1.0])
    yield with_lycoris("lycoris_loha_dora", lambda stem, target: LohaModule(stem, target, lora_dim=4, alpha=4, **dora), [Q, V, FF_OUT, DOWN], 24, algorithms=["dora", "loha"], ranks=[4], alphas=[4.0])


def saved_keys():
    """Returns the keys and shapes that every type of PEFT saves for two linear layers, by its name in configs."""
    options = {
        "ADALORA": {"total_step": 10}, "IA3": {"feedforward_modules": []}, "OFT": {"r": 0, "oft_block_size": 8},
        "VBLORA": {"vector_length": 8, "num_vectors": 8}, "FOURIERFT": {"n_frequency": 10}, "WAVEFT": {"n_frequency": 10},
        "C3A": {"block_size": 8}, "MISS": {"r": 4}, "SHIRA": {"r": 2}, "ROAD": {"group_size": 8}, "GRALORA": {"r": 8},
    }
    found = {}
    for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items():
        try:
            model = get_peft_model(network([Q, V]), config(target_modules=[Q, V], **options.get(kind.value, {})))
            saved = get_peft_model_state_dict(model)
        except (AttributeError, ImportError, TypeError, ValueError):
            continue  # not for single layers of an image model
        found[kind.value] = {key: list(value.shape) for key, value in saved.items()}
    return found


def main():
    path = CORPUS / "manifest.json"
    kept = [case for case in json.loads(path.read_text())["files"] if case.get("made_by") != MADE_BY]
    made = list(cases())
    path.write_text(json.dumps({"files": kept + made}, indent=1))
    keys = saved_keys()
    (CORPUS / "peft_keys.json").write_text(json.dumps(keys, indent=1))
    print(len(made), "adapters,", len(keys), "types of PEFT:", *keys)


if __name__ == "__main__":
    main()
