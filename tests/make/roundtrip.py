"""Loads files converted by lora-loupe with the real libraries and compares their effect on a model.

    pip install torch diffusers transformers peft lycoris-lora
    python tests/make/roundtrip.py PATH_TO_LORA_LOUPE PATH_TO_THE_SET [CONVENTION ...]

`cargo xtask test libraries` does both, with the repository's own cut of the set, tests/corpus.

The set is the full adapter test set or its subset, see tests/make/corpus.py. The subset has few of the base
model's weights; the others are random, which does not affect plain LoRAs. Every valid adapter that can be
written as a plain LoRA is converted to PEFT, diffusers and kohya keys; the first two are loaded by diffusers
with peft, the last by lycoris-lora. Every key has to be used, and every merged weight has to match the set's
expected one. Files of algorithms whose tensors do not show the size of a layer are converted with the base model, whose
sizes are not the published ones. Prints one line per file and a total.
"""

import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import warnings

import peft
import torch
import transformers
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin as Loader
from lycoris.modules import get_module, make_module
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, safe_open, save_file
from transformers import CLIPTextConfig, CLIPTextModel

PROGRAM, SET = sys.argv[1], pathlib.Path(sys.argv[2])
MANIFEST = json.loads((SET / "manifest.json").read_text())
# Algorithms whose tensors show a part of a layer's size, or none of it.
UNSIZED = {"miss", "vera", "shira"}
warnings.filterwarnings("ignore")
transformers.utils.logging.disable_progress_bar()


class Noted(logging.Handler):
    """Collects warnings of the libraries."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        text = record.getMessage()
        # transformers 5 reports the base layers that an adapter file does not have.
        if "LOAD REPORT" in text and "UNEXPECTED" not in text and ".lora_" not in text:
            return
        self.lines.append(text)


NOTED = Noted()
for name in ("diffusers", "peft", "transformers", "lycoris"):
    logging.getLogger(name).addHandler(NOTED)
    logging.getLogger(name).setLevel(logging.WARNING)


def text_names(state, wanted):
    """Maps the set's text encoder keys to those of the installed transformers version."""
    has_prefix = any(key.startswith("text_model.") for key in wanted)
    return {key if has_prefix else key.removeprefix("text_model."): value for key, value in state.items()}


def cut_base():
    """Returns the base model with the weights of the subset; all others are random."""
    torch.manual_seed(0)
    shapes = json.loads((SET / "base" / "shapes.json").read_text())
    return {name: 0.1 * torch.randn(shape) for name, shape in shapes.items()} | load_file(SET / "base" / "sample.safetensors")


def save_base(folder):
    """Writes the base model as a diffusers folder; returns it."""
    parts = {"unet": "diffusion_pytorch_model", "text_encoder": "model"}
    config = json.loads((SET / "base" / "config.json").read_text())
    _, _, base = models()
    for part, name in parts.items():
        (folder / part).mkdir(parents=True)
        weights = {k.removeprefix(f"{part}."): v.contiguous() for k, v in base.items() if k.startswith(f"{part}.")}
        save_file(weights, folder / part / f"{name}.safetensors")
        (folder / part / "config.json").write_text(json.dumps(config[part]))
    return folder


def models():
    config = json.loads((SET / "base" / "config.json").read_text())
    unet = UNet2DConditionModel.from_config(config["unet"])
    text = CLIPTextModel(CLIPTextConfig(**config["text_encoder"]))
    whole = SET / "base" / "mini_sd15_diffusers.safetensors"
    base = load_file(whole) if whole.exists() else cut_base()
    part = lambda prefix: {k.removeprefix(prefix): v for k, v in base.items() if k.startswith(prefix)}
    unet.load_state_dict(part("unet."))
    text.load_state_dict(text_names(part("text_encoder."), text.state_dict()), strict=False)
    return unet, text, base


def merged(path):
    """Returns every weight after diffusers loaded and fused the file, with the set's keys."""
    unet, text, base = models()
    NOTED.lines.clear()
    state, alphas, metadata = Loader.lora_state_dict(str(path), return_lora_metadata=True, unet_config=unet.config)
    if any(key.startswith("unet.") for key in state):
        Loader.load_lora_into_unet(state, alphas, unet, adapter_name="a", metadata=metadata)
        unet.fuse_lora()
    ours = {k.removeprefix("text_encoder."): v for k, v in state.items() if k.startswith("text_encoder.")}
    if any("_proj." in key or "lora_linear" in key for key in ours):
        Loader.load_lora_into_text_encoder(state, alphas, text, prefix="text_encoder", adapter_name="a", metadata=metadata)
    elif ours:
        # diffusers 0.42 detects PEFT keys of text encoders by their attention layers only.
        by_peft(text, ours, metadata)
    for module in text.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
    weights = {f"unet.{k.replace('.base_layer', '')}": v for k, v in unet.state_dict().items()}
    for key, value in text.state_dict().items():
        key = key.replace(".base_layer", "")
        weights["text_encoder." + (key if key.startswith("text_model.") else f"text_model.{key}")] = value
    return weights, base, list(NOTED.lines)


