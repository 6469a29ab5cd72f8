"""Loads damaged and renamed copies of recorded cases with diffusers and records how many layers it applies.

    pip install torch diffusers==0.42.1 transformers peft==0.21.2 numpy
    python tests/make/mutants_in_diffusers.py PATH_TO_LORA_LOUPE [NAME ...]

writes tests/golden/loaders/mutants.jsonl.gz, which tests/mutants.rs compares with the verdicts; NAME selects cases whose
name contains it, and keeps the other rows. A row is a case, a change of its keys (`mask` has a 1 for each changed key, in
the order of their names) and what diffusers did: the number of the model's layers with factors, or the error.
"""

import gzip
import json
import pathlib
import random
import re
import tempfile

import fixes_in_diffusers as diffusers_cases

OUT = diffusers_cases.CASES.with_name("mutants.jsonl.gz")
SUFFIX = re.compile(
    r"([._]lora\.(up|down)\.weight|\.lora_linear_layer\.(up|down)\.weight|\.lora_[AB](\.default)?\.(weight|bias)"
    r"|\.lora_(up|down|mid)\.weight|\.lora_magnitude_vector(\.default)?(\.weight)?|\.(alpha|dora_scale|diff|diff_b)"
    r"|\.(lokr|hada|oft)_\w+(\.weight)?|\.weight|\.bias)$"
)
PREFIXES = ("transformer.", "diffusion_model.", "base_model.model.", "lora_unet_", "lycoris_", "unet.")


def stem(key):
    return SUFFIX.sub("", key)


def mutations(tensors):
    """Yields changes of a case's keys: the changed keys, and the fields of the row that say what is done with them."""
    keys = sorted(tensors)
    stems = sorted({stem(key) for key in keys})
    chance = random.Random(" ".join(stems))
    of = lambda some: [key for key in keys if stem(key) in set(some)]
    others = lambda some: [key for key in keys if stem(key) not in set(some)]
    yield others(stems[::3]), {"drop": True}
    yield others([chance.choice(stems)]), {"drop": True}
    yield [], {"no_header": True}
    yield [], {"add": "some.other.tensor"}
    numbered = [one for one in stems if re.search(r"\d", one)]
    if numbered:
        lost = chance.choice(numbered)
        yield of([lost]), {"replace": [re.search(r"\d+", lost)[0], "99"]}
    for half in ("down|A", "up|B"):
        found = [key for key in keys if re.search(rf"lora_({half})\b|lora\.({half})\b|layer\.({half})\b", key)]
        if found:
            yield [chance.choice(found)], {"drop": True}
    text = [one for one in stems if re.search(r"lora_te|text_encoder", one)]
    for kind in ("(q|k|v)_proj", "(q|k|v)_proj|fc", "fc1"):
        if text:
            yield of([one for one in text if not re.search(kind, one)]), {"drop": True}
    alphas = [key for key in keys if key.endswith(".alpha")]
    if alphas and len(alphas) < len(keys):
        yield alphas[::2], {"drop": True}
        yield alphas, {"drop": True}
    if any("lora" in key for key in keys):
        yield of(stems[::2]), {"halve": True}
    mine = next((prefix for prefix in PREFIXES if any(key.startswith(prefix) for key in keys)), "")
    begin = [key for key in keys if key.startswith(mine)]
    for other in ("transformer.", "diffusion_model.", "base_model.model.", "unet.", ""):
        if other != mine:
            yield [key for key in begin if stem(key) in stems[::2]], {"prefix": [mine, other]}
            yield begin, {"prefix": [mine, other]}
    names = {"A/B": ("A.weight", "B.weight"), "down/up": ("down.weight", "up.weight")}
    for these in names.values():
        pair = next((pair for pair in names.values() if pair != these and any(f"lora_{pair[0]}" in key for key in keys)), None)
        if pair:
            yield keys, {"replace": [f"lora_{pair[0]}", f"lora_{these[0]}", f"lora_{pair[1]}", f"lora_{these[1]}"]}
            some = of(stems[::2])
            yield some, {"replace": [f"lora_{pair[0]}", f"lora_{these[0]}", f"lora_{pair[1]}", f"lora_{these[1]}"]}
    if any("lora_A.weight" in key for key in keys):
        yield keys, {"replace": ["_A.weight", "_A.default.weight", "_B.weight", "_B.default.weight"]}


def mutated(case, changed, row):
    """Returns the case with the change that a row describes."""
    tensors = {name: info for pattern, info in case["tensors"].items() for name in diffusers_cases.names(pattern)}
    values = {name: value for pattern, value in case["values"].items() for name in diffusers_cases.names(pattern)}
    changed, out, scalars = set(changed), {}, {}
    for key, (dtype, shape) in tensors.items():
        new = key
        if key in changed:
            if row.get("drop"):
                continue
            if row.get("halve"):
                axis = 0 if re.search(r"lora_(down|A)|\.down\.", key) else 1
                if "lora" in key and len(shape) > axis and shape[axis] > 2:
                    shape = [size // 2 if at == axis else size for at, size in enumerate(shape)]
            texts = row.get("replace", [])
            for old, text in zip(texts[::2], texts[1::2]):
                new = new.replace(old, text, 1)
            if "prefix" in row:
                new = row["prefix"][1] + new[len(row["prefix"][0]):]
        out[new] = [dtype, shape]
        if key in values:
            scalars[new] = values[key]
    if "add" in row:
        out[row["add"]] = ["F32", [3]]
    return dict(case, tensors=out, values=scalars, metadata={} if row.get("no_header") else case["metadata"])


def rows_of(name, case):
    tensors = {key: info for pattern, info in case["tensors"].items() for key in diffusers_cases.names(pattern)}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        path = folder / f"{name}.safetensors"
        if not diffusers_cases.write(case, path):
            return
        if "adapter_config" in case:
            (folder / "adapter_config.json").write_text(json.dumps(case["adapter_config"]))
        label, _ = diffusers_cases.inspected(path)
        if label not in diffusers_cases.NETWORKS:
            return
        for changed, row in [([], {}), *mutations(tensors)]:
            mask = "".join(str(int(key in set(changed))) for key in sorted(tensors)) if changed else ""
            new = mutated(case, changed, row)
            if not new["tensors"] or (row.get("no_header") and not case["metadata"]):
                continue
            if not diffusers_cases.write(new, path):
                continue
            found, error = diffusers_cases.loaded(path, label)
            row = {"case": name, "mask": mask, **row, "layers": len(found)}
            yield row | ({"error": error.splitlines()[0]} if error else {})


def main():
    wanted = diffusers_cases.ARGUMENTS.names
    with gzip.open(diffusers_cases.CASES, "rt") as lines:
        cases = [json.loads(line) for line in lines]
    kept = []
    if OUT.exists() and wanted:
        with gzip.open(OUT, "rt") as lines:
            kept = [row for row in map(json.loads, lines) if not any(part in row["case"] for part in wanted)]
    cases = [case for case in cases if not wanted or any(part in case["name"] for part in wanted)]
    # Networks are built once per family.
    for case in sorted(cases, key=lambda case: (case["truth"]["family"], case["name"])):
        for row in rows_of(case["name"], case["case"]):
            kept.append(row)
            print(row["case"], {key: row[key] for key in row if key not in ("case", "mask", "label")}, flush=True)
    kept.sort(key=lambda row: row["case"])
    text = "".join(json.dumps(row) + "\n" for row in kept)
    OUT.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
