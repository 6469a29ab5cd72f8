"""Ranks words by how strongly a LoRA answers to them, with NumPy and transformers: goldens of tests/triggers.rs.

    python triggers.py FOLDER        # with the LoRAs of demo/train_triggers.py; writes ../golden/triggers/
    python triggers.py FOLDER --table  # the table of docs/triggers.md instead
"""

import argparse
import json
import pathlib
import re
import shutil

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import CLIPTextModel, CLIPTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "web" / "public" / "demo" / "model"
GOLDEN = ROOT / "tests" / "golden" / "triggers"
TRIGGERS = {
    "sks": "UNet", "canoe": "UNet", "paper pot": "UNet", "catpot": "UNet", "mirror": "UNet",
    "krovex": "both", "skyline": "both", "quiet harbor": "both", "zxq": "both", "tmbr": "both",
}
KEPT = ("sks", "canoe", "skyline")
PADDING = 8
FIRST, EVERY = 30, 25
"""Words of a ranking that are kept."""
CHUNK = 2048
"""Words by whose mean state others are compared, evenly spread over the vocabulary."""


def vocabulary(tokenizer):
    """Returns the words of at least three letters that are one token, in the order of their ids."""
    words = [(number, token[:-4]) for token, number in tokenizer.get_vocab().items() if token.endswith("</w>")]
    words = [(number, word) for number, word in sorted(words) if re.fullmatch("[a-z]{3,}", word)]
    return [word for number, word in words if tokenizer(word).input_ids[1:-1] == [number]]


@torch.no_grad()
def end_states(encoder, tokenizer, texts):
    """Returns the mean states at the end token and PADDING tokens after it (texts, width), in double precision."""
    found = []
    for start in range(0, len(texts), 256):
        tokens = [tokenizer(text).input_ids for text in texts[start : start + 256]]
        length = max(map(len, tokens)) + PADDING
        ids = torch.tensor([each + [tokenizer.pad_token_id] * (length - len(each)) for each in tokens])
        states = encoder(ids).last_hidden_state
        found += [row[len(each) - 1 : len(each) + PADDING].mean(0) for row, each in zip(states, tokens)]
    return torch.stack(found).double().numpy()


def changes(path):
    """Returns the change of each weight, by the layer's name."""
    tensors = {key: value.astype(np.float64) for key, value in load_file(path).items()}
    ends = (".lora_A.weight", ".lora_B.weight")
    names = [key.removesuffix(ends[0]) for key in tensors if key.endswith(ends[0])]
    return {name: tensors[name + ends[1]] @ tensors[name + ends[0]] for name in names}


def encoder_with(deltas):
    """Returns the text encoder with the changes that it has, in double precision."""
    encoder = CLIPTextModel.from_pretrained(MODEL / "text_encoder").double().eval()
    layers = {name.removeprefix("text_model."): layer for name, layer in encoder.named_modules()}
    for name, delta in deltas.items():
        if name.startswith("text_encoder."):
            layer = layers[name.removeprefix("text_encoder.").removeprefix("text_model.")]
            layer.weight.data += torch.from_numpy(delta)
    return encoder


def multiples(answers, lengths):
    """Returns answers relative to the states' squared lengths, as multiples of their median."""
    middle = lambda numbers: np.sort(numbers)[(len(numbers) - 1) // 2]
    relative = answers / (lengths + middle(lengths))
    return relative / middle(relative)


def ranking(path, hint=None):
    """Returns words with score, part of the UNet and part of the text encoder, the best first."""
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    words = vocabulary(tokenizer)
    compared = words + ([hint] if hint and hint not in words else [])
    deltas = changes(path)
    changes_text = any(name.startswith("text_encoder.") for name in deltas)
    base = end_states(encoder_with({}), tokenizer, compared)
    changed = end_states(encoder_with(deltas), tokenizer, compared) if changes_text else base
    step = -(-len(words) // CHUNK)
    base, changed = (states - states[: len(words) : step].mean(0) for states in (base, changed))
    unet = sum(((changed @ delta.T) ** 2).sum(1) for name, delta in deltas.items() if re.search(r"attn2\.to_[kv]$", name))
    length = lambda states: (states**2).sum(1)
    unet = multiples(unet, length(changed))
    text = multiples(length(changed - base), length(base)) if changes_text else None
    score = np.sqrt(unet * text) if changes_text else unet
    order = np.argsort(-score, kind="stable")
    part = lambda numbers, at: None if numbers is None else float(numbers[at])
    return [dict(word=compared[at], score=float(score[at]), unet=float(unet[at]), text=part(text, at)) for at in order]


def rank(found, word):
    return next(at for at, each in enumerate(found, 1) if each["word"] == word)


def table(folder):
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    words = vocabulary(tokenizer)
    for trigger, kind in TRIGGERS.items():
        path = folder / f"{trigger.replace(' ', '_')}.safetensors"
        if path.exists():
            found = ranking(path, trigger)
            best = ", ".join(each["word"] for each in found[:5])
            tokens = len(tokenizer(trigger).input_ids) - 2
            print(f"| {trigger} | {kind} | {tokens} | {rank(found, trigger)} of {len(found)} | {best} |", flush=True)


def goldens(folder):
    GOLDEN.mkdir(exist_ok=True)
    for trigger in KEPT:
        name = trigger.replace(" ", "_")
        shutil.copy(folder / f"{name}.safetensors", GOLDEN)
        found = ranking(folder / f"{name}.safetensors", trigger)
        kept = [dict(rank=at, **each) for at, each in enumerate(found, 1) if at <= FIRST or at % EVERY == 0]
        rows = ",\n".join(json.dumps(each) for each in kept)
        (GOLDEN / f"{name}.json").write_text(f'{{"compared": {len(found)}, "words": [\n{rows}\n]}}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder with the LoRAs")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    (table if arguments.table else goldens)(arguments.folder)


if __name__ == "__main__":
    main()
