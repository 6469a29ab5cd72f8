"""Writes tests/golden/masked_area/: what Pillow and OpenCV make of an image and a mask by the steps of AUTOMATIC1111's
"Only masked" (crop region with padding, proportions of the generated size, blur, resizing, paste through the mask) and
"Whole picture" (blur, resizing, rounding, paste through the doubled mask).

    pip install pillow opencv-python-headless numpy
    python tests/make/masked_area.py
"""

import json
from pathlib import Path

import cv2
import numpy
from PIL import Image, ImageOps

OUT = Path(__file__).parent.parent / "golden" / "masked_area"

# name, size of the image, white rectangle of the mask, padding (none for the whole picture), blur, size that is generated
CASES = [
    ("middle", (160, 120), (60, 40, 95, 70), 16, 4, (64, 64)),
    ("corner", (150, 97), (0, 70, 20, 97), 32, 0, (96, 64)),
    ("wide", (200, 60), (20, 10, 180, 50), 8, 3, (64, 64)),
    ("whole", (80, 80), (0, 0, 80, 80), 0, 2, (64, 96)),
    ("picture", (96, 64), (30, 20, 61, 50), None, 4, (96, 64)),
    ("picture-smaller", (170, 130), (50, 0, 110, 77), None, 6, (96, 64)),
    ("picture-sharp", (48, 40), (7, 9, 30, 40), None, 0, (64, 64)),
]


def picture(size, seed):
    width, height = size
    x, y = numpy.meshgrid(numpy.arange(width), numpy.arange(height))
    waves = [numpy.sin((x * (3 + c) + seed * 7) / 17.0) * 60 + numpy.cos((y * (5 - c) + seed) / 13.0) * 60 + 128 for c in range(3)]
    return Image.fromarray(numpy.stack(waves, -1).clip(0, 255).astype(numpy.uint8))


def span(first, end, wanted, most):
    """A span of an axis, widened to a length on both sides and moved into the image."""
    more = int(wanted - (end - first))
    first -= more // 2
    end += more - more // 2
    first, end = first - max(end - most, 0), end - max(end - most, 0)
    first, end = max(first, 0), end - min(first, 0)
    return first, min(end, most)


def fitted(image, size, covers):
    """Pillow's image in its own proportions: inside the size, edges repeated, or around it, cut."""
    wide = image.width * size[1] > size[0] * image.height
    if wide != covers and image.width * size[1] != size[0] * image.height or (not covers and wide):
        scaled = (size[0], image.height * size[0] // image.width)
    else:
        scaled = (image.width * size[1] // image.height, size[1])
    scaled = image.resize(scaled, Image.LANCZOS)
    at = (size[0] // 2 - scaled.width // 2, size[1] // 2 - scaled.height // 2)
    columns = (numpy.arange(size[0]) - at[0]).clip(0, scaled.width - 1)
    rows = (numpy.arange(size[1]) - at[1]).clip(0, scaled.height - 1)
    return Image.fromarray(numpy.asarray(scaled)[rows][:, columns])


def blurred(mask, blur):
    if not blur:
        return mask
    reach = 2 * int(2.5 * blur + 0.5) + 1
    rows = cv2.GaussianBlur(numpy.asarray(mask), (reach, 1), blur)
    return Image.fromarray(cv2.GaussianBlur(rows, (1, reach), blur))


def overlaid(image, generated, mask):
    """The generated image under what the mask keeps of the image."""
    overlay = Image.new("RGBa", image.size)
    overlay.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask))
    result = generated.convert("RGBA")
    result.alpha_composite(overlay.convert("RGBA"))
    return result.convert("RGB")


def rounded(mask, made):
    latent = numpy.around(numpy.asarray(mask.resize((made[0] // 8, made[1] // 8)), dtype=numpy.float32) / 255)
    return Image.fromarray((latent * 255).astype(numpy.uint8))


def whole_picture(image, mask, generated, _):
    made = generated.size
    image, mask = image.resize(made, Image.LANCZOS), mask.resize(made, Image.LANCZOS)
    doubled = Image.fromarray(numpy.clip(numpy.asarray(mask).astype(numpy.float32) * 2, 0, 255).astype(numpy.uint8))
    return {"start": image, "latent_mask": rounded(mask, made), "pasted": overlaid(image, generated, doubled)}


def only_masked(image, mask, generated, padding):
    size, made = image.size, generated.size
    x1, y1, x2, y2 = mask.getbbox()
    x1, y1 = max(x1 - padding, 0), max(y1 - padding, 0)
    x2, y2 = min(x2 + padding, size[0]), min(y2 + padding, size[1])
    proportion = made[0] / made[1]
    if (x2 - x1) / (y2 - y1) > proportion:
        y1, y2 = span(y1, y2, (x2 - x1) / proportion, size[1])
    else:
        x1, x2 = span(x1, x2, (y2 - y1) * proportion, size[0])
    area = (x1, y1, x2, y2)
    placed = Image.new("RGB", size)
    placed.paste(fitted(generated, (x2 - x1, y2 - y1), True), (x1, y1))
    return {
        "start": fitted(image.crop(area), made, False),
        "latent_mask": rounded(fitted(mask.crop(area), made, False), made),
        "pasted": overlaid(image, placed, mask),
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = []
    for index, (name, size, white, padding, blur, made) in enumerate(CASES):
        image, generated = picture(size, index), picture(made, index + 10)
        mask = Image.new("L", size)
        mask.paste(255, white)
        mask.save(OUT / f"{name}.mask.png")
        image.save(OUT / f"{name}.image.png")
        generated.save(OUT / f"{name}.generated.png")
        mask = blurred(mask, blur)
        steps = whole_picture if padding is None else only_masked
        for what, made_image in steps(image, mask, generated, padding).items():
            made_image.save(OUT / f"{name}.{what}.png")
        cases.append({"name": name, "padding": padding, "blur": blur, "size": made})
    (OUT / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
