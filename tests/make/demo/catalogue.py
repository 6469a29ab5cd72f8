"""demo.json, the page's list of the demo's files: sizes are updated from disk, other fields are kept."""

import json
import pathlib

DEMO = pathlib.Path(__file__).resolve().parents[3] / "web" / "public" / "demo"
MODEL, LORAS, LIST = DEMO / "model", DEMO / "loras", DEMO / "demo.json"


def list_lora(file, **entry):
    """Adds a LoRA to the list, or updates its entry."""
    catalogue = json.loads(LIST.read_text())
    found = next((lora for lora in catalogue["loras"] if lora["file"] == file), None)
    if found is None:
        found = {"file": file, "size": 0}
        catalogue["loras"].append(found)
    found.update(entry)
    write(catalogue)


def write(catalogue):
    """Updates the sizes and writes the list, with one line per file and LoRA."""
    for entry in catalogue["files"]:
        entry["size"] = (MODEL / entry["path"]).stat().st_size
    for entry in catalogue["loras"]:
        entry["size"] = (LORAS / entry["file"]).stat().st_size
    line = lambda value: json.dumps(value, ensure_ascii=False)
    rows = lambda entries: "[\n" + ",\n".join(f"    {line(entry)}" for entry in entries) + "\n  ]"
    table = lambda key, value: rows(value) if key in ("files", "loras") else line(value)
    parts = [f"  {line(key)}: {table(key, value)}" for key, value in catalogue.items()]
    LIST.write_text("{\n" + ",\n".join(parts) + "\n}\n")
