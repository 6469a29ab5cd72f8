"""Times PyTorch on a graphics card: a guided UNet call of SD 1.5 at 512x512 and SDXL at 1024x1024 with random weights,
and single operations. Prints JSON. `cargo xtask card` puts it beside the program, with diffusers and what diffusers needs
besides PyTorch and NumPy. What the machine has goes first.

    python3 peer.py [small]
"""

import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "python"))

import torch

SMALL = sys.argv[1:] == ["small"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROUNDS = 2 if SMALL else 10

# The published configurations; what is not named here is diffusers' default.
SD15 = dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
SDXL = dict(
    sample_size=128,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    block_out_channels=(320, 640, 1280),
    transformer_layers_per_block=(1, 2, 10),
    attention_head_dim=(5, 10, 20),
    cross_attention_dim=2048,
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)
# The same networks with a tenth of the channels, for a look at this script on a processor.
THIN = dict(block_out_channels=(32, 64, 128, 128), attention_head_dim=4)
THIN_XL = dict(block_out_channels=(32, 64, 128), attention_head_dim=(1, 2, 4))


def milliseconds(call):
    """The shortest of some calls, after two to warm up."""
    best = float("inf")
    for index in range(ROUNDS + 2):
        started = time.perf_counter()
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        if index >= 2:
            best = min(best, time.perf_counter() - started)
    return best * 1e3


def precisions():
    """Names, types, and whether TF32 may multiply."""
    yield "fp32", torch.float32, False
    if DEVICE == "cuda":
        yield "tf32", torch.float32, True
        yield "fp16", torch.float16, False


def unet(name, config, size, rows):
    from diffusers import UNet2DConditionModel

    for precision, dtype, tf32 in precisions():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.set_default_dtype(dtype)
        with torch.device(DEVICE):
            net = UNet2DConditionModel(**config).eval()
        for layout in (torch.contiguous_format, torch.channels_last):
            net = net.to(memory_format=layout)
            side = size // 8
            sample = torch.randn(2, 4, side, side, device=DEVICE, dtype=dtype).to(memory_format=layout)
            text = torch.randn(2, 77, config["cross_attention_dim"], device=DEVICE, dtype=dtype)
            added = None
            if "addition_embed_type" in config:
                added = {
                    "text_embeds": torch.randn(2, 1280, device=DEVICE, dtype=dtype),
                    "time_ids": torch.zeros(2, 6, device=DEVICE, dtype=dtype),
                }
            moment = torch.tensor(500, device=DEVICE)
            with torch.inference_mode():
                ms = milliseconds(lambda: net(sample, moment, text, added_cond_kwargs=added))
            what = precision + (", channels last" if layout == torch.channels_last else "")
            rows.append([f"PyTorch: UNet step with guidance: {name} at {size}x{size}", what, ms])
        del net


def operations(rows):
    """The shapes of crate/src/bench/cases.rs that weigh most."""
    scale = 4 if SMALL else 1
    for precision, dtype, tf32 in precisions():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        make = lambda *shape: torch.randn(*shape, device=DEVICE, dtype=dtype)
        for batch, edge, width in [(2, 64, 320), (2, 32, 640), (2, 16, 1280)]:
            edge //= scale
            x, weight, bias = make(batch, width, edge, edge), make(width, width, 3, 3), make(width)
            for layout in (torch.contiguous_format, torch.channels_last):
                x, weight = x.to(memory_format=layout), weight.to(memory_format=layout)
                ms = milliseconds(lambda: torch.nn.functional.conv2d(x, weight, bias, padding=1))
                what = precision + (", channels last" if layout == torch.channels_last else "")
                rows.append([f"PyTorch: {batch} x conv 3x3 {width} to {width} at {edge}x{edge}", what, ms])
        for height, inner, width in [(8192, 320, 2560), (2048, 640, 640), (2048, 1280, 10240)]:
            height //= scale
            x, weight = make(height, inner), make(width, inner)
            ms = milliseconds(lambda: torch.nn.functional.linear(x, weight))
            rows.append([f"PyTorch: matmul {height} x {inner} x {width}", precision, ms])
        for batch, tokens, heads, width in [(2, 4096, 8, 40), (2, 1024, 20, 64)]:
            tokens //= scale
            q, k, v = (make(batch, heads, tokens, width) for _ in range(3))
            ms = milliseconds(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v))
            rows.append([f"PyTorch: {batch} x attention {tokens} tokens, {heads} heads of {width}", precision, ms])


rows, notes = [], []
with torch.inference_mode():
    operations(rows)
for name, config, thin, size in [("sd15", SD15, THIN, 512), ("sdxl", SDXL, THIN_XL, 1024)]:
    try:
        if SMALL:
            unet(f"thin {name}", config | thin, size // 8, rows)
        else:
            unet(name, config, size, rows)
    except Exception as error:  # What was measured before counts, whatever fails: a module, memory, a driver.
        notes.append(f"{name}: {type(error).__name__}: {error}")
name = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"
print(json.dumps({"torch": torch.__version__, "device": name, "notes": notes, "rows": rows}))
