"""Loads recorded cases with diffusers before and after every fix and conversion of lora-loupe, and compares the changes.

    pip install torch diffusers==0.42.1 transformers peft==0.21.2 numpy
    python tests/make/fixes_in_diffusers.py [--done FILE] [--fixes-only] PATH_TO_LORA_LOUPE [NAME ...]

`cargo xtask test libraries` runs it on all cases of tests/golden/loaders; NAME selects those whose name contains it. The
factors get random values. Networks have their published sizes and no weights. A fix fails if diffusers loses a layer by
it, applies another change than before, or does not do what the fix promises. FILE lists what was printed about cases;
one that is there as loaded with this very program without a failure is not loaded again.
"""

import argparse
import functools
import gzip
import hashlib
import itertools
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import warnings

import diffusers
import numpy
import torch
import transformers
from diffusers.loaders import lora_pipeline
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from peft.tuners.lokr.layer import LoKrLayer
from peft.tuners.lora.layer import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer

parser = argparse.ArgumentParser()
parser.add_argument("program", type=pathlib.Path)
parser.add_argument("names", nargs="*")
parser.add_argument("--done", type=pathlib.Path)
parser.add_argument("--fixes-only", action="store_true", help="no conversions")
ARGUMENTS = parser.parse_intermixed_args()
PROGRAM = ARGUMENTS.program
CASES = pathlib.Path(__file__).resolve().parent.parent / "golden" / "loaders" / "cases.jsonl.gz"
TARGETS = ("kohya", "peft", "diffusers", "comfy", "onetrainer", "aitoolkit")
SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1}
# Files larger than this are skipped: full factors of large networks.
LARGEST = 600 << 20
# Fixes whose changes differ on purpose.
CHANGING = ("smaller", "usual_strength", "without_nan", "bake_alpha")
# Largest difference of a layer's change by rounding its factors, as a share.
ROUNDING = 0.02
warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
# The networks have no weights whose device factors could move to.
BaseTunerLayer._move_adapter_to_device_of_base_layer = lambda *_, **__: None
# Random initial values take most of the time; factors that a file lacks are recognized by their zeros.
for initial in ("kaiming_uniform_", "uniform_", "normal_"):
    setattr(torch.nn.init, initial, lambda tensor, *_, **__: tensor)