def by_peft(text, state, metadata):
    """Loads the text encoder part of a file with peft alone."""
    config = {k.removeprefix("text_encoder."): v for k, v in metadata.items() if k.startswith("text_encoder.")}
    wanted = [name for name, _ in text.named_modules()]
    has_prefix = any(name.startswith("text_model.") for name in wanted)
    state = {k if has_prefix else k.removeprefix("text_model."): v for k, v in state.items()}
    peft.inject_adapter_in_model(peft.LoraConfig(**config), text, adapter_name="a")
    left = peft.set_peft_model_state_dict(text, state, adapter_name="a")
    NOTED.lines += [f"not used: {key}" for key in left.unexpected_keys]
    NOTED.lines += [f"missing: {key}" for key in left.missing_keys if "lora_" in key]


def merged_by_lycoris(path):
    """Returns the same after loading with lycoris-lora, which reads kohya keys."""
    unet, text, base = models()
    NOTED.lines.clear()
    named = torch.nn.Module()
    named.text_model = text.text_model if hasattr(text, "text_model") else text
    state = load_file(path)
    layers = {f"lora_unet_{name.replace('.', '_')}": layer for name, layer in unet.named_modules()}
    layers |= {f"lora_te_{name.replace('.', '_')}": layer for name, layer in named.named_modules()}
    for name in sorted({key.split(".")[0] for key in state}):
        kind, parts = get_module(state, name)
        module = make_module(kind, parts, name, layers[name]) if name in layers else None
        if module is None:
            NOTED.lines.append(f"not used: {name}")
        else:
            module.merge_to(1.0)
    weights = {f"unet.{k}": v for k, v in unet.state_dict().items()}
    weights |= {f"text_encoder.{k}": v for k, v in named.state_dict().items()}
    return weights, base, list(NOTED.lines)


def expected(case):
    """Returns the norms of all changed tensors, and the changes of a sample."""
    primary = next(item for item in case["expected"] if item["primary"] and item["strength"] == 1.0)
    return json.loads((SET / primary["norms"]).read_text()), load_file(SET / primary["file"])


def judge(path, case, target):
    weights, base, lines = merged_by_lycoris(path) if target == "kohya" else merged(path)
    norms, sample = expected(case)
    changed = {k: (weights[k].float() - v.float()) for k, v in base.items() if k in weights}
    worst = 0.0
    for name, change in changed.items():
        size = float(change.norm())
        want = norms.get(name, 0.0)
        worst = max(worst, abs(size - want) / max(want, 1e-3))
        if name in sample:
            off = (change - sample[name].reshape(change.shape)).norm() / max(float(sample[name].norm()), 1e-3)
            worst = max(worst, float(off))
    return worst, lines


def convert(source, target, path, *more):
    command = [PROGRAM, "convert", str(source), "--to", target, "-o", str(path), "--dtype", "f32", "--force", *more]
    return subprocess.run(command, capture_output=True, text=True)


def main():
    bad = total = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.safetensors"
        base = save_base(pathlib.Path(folder) / "base")
        for case in MANIFEST["files"]:
            if case["kind"] != "valid":
                continue
            source = SET / case["file"]
            for target in sys.argv[3:] or ("peft", "diffusers", "kohya"):
                more = ("--rank", "999") if target != "kohya" else ("--as-lora", "--rank", "999")
                if UNSIZED & set(case["algorithms"]):
                    more = ("--as-lora", "--base", str(base), "--rank", "999")
                done = convert(source, target, out, *more)
                if done.returncode != 0:
                    refused += 1
                    print(f"-    {target:10} {case['file']}: {done.stderr.strip()[:120]}")
                    continue
                if target == "kohya" and not only_lora(out):
                    continue
                total += 1
                try:
                    worst, lines = judge(out, case, target)
                except Exception as error:  # any exception of a library is a failure
                    bad += 1
                    print(f"FAIL {target:10} {case['file']}: {type(error).__name__} {str(error)[:200]}")
                    continue
                good = worst < 1e-3 and not lines
                bad += not good
                print(f"{'ok  ' if good else 'FAIL'} {target:10} {case['file']}: off {worst:.1e} {lines[:1]}")
    print(f"{total - bad} of {total} load with every key used and give the expected weights; {refused} refused by name")
    sys.exit(bad > 0)


def only_lora(path):
    with safe_open(path, "pt") as file:
        ends = (".lora_up.weight", ".lora_down.weight", ".alpha")
        return all(key.endswith(ends) for key in file.keys())


if __name__ == "__main__":
    main()
