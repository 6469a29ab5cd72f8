"""Contact sheets from `lora-loupe generate`: the base model at 4, 8 and 25 steps, each LoRA at -1 to 1.5."""

import json
import pathlib
import subprocess
import tempfile

from PIL import Image, ImageDraw

import catalogue
from pictures import SELECTION

STEPS, STRENGTHS = (4, 8, 25), (-1, -0.5, 0, 0.5, 1, 1.5)
CELL, LINE = 128, 14


def draw(runner, prompt, steps, lora=None, strength=0.0):
    """Generates an image with `lora-loupe generate`, the demo's guidance and sampler, and seed 0."""
    defaults = json.loads(catalogue.LIST.read_text())["defaults"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "out.png"
        command = [runner, "generate", "--model", catalogue.MODEL, "--prompt", prompt, "--steps", steps, "--seed", 0]
        command += ["--cfg", defaults["guidance"], "--sampler", defaults["sampler"], "--output", path]
        command += ["--lora", f"{lora}={strength}"] if lora and strength else []
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        return Image.open(path).convert("RGB").resize((CELL, CELL), Image.LANCZOS)


def sheet(path, rows, columns, cell):
    """Writes a grid with column and row labels; `cell(row, column)` returns the image of a cell."""
    picture = Image.new("RGB", (60 + CELL * len(columns), LINE + CELL * len(rows)), "white")
    pen = ImageDraw.Draw(picture)
    for i, column in enumerate(columns):
        pen.text((62 + i * CELL, 1), column[:21], fill="black")
    for j, row in enumerate(rows):
        pen.text((2, LINE + j * CELL + CELL // 2), str(row), fill="black")
        for i, column in enumerate(columns):
            picture.paste(cell(row, column), (60 + i * CELL, LINE + j * CELL))
            picture.save(path)


def make(work, runner, prompts=None):
    """Writes SHEETS/base.png and one sheet per LoRA to the work folder, for the given prompts or all shown ones."""
    folder, prompts = work / "sheets", prompts or SELECTION["shown"]
    folder.mkdir(exist_ok=True)
    sheet(folder / "base.png", STEPS, prompts, lambda steps, prompt: draw(runner, prompt, steps))
    for lora in sorted(catalogue.LORAS.glob("*.safetensors")):
        cell = lambda strength, prompt: draw(runner, prompt, 8, lora, strength)
        sheet(folder / f"{lora.stem}.png", STRENGTHS, prompts, cell)
