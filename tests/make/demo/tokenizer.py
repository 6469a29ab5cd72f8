"""A small CLIP tokenizer: the first 800 of CLIP's merges, and all those that the captions use."""

import gzip
import json
import pathlib
import re

from transformers import CLIPTokenizer

from pictures import SELECTION

MERGES = pathlib.Path(__file__).resolve().parents[3] / "crate" / "src" / "text" / "clip_merges.txt.gz"
FIRST = 800
START, END = "<|startoftext|>", "<|endoftext|>"


def letters():
    """Returns CLIP's characters for the 256 bytes, in its order."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + i) for i in range(len(hidden))]


def used(word, rank):
    """Returns the indices of the merges that a word needs."""
    parts, numbers = [*word[:-1], word[-1] + "</w>"], set()
    while len(parts) > 1:
        number, pair = min((rank.get(pair, len(rank)), pair) for pair in zip(parts, parts[1:]))
        if number == len(rank):
            break
        numbers.add(number)
        joined, i = [], 0
        while i < len(parts):
            whole = tuple(parts[i : i + 2]) == pair
            joined.append("".join(pair) if whole else parts[i])
            i += 2 if whole else 1
        parts = joined
    return numbers


def make(work):
    """Writes MODEL/tokenizer to the work folder."""
    merges = [tuple(line.split()) for line in gzip.decompress(MERGES.read_bytes()).decode().split("\n")[1:] if line]
    rank = {pair: number for number, pair in enumerate(merges)}
    entries = json.loads((work / "captions.json").read_text())
    names = [name for entry in entries for name in entry["names"] + entry["keys"]]
    words = {word for name in names for word in re.findall("[a-z]+", name)}
    words |= {word for word in SELECTION["words"] if word.isalpha()}
    numbers = set(range(FIRST)).union(*(used(word, rank) for word in words))
    kept = [merges[number] for number in sorted(numbers)]
    tokens = letters() + [letter + "</w>" for letter in letters()] + ["".join(pair) for pair in kept] + [START, END]

    folder = work / "model" / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False)
    lines = "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in kept) + "\n"
    (folder / "vocab.json").write_text(vocabulary)
    (folder / "merges.txt").write_text(lines)
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77).save_pretrained(folder)
    (folder / "vocab.json").write_text(vocabulary)  # newer versions save only tokenizer.json, which the page does not read
    (folder / "merges.txt").write_text(lines)
    special = dict(bos_token=START, eos_token=END, pad_token=END, unk_token=END)
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer.json").unlink(missing_ok=True)
    print(len(tokens), "tokens")