SD = {"up_block_types": ["UpBlock2D"] + 3 * ["CrossAttnUpBlock2D"]}
XL = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
ANIMA = {"in_channels": 16, "num_attention_heads": 16, "extra_pos_embed_type": None}
KLEIN = {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680}
KLEIN_9B = {"num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32, "joint_attention_dim": 12288}
SD35 = {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "qk_norm": "rms_norm"}
WAN_1B = {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960}
WAN_I2V = {"image_dim": 1280, "added_kv_proj_dim": 5120, "in_channels": 36}
HIDREAM = {"patch_size": 2, "in_channels": 16, "caption_channels": [4096, 4096], "llama_layers": list(range(48))}

# Loader, network, and its config where that is not the class's own, by the label of reports.
NETWORKS = {
    "Stable Diffusion 1.x": ("StableDiffusion", "UNet2DConditionModel", SD | {"cross_attention_dim": 768}),
    "Stable Diffusion 2.x": (
        "StableDiffusion", "UNet2DConditionModel",
        SD | {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
    ),
    "Stable Diffusion XL": ("StableDiffusionXL", "UNet2DConditionModel", XL),
    "Flux.1": ("Flux", "FluxTransformer2DModel", {"guidance_embeds": True}),
    "Chroma": ("Flux", "ChromaTransformer2DModel", {}),
    "Flux.2 dev": ("Flux2", "Flux2Transformer2DModel", {}),
    "Flux.2 Klein 4B": ("Flux2", "Flux2Transformer2DModel", KLEIN),
    "Flux.2 Klein 9B": ("Flux2", "Flux2Transformer2DModel", KLEIN_9B),
    "Qwen-Image": ("QwenImage", "QwenImageTransformer2DModel", {}),
    "Z-Image": ("ZImage", "ZImageTransformer2DModel", {}),
    "Stable Diffusion 3.5 medium": ("SD3", "SD3Transformer2DModel", SD35 | {"dual_attention_layers": list(range(13))}),
    "Stable Diffusion 3.5 large": (
        "SD3", "SD3Transformer2DModel",
        SD35 | {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432},
    ),
    "Wan 2.1 1.3B": ("Wan", "WanTransformer3DModel", WAN_1B),
    "Wan 14B": ("Wan", "WanTransformer3DModel", {}),
    "Wan 2.1 14B image-to-video": ("Wan", "WanTransformer3DModel", WAN_I2V),
    "Wan 2.1 14B with VACE": ("Wan", "WanVACETransformer3DModel", {}),
    "HunyuanVideo": ("HunyuanVideo", "HunyuanVideoTransformer3DModel", {}),
    "Lumina 2": ("Lumina2", "Lumina2Transformer2DModel", {"cap_feat_dim": 2304}),
    "Anima": ("Anima", "CosmosTransformer3DModel", ANIMA),
    "Anima with 40 blocks": ("Anima", "CosmosTransformer3DModel", ANIMA | {"num_layers": 40}),
    "Anima with 52 blocks": ("Anima", "CosmosTransformer3DModel", ANIMA | {"num_layers": 52}),
    "HiDream": ("HiDreamImage", "HiDreamImageTransformer2DModel", HIDREAM),
    "Krea 2": ("Krea2", "Krea2Transformer2DModel", {}),
    "AuraFlow": ("AuraFlow", "AuraFlowTransformer2DModel", {}),
    "LTX-Video 2B": ("LTXVideo", "LTXVideoTransformer3DModel", {}),
    "LTX-2": ("LTX2", "LTX2VideoTransformer3DModel", {}),
    "Mochi 1": ("Mochi1", "MochiTransformer3DModel", {}),
}
# Widths of the CLIP text encoders.
TEXT_ENCODERS = {
    "Stable Diffusion 1.x": [768], "Stable Diffusion 2.x": [1024], "Stable Diffusion XL": [768, 1280], "Flux.1": [768],
}


def names(pattern):
    """Expands a{0-2,5}b to a0b, a1b, a2b, a5b; several braces give all combinations."""
    parts = re.split(r"\{([0-9,\-]+)\}", pattern)
    numbers = lambda text: [
        str(n) for part in text.split(",") for n in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)
    ]
    choices = [[part] if at % 2 == 0 else numbers(part) for at, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def encoded(dtype, values):
    if dtype == "BF16":
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    kinds = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1"}
    return values.astype(kinds[dtype]).tobytes()


def write(case, path):
    """Writes a case with random factors; returns whether it is small enough."""
    tensors = {name: info for pattern, info in case["tensors"].items() for name in names(pattern)}
    scalars = {name: value for pattern, value in case["values"].items() for name in names(pattern)}
    header, at = ({"__metadata__": case["metadata"]} if case["metadata"] else {}), 0
    for name in sorted(tensors, key=lambda name: (-SIZES[tensors[name][0]], name)):
        dtype, shape = tensors[name]
        size = SIZES[dtype] * int(numpy.prod(shape, dtype=numpy.int64))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    if at > LARGEST:
        return False
    text = json.dumps(header).encode()
    # A prime number of values, repeated: factors of any size differ.
    random = 0.05 * numpy.random.default_rng(1).standard_normal(1_000_003, dtype=numpy.float32)
    first = 0
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, info in header.items():
            if name == "__metadata__":
                continue
            count = int(numpy.prod(info["shape"], dtype=numpy.int64))
            values = numpy.take(random, numpy.arange(first, first + count), mode="wrap")
            values = numpy.full(count, scalars[name]) if name in scalars else values
            file.write(encoded(info["dtype"], values))
            first = (first + count) % len(random)
    return True


class Pipeline:
    """What the loaders need of a pipeline: its networks, without weights. `reset` removes adapters, for the next file."""

    components, hf_device_map = {}, None

    def __init__(self, label):
        _, network, config = NETWORKS[label]
        with torch.device("meta"):
            self.network = getattr(diffusers, network)(**config)
            self.text_conditioner = diffusers.AnimaTextConditioner() if label.startswith("Anima") else None
            self.connectors = LTX2TextConnectors() if label == "LTX-2" else None
            texts = [text_encoder(width) for width in TEXT_ENCODERS.get(label, [])]
        # transformers loads adapters into real weights only.
        texts = [text.to_empty(device="cpu") for text in texts]
        self.unet = self.transformer = self.network
        self.text_encoder, self.text_encoder_2 = (texts + [None, None])[:2]
        modules = [module for part in self.networks().values() for module in part.modules()]
        self.bare = [(module, dict(vars(module)), dict(module._modules)) for module in modules]

    def reset(self):
        for module, attributes, children in self.bare:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            module._modules.clear()
            module._modules.update(children)

    def networks(self):
        parts = (self.network, self.text_encoder, self.text_encoder_2, self.text_conditioner, self.connectors)
        return {f"{at}.": part for at, part in enumerate(parts) if part is not None}


@functools.lru_cache(maxsize=2)
def pipeline_of(label):
    mixin = getattr(lora_pipeline, f"{NETWORKS[label][0]}LoraLoaderMixin")
    return type("Loaded", (Pipeline, mixin), {})(label)


def text_encoder(width):
    layers = {768: 12, 1024: 23, 1280: 32}[width]
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    config = transformers.CLIPTextConfig(num_attention_heads=width // 64, projection_dim=width, **sizes)
    kind = transformers.CLIPTextModelWithProjection if width == 1280 else transformers.CLIPTextModel
    return kind(config)


def image(matrix_of, width):
    """Returns a matrix times a fixed vector: what identifies a change without its large product."""
    vector = torch.randn(width, generator=torch.Generator().manual_seed(width))
    return matrix_of(vector)


def change(layer):
    """Returns what a PEFT layer's change does to a fixed vector, or None if no factor arrived."""
    if isinstance(layer, LoraLayer):
        if not layer.lora_A:
            return None
        name = next(iter(layer.lora_A))
        down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
        if down.is_meta or up.is_meta or not up.any():
            return None
        down, up = down.float().flatten(1), up.float().flatten(1)
        return layer.scaling[name] * image(lambda x: up @ (down @ x), down.shape[1])
    name = next(iter(layer.scaling))
    part = lambda which: getattr(layer, which)[name].float() if name in getattr(layer, which) else None
    first, second = part("lokr_w1"), part("lokr_w2")
    first = part("lokr_w1_a") @ part("lokr_w1_b") if first is None else first
    second = part("lokr_w2_a") @ part("lokr_w2_b") if second is None else second
    if first.is_meta or second.is_meta or not (first.any() and second.any()):
        return None
    second = second.flatten(1)
    product = lambda x: (first @ x.reshape(first.shape[1], second.shape[1]) @ second.T).flatten()
    return layer.scaling[name] * image(product, first.shape[1] * second.shape[1])


def loaded(path, label):
    """Returns the change of each layer after diffusers has loaded a file, and its error, if any."""
    pipeline = pipeline_of(label)
    pipeline.reset()
    try:
        pipeline.load_lora_weights(str(path), adapter_name="a")
    except Exception as error:  # the verdict "refused"
        return {}, f"{type(error).__name__}: {str(error)[:120]}"
    changes = {}
    for prefix, network in pipeline.networks().items():
        for name, layer in network.named_modules():
            if isinstance(layer, (LoraLayer, LoKrLayer)):
                found = change(layer)
                if found is not None:
                    changes[prefix + name] = found
    return changes, None


def lora_loupe(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    return done.stdout, done.stderr.strip()


def inspected(path):
    """Returns the label of the base model, and how many layers diffusers is said to apply."""
    report = json.loads(lora_loupe("inspect", "--json", path)[0])
    # A file that cannot be read has no verdicts: -1 layers agree with nothing.
    applied = next((v["applied"] for v in report["loaders"] if v["loader"] == "diffusers"), -1)
    return report["base"]["label"], applied


def faults(before, after, error, promise, exact, may_lose):
    """Returns what is wrong with a file's changes: layers that are lost, other changes, a wrong number of layers."""
    lost = [] if may_lose else sorted(set(before) - set(after))
    found = [f"{len(lost)} layers lost, {lost[0]}"] if lost else []
    if exact and (common := set(before) & set(after)):
        off = max(float((before[name] - after[name]).norm() / before[name].norm()) for name in common)
        found += [f"changes are off by {off:.1e}"] if off > ROUNDING else []
    if bool(after) != (promise > 0) or promise < 0:
        found.append(f"{promise} predicted, {error}")
    return found


def moved(changes):
    """Returns the changes with the blocks numbered by their order instead of their position."""
    order, named = {}, {}
    for name in sorted(changes, key=lambda name: [int(number) for number in re.findall(r"\d+", name)]):
        kind = re.sub(r"\d+", "#", name)
        order[kind] = order.get(kind, -1) + 1
        named[f"{kind} {order[kind]}"] = changes[name]
    return named


def edits(source, folder):
    """Yields every fix and conversion of a file: a name, the file, the number of layers that diffusers is said to apply,
    whether it keeps all changes, and whether it is for other programs, so that diffusers may lose layers."""
    listed = json.loads(lora_loupe("fix", "--json", source)[0] or '{"fixes": []}')["fixes"]
    for fix in listed:
        path = folder / f"{fix['id']}.safetensors"
        lora_loupe("fix", source, "--apply", fix["id"], "-o", path, "--force")
        promise = next(effect["after"] for effect in fix["effect"] if effect["loader"] == "diffusers")
        yield f"fix {fix['id']}", path, promise, not (fix["id"].startswith("lora_") or fix["id"] in CHANGING), False
    for target in () if ARGUMENTS.fixes_only else TARGETS:
        path = folder / f"to_{target}.safetensors"
        lora_loupe("convert", source, "--to", target, "-o", path, "--force")
        if path.exists():
            yield f"convert --to {target}", path, inspected(path)[1], True, True


def run(name, case, folder):
    """Returns lines on a case: on its file, and on each of the edited ones."""
    source = folder / f"{name}.safetensors"
    if not write(case, source):
        return [f"-    {name}: its file is too large"]
    if "adapter_config" in case:
        (folder / "adapter_config.json").write_text(json.dumps(case["adapter_config"]))
    label, applied = inspected(source)
    if label not in NETWORKS:
        return [f"-    {name}: {label} is not in the table of networks"]
    lines = []

    def judge(what, wanted, path, label, promise, exact, may_lose):
        found, error = loaded(path, label)
        if "blocks_" in what:
            wanted, found = moved(wanted), moved(found)
        wrong = faults(wanted, found, error, promise, exact, may_lose)
        lines.append(f"{'FAIL' if wrong else 'ok  '} {name}{what}: {len(found)} layers {'; '.join(wrong)}".rstrip())
        return found

    before = judge("", {}, source, label, applied, True, False)
    for what, path, promise, exact, may_lose in edits(source, folder):
        judge(f", {what}", before, path, inspected(path)[0] if "blocks_" in what else label, promise, exact, may_lose)
        path.unlink()
    return lines


def main():
    with gzip.open(CASES, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [row for row in rows if not ARGUMENTS.names or any(part in row["name"] for part in ARGUMENTS.names)]
    # Networks are built once per family.
    rows.sort(key=lambda row: (row["truth"]["family"], row["name"]))
    program = hashlib.sha256(PROGRAM.read_bytes()).hexdigest()
    done, printed = {}, []
    if ARGUMENTS.done and ARGUMENTS.done.exists():
        entries = map(json.loads, ARGUMENTS.done.read_text().splitlines())
        done = {entry["name"]: entry["lines"] for entry in entries if entry["program"] == program}
    for row in rows:
        lines = done.get(row["name"])
        if lines is None or any(line.startswith("FAIL") for line in lines):
            with tempfile.TemporaryDirectory() as folder:
                lines = run(row["name"], row["case"], pathlib.Path(folder))
            if ARGUMENTS.done:
                ARGUMENTS.done.parent.mkdir(parents=True, exist_ok=True)
                with open(ARGUMENTS.done, "a") as file:
                    file.write(json.dumps({"name": row["name"], "program": program, "lines": lines}) + "\n")
        print("\n".join(lines), flush=True)
        printed += lines
    total, bad = (sum(line.startswith(kinds) for line in printed) for kinds in (("ok", "FAIL"), "FAIL"))
    print(f"{total - bad} of {total} files do in diffusers what their reports say, and keep what they did before")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
