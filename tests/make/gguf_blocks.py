"""Makes tests/golden/gguf: a GGUF file with a tensor of each block type of ggml, and the values that the gguf package
decodes from them.

    pip install gguf==0.19.0 numpy safetensors
    python tests/make/gguf_blocks.py
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

FOLDER = Path(__file__).parent.parent / "golden" / "gguf"
SHAPE = (3, 512)
# The package quantizes these; blocks of the others are random bits with scales of a sensible size.
QUANTIZED = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0]
# Offsets of the f16 scales in a block.
RANDOM = {Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,)}


def random_blocks(rng, kind, scales):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (SHAPE[0], SHAPE[1] // elements, size), dtype=np.uint8)
    for at in scales:
        scale = rng.normal(0, 0.01, blocks.shape[:2]).astype(np.float16)
        blocks[..., at : at + 2] = scale[..., None].view(np.uint8)
    return blocks.reshape(SHAPE[0], -1)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20)
    writer = gguf.GGUFWriter(FOLDER / "blocks.gguf", "sdxl")
    expected = {}
    for kind in [*QUANTIZED, *RANDOM]:
        if kind in QUANTIZED:
            data = gguf.quants.quantize(rng.normal(0, 0.05, SHAPE).astype(np.float32), kind)
        else:
            data = random_blocks(rng, kind, RANDOM[kind])
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = gguf.quants.dequantize(data, kind)
    # A kernel whose rows are not whole blocks, reshaped as ComfyUI-GGUF's converter does.
    kernel = rng.normal(0, 0.05, (64, 4, 3, 3)).astype(np.float32)
    data = gguf.quants.quantize(kernel.reshape(-1, 256), Type.Q8_0)
    writer.add_array("comfy.gguf.orig_shape.kernel", list(kernel.shape))
    writer.add_tensor("kernel", data, raw_dtype=Type.Q8_0)
    expected["kernel"] = gguf.quants.dequantize(data, Type.Q8_0).reshape(kernel.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, FOLDER / "blocks.safetensors")


main()
