"""Builds the demo: images, networks, LoRAs, the page's demo folder, contact sheets.

    pip install -r requirements.txt
    python make_demo.py                        # everything from random weights; hours on a CPU, half an hour on a GPU
    python make_demo.py --from-checkpoint      # from the bundled model: a better decoder and the LoRAs
    python make_demo.py --stages loras --only duotone --minutes 20

Stages run in order; each uses the results of earlier ones in the work folder and resumes where it was stopped.
"""

import argparse
import math
import os
import pathlib

import torch

import catalogue
import export
import latents
import networks
import pictures
import sheets
import tokenizer
import train_decoder
import train_lora
import train_unet
import train_vae

WORK = pathlib.Path(__file__).resolve().parents[3] / "target" / "demo"
STAGES = ("prep", "vae", "unet", "decoder", "loras", "export", "sheets")
GENTLE = ("prep", "decoder", "loras", "export", "sheets")
STEPS = {"vae": 6000, "unet": 30000, "decoder": 4000, "loras": 1500}


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=WORK, help="folder for pictures and checkpoints")
    parser.add_argument("--stages", nargs="+", choices=STAGES, help="all, in their order, if left out")
    start = f"start from the bundled model instead of random weights; the stages are then {', '.join(GENTLE)}"
    parser.add_argument("--from-checkpoint", action="store_true", help=start)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="train these LoRAs only")
    parser.add_argument("--steps", type=int, help=f"of each training; {STEPS} if left out")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end each training after so long")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="on a CPU")
    parser.add_argument("--runner", default="lora-loupe", help="the program that draws the sheets")
    parser.add_argument("--prompts", nargs="+", metavar="PROMPT", help="of the sheets; selection.json's if left out")
    return parser.parse_args()


def model(arguments):
    """Returns a folder with the current networks: those of the work folder, else the bundled ones."""
    parts = {}
    for part in ("vae", "unet", "text_encoder", "tokenizer"):
        own = arguments.work / "model" / part
        parts[part] = own if own.exists() else catalogue.MODEL / part
    return parts


def prep(arguments, _):
    pictures.make(arguments.work)
    if not arguments.from_checkpoint:
        tokenizer.make(arguments.work)


def vae(arguments, steps):
    _, sets = latents.read(arguments.work)
    trained = train_vae.train(sets, arguments.work, steps, arguments.minutes)
    trained.save_pretrained(arguments.work / "model" / "vae")


def unet(arguments, steps):
    folder = arguments.work / "model"
    opened = networks.opened(model(arguments)) if arguments.from_checkpoint else networks.fresh(folder)
    entries, _ = latents.read(arguments.work)
    fraction = 0.5 if arguments.from_checkpoint else 1.0
    cached = latents.make(arguments.work, opened.vae)
    train_unet.train(opened, entries, cached, arguments.work, steps, arguments.minutes, fraction)
    opened.unet.save_pretrained(folder / "unet")
    opened.text_encoder.save_pretrained(folder / "text_encoder")


def decoder(arguments, steps):
    opened = networks.opened(model(arguments))
    entries, sets = latents.read(arguments.work)
    cached = latents.make(arguments.work, opened.vae)
    noto = latents.unit(sets["noto"])
    piles = {"noto": sets["noto"], "mirrored": sets["noto"].flip(-1)}
    piles |= {style: latents.back(latents.styled(style, noto)) for style in latents.STYLES}
    names = [entry["names"][0] for entry in entries] * len(piles)
    wanted, given = torch.cat(list(piles.values())), torch.cat([cached[name] for name in piles])
    train_decoder.train(opened, wanted, given, names, arguments.work, steps, arguments.minutes)
    opened.vae.save_pretrained(arguments.work / "model" / "vae")


def loras(arguments, steps):
    output = arguments.work / "loras"
    output.mkdir(exist_ok=True)
    for name, recipe in train_lora.RECIPES.items():
        if not arguments.only or name in arguments.only:
            opened = networks.opened(model(arguments))
            entries, _ = latents.read(arguments.work)
            cached = latents.make(arguments.work, opened.vae)
            train_lora.train(recipe, opened, entries, cached, arguments.work, output, steps, arguments.minutes)


def main():
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    run = dict(
        prep=prep, vae=vae, unet=unet, decoder=decoder, loras=loras,
        export=lambda *_: export.export(arguments.work, arguments.only),
        sheets=lambda *_: sheets.make(arguments.work, arguments.runner, arguments.prompts),
    )
    for stage in STAGES:
        if stage in (arguments.stages or (GENTLE if arguments.from_checkpoint else STAGES)):
            print(stage, flush=True)
            run[stage](arguments, arguments.steps or STEPS.get(stage))


if __name__ == "__main__":
    main()
