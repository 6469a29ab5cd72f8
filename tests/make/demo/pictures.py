"""Renders npm packages of emoji as 64x64 images with captions: pictures.npz and captions.json in the work folder.

Noto is used for the base model and, recolored, for most LoRAs; Fluent for a LoRA; both, and Fluent High Contrast, for
the VAE. web/public/demo/LICENCES.md has their licenses. selection.json lists the images used and their weights.
"""

import io
import json
import pathlib
import re
import subprocess
import tarfile

import numpy as np
import resvg_py
from PIL import Image

SIZE = 64
NOTO = "emoji-datasource-google@16.0.0"
CONTRAST, FLUENT = "@iconify-json/fluent-emoji-high-contrast@1.2.6", "@iconify-json/fluent-emoji@1.2.7"
NAMES, KEYWORDS = "unicode-emoji-json@0.9.0", "emojilib@4.0.3"
SELECTION = json.loads(pathlib.Path(__file__).with_name("selection.json").read_text())
CATEGORIES = {"Animals & Nature", "Food & Drink", "Travel & Places", "Objects", "Activities", "Smileys & Emotion"}
LEFT_OUT = {"time", "emotion", "award-medal"}
MIRRORED = CATEGORIES - {"Smileys & Emotion"}
ONE_WAY = re.compile(
    "100|hundred|zzz|clock|watch|calendar|book|newspaper|keyboard|abacus|symbol|note|chart|banknote|hourglass|dvd|"
    "stop sign|medal|memo|thermo"
)


def fetched(package, folder):
    """Returns the package's folder; npm downloads it on first use."""
    target = folder / re.sub(r"\W+", "-", package)
    if not target.exists():
        command = ["npm", "pack", package, "--silent"]
        archive = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(folder / archive) as tar:
            tar.extractall(target, filter="data")
    return target / "package"


def on_white(picture, margin=0):
    paper = Image.new("RGBA", (SIZE, SIZE), "white")
    paper.alpha_composite(picture, (margin, margin))
    return np.array(paper.convert("RGB"))


def drawn(icons, slug, margin=2):
    """Renders an icon of an Iconify set; None if it does not exist."""
    icon = icons["icons"].get(slug)
    if icon is None:
        return None
    width, height = (icon.get(side, icons.get(side, 32)) for side in ("width", "height"))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" color="#000">{icon["body"]}</svg>'
    )
    inner = SIZE - 2 * margin
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=inner * 4, height=inner * 4))
    return on_white(Image.open(io.BytesIO(png)).convert("RGBA").resize((inner, inner), Image.LANCZOS), margin)


def wanted(entry):
    if not entry["has_img_google"]:
        return False
    if entry["short_name"] in SELECTION["besides"]:
        return True
    return entry["category"] in CATEGORIES and entry["subcategory"] not in LEFT_OUT


def plain(name):
    """Converts a caption to the tokenizer's alphabet."""
    return name.replace("’", "'").replace("-", " ").replace("_", " ").lower()


def captions(entry, name, keywords):
    """Returns the names of an image, the common one first, and up to six keywords."""
    names = list(dict.fromkeys(plain(each) for each in [name, *entry["short_names"]]))
    names = [each for each in names if re.fullmatch("[a-z0-9' ]+", each)] or [plain(name)]
    keys = [plain(each) for each in keywords]
    return names, [key for key in keys if key not in names and re.fullmatch("[a-z' ]+", key) and len(key) > 2][:6]


def make(work):
    """Writes pictures.npz (noto, contrast, fluent: (n, 64, 64, 3) bytes) and captions.json, with an entry per Noto image."""
    packages = work / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    noto = fetched(NOTO, packages)
    contrast, fluent = (json.loads((fetched(name, packages) / "icons.json").read_text()) for name in (CONTRAST, FLUENT))
    bare = lambda table: {key.replace("\ufe0f", ""): value for key, value in table.items()}
    names = bare(json.loads((fetched(NAMES, packages) / "data-by-emoji.json").read_text()))
    keywords = bare(json.loads((fetched(KEYWORDS, packages) / "dist/emoji-en-US.json").read_text()))

    entries, sets = [], {"noto": [], "contrast": [], "fluent": []}
    for entry in json.loads((noto / "emoji.json").read_text()):
        file = noto / "img/google/64" / entry["image"]
        character = "".join(chr(int(part, 16)) for part in entry["unified"].split("-")).replace("\ufe0f", "")
        if not wanted(entry) or not file.exists() or character not in names:
            continue
        name, slug = names[character]["name"].lower(), names[character]["slug"].replace("_", "-")
        if name in SELECTION["left_out"]:
            continue
        calls, keys = captions(entry, name, keywords.get(character, []))
        mirrored = entry["category"] in MIRRORED and not ONE_WAY.search(name)
        entries.append(dict(names=calls, keys=keys, core=name in SELECTION["core"], mirrored=mirrored))
        sets["noto"].append(on_white(Image.open(file).convert("RGBA")))
        for key, icons in (("contrast", contrast), ("fluent", fluent)):
            picture = drawn(icons, slug)
            sets[key] += [] if picture is None else [picture]
    np.savez_compressed(work / "pictures.npz", **{key: np.stack(pictures) for key, pictures in sets.items()})
    (work / "captions.json").write_text(json.dumps(entries))
    print(len(entries), "pictures,", sum(entry["core"] for entry in entries), "of them core")
