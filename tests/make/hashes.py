"""Writes sd-scripts' hashes of a file with known bytes: golden/edit/hashes.json.

    pip install torch safetensors
    python tests/make/hashes.py

Byte i of the data is (i * i * 31 + i // 7) % 251, as in tests/edit.rs. The hashes follow
sd-scripts' precalculate_safetensors_hashes: of the file saved with `ss_` metadata alone, the SHA-256 of
what follows the header, and the first 8 digits of that of 64 KiB at 1 MiB.
"""

import hashlib
import json
import pathlib

import torch
from safetensors.torch import save

SHAPE = [700, 1000]
index = torch.arange(2 * 700 * 1000, dtype=torch.int64)
data = ((index * index * 31 + index // 7) % 251).to(torch.uint8).view(torch.float16).reshape(SHAPE)
cases = []
for metadata in ({"ss_note": "naïve \"quoted\"", "ss_steps": "3", "modelspec.title": "t"}, {"modelspec.title": "t"}):
    kept = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    saved = save({"a.lora_up.weight": data}, kept)
    start = 8 + int.from_bytes(saved[:8], "little")
    model = hashlib.sha256(saved[start:]).hexdigest()
    legacy = hashlib.sha256(saved[0x100000:0x110000]).hexdigest()[:8]
    cases.append({"metadata": metadata, "sshs_model_hash": model, "sshs_legacy_hash": legacy, "header": saved[8:start].decode()})
out = pathlib.Path(__file__).resolve().parent.parent / "golden" / "edit" / "hashes.json"
out.write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
