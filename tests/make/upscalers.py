"""Writes spandrel's outputs for small upscaling networks: golden/upscalers/.

Weights and images are not stored: both sides compute them from (seed, index), see `numbers` of ops.py. Spandrel itself
recognizes each network by its keys and shapes. `compact.pth` is a file as Real-ESRGAN's authors write it. `tiled` is its
enlargement of an image in tiles, put together with Pillow as AUTOMATIC1111's web UI does, and Pillow's Lanczos of that.

    pip install torch numpy safetensors spandrel pillow==9.5.0  # the version that the web UI pins: others resize in another order
    python tests/make/upscalers.py
"""

import json
import math
import pathlib
import re

import numpy as np
import torch
from ops import nchw, nhwc, numbers
from PIL import Image
from safetensors.numpy import save_file
from spandrel import ModelLoader
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN

torch.set_num_threads(1)
HERE = pathlib.Path(__file__).resolve().parent.parent / "golden" / "upscalers"
# Samples of an output.
COUNT = 512


def trunk_spelling(key, blocks, ups):
    """The spelling of ESRGAN's later files, from that of its first ones."""
    key = re.sub(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0", r"RRDB_trunk.\1.RDB\2.conv\3", key)
    key = key.replace("model.0.", "conv_first.").replace(f"model.1.sub.{blocks}.", "trunk_conv.")
    for up in range(1, ups + 1):
        key = key.replace(f"model.{3 * up}.", f"upconv{up}.")
    return key.replace(f"model.{3 * ups + 2}.", "HRconv.").replace(f"model.{3 * ups + 4}.", "conv_last.")


def basicsr_spelling(key, blocks, ups):
    """BasicSR's spelling."""
    key = re.sub(r"RRDB_trunk\.(\d+)\.RDB(\d)", r"body.\1.rdb\2", trunk_spelling(key, blocks, ups))
    return key.replace("trunk_conv", "conv_body").replace("upconv", "conv_up").replace("HRconv", "conv_hr")


def rrdb(width, blocks, ups, spelling=None, unshuffle=1, plus=False):
    net = ESRGAN(in_nc=3 * unshuffle**2, num_filters=width, num_blocks=blocks, scale=2**ups, plus=plus, shuffle_factor=unshuffle if unshuffle > 1 else None)
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    return {spelling(key, blocks, ups) if spelling else key: shape for key, shape in shapes.items()}


def compact(width, convs, scale):
    net = Compact(num_feat=width, num_conv=convs, upscale=scale)
    return {key: list(value.shape) for key, value in net.state_dict().items()}


def cases():
    """Yields (name, shapes of the tensors, image's height and width)."""
    yield "first spelling x4", rrdb(12, 2, 2), (7, 6)
    yield "first spelling x2, unaligned", rrdb(6, 1, 1), (5, 7)
    yield "first spelling x1", rrdb(8, 1, 0), (6, 5)
    yield "first spelling x8", rrdb(8, 1, 3), (3, 4)
    yield "later spelling x4", rrdb(8, 1, 2, trunk_spelling), (5, 4)
    yield "BasicSR's spelling x4", rrdb(8, 2, 2, basicsr_spelling), (4, 5)
    yield "Real-ESRGAN x2", rrdb(8, 1, 2, basicsr_spelling, 2), (8, 10)
    yield "Real-ESRGAN x1", rrdb(8, 1, 2, basicsr_spelling, 4), (8, 12)
    yield "ESRGAN+ x4", rrdb(8, 2, 2, plus=True), (5, 6)
    yield "Compact x4", compact(16, 3, 4), (9, 7)
    yield "Compact x2, unaligned", compact(6, 2, 2), (5, 8)
    yield "Compact x1", compact(8, 1, 1), (6, 4)


def weights(seed, shapes):
    """Biases up to 0.1, slopes from 0.1 to 0.4, and weights that keep the maps of order 1."""
    state = {}
    for index, (key, shape) in enumerate(sorted(shapes.items())):
        if len(shape) == 4:
            state[key] = numbers(seed + index, shape, float(np.float32((3 / math.prod(shape[1:])) ** 0.5)))
        else:
            state[key] = numbers(seed + index, shape, *((0.1, 0.0) if key.endswith("bias") else (0.15, 0.25)))
    return state


def load(state):
    model = ModelLoader().load_from_state_dict(dict(state))
    # Parameters are copied: spandrel may rename them in place.
    return model, model.model.eval()


def sample(values):
    flat = values.reshape(-1)
    return flat[np.unique(np.linspace(0, flat.size - 1, min(flat.size, COUNT)).round().astype(np.int64))].copy()


def upscale_8_bit(net, image):
    """A1111 gives the network the channels in reverse."""
    x = torch.from_numpy(np.asarray(image)[:, :, ::-1].astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.inference_mode():
        y = net(x)[0].clamp(0, 1).permute(1, 2, 0).numpy()
    return Image.fromarray((y * 255).round().astype(np.uint8)[:, :, ::-1].copy())


def starts(length, tile, overlap):
    count = math.ceil((length - overlap) / (tile - overlap))
    return [min(int(index * ((length - tile) / (count - 1))), length - tile) for index in range(count)]


def ramp(overlap, other):
    return np.tile((np.arange(overlap, dtype=np.float32) * 255 / overlap).astype(np.uint8), (other, 1))


def tiled(net, image, tile, overlap, scale):
    """Each tile is pasted over those left of it, and each row over those above, through a ramp."""
    (width, height), fade = image.size, overlap * scale
    whole = Image.new("RGB", (width * scale, height * scale))
    for y in starts(height, tile, overlap):
        row = Image.new("RGB", (width * scale, tile * scale))
        for x in starts(width, tile, overlap):
            part = upscale_8_bit(net, image.crop((x, y, x + tile, y + tile)))
            mask = Image.new("L", part.size, 255)
            if x > 0:
                mask.paste(Image.fromarray(ramp(fade, part.height)), (0, 0))
            row.paste(part, (x * scale, 0), mask)
        mask = Image.new("L", row.size, 255)
        if y > 0:
            mask.paste(Image.fromarray(ramp(fade, row.width).T.copy()), (0, 0))
        whole.paste(row, (0, y * scale), mask)
    return whole


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    listed, tensors = [], {}
    for index, (name, shapes, (height, width)) in enumerate(cases()):
        seed = 1000 * (index + 1)
        state = weights(seed, shapes)
        model, net = load(state)
        image = numbers(seed - 1, [1, height, width, 3], 0.5, 0.5)
        with torch.inference_mode():
            out = nhwc(net.double()(nchw(image).double())).float().contiguous().numpy()
        assert out.shape == (1, height * model.scale, width * model.scale, 3), (name, out.shape)
        tensors[str(index)] = sample(out)
        listed.append({"name": name, "architecture": model.architecture.name, "tags": model.tags, "scale": model.scale, "shapes": shapes, "size": [height, width]})
    shapes = compact(4, 1, 2)
    state = weights(90000, shapes)
    torch.save({"params": weights(91000, shapes), "params_ema": state}, HERE / "compact.pth")
    _, net = load(state)
    pixels = ((numbers(89999, [20, 31, 3], 0.5, 0.5).numpy() * 255).round()).astype(np.uint8)
    image = Image.fromarray(pixels)
    enlarged = tiled(net, image, 12, 3, 2)
    tensors["tiled"] = np.asarray(enlarged)
    tensors["untiled"] = np.asarray(upscale_8_bit(net, image))
    tensors["lanczos"] = np.asarray(enlarged.resize((75, 33), Image.Resampling.LANCZOS))
    save_file(tensors, HERE / "outputs.safetensors")
    (HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in listed) + "\n]\n")
    print(len(listed), "networks,", sum(t.nbytes for t in tensors.values()), "bytes, torch", torch.__version__)


if __name__ == "__main__":
    main()
