"""Writes PyTorch's outputs for a list of operation cases: golden/ops/ops.json and ops.safetensors.

Inputs are not stored: both sides compute them from (seed, index), see `numbers` and its Rust
equivalent in harness/numbers.rs. Outputs are sampled at up to 1024 evenly spaced indices.

    pip install torch numpy safetensors
    python tests/make/ops.py
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

torch.set_num_threads(1)
# Run-time scalar of axpy.
NUMBER = 0.5
HERE = pathlib.Path(__file__).resolve().parent.parent / "golden" / "ops"


def numbers(seed, shape, scale=1.0, shift=0.0):
    """Returns uniform values in (-1, 1) with 24 bits, exact in f32 and reproducible in any language."""
    count = int(np.prod(shape))
    x = (np.arange(count, dtype=np.uint64) * 2654435761 + seed * 40503) & 0xFFFFFFFF
    for _ in range(2):
        x ^= x >> np.uint64(16)
        x = (x * 0x45D9F3B) & 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    unit = (x >> np.uint64(8)).astype(np.float32) / np.float32(2**23) - np.float32(1)
    return torch.from_numpy((unit * np.float32(scale) + np.float32(shift)).reshape(shape))


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def attention(q, k, v, heads, causal):
    split = lambda t: t.reshape(t.shape[0], -1, heads, t.shape[-1] // heads).transpose(1, 2)
    out = F.scaled_dot_product_attention(split(q), split(k), split(v), is_causal=causal)
    return out.transpose(1, 2).reshape(q.shape)


def run(op, f, x):
    if op == "matmul":
        rows = torch.cat([x[0], x[-1]], -1) if f.get("prologue") == "concat" else x[0]
        out = rows @ (x[1].T if f["transpose_b"] else x[1])
        return out + x[2] if f["bias"] else out
    if op == "conv2d":
        outputs, kernel = x[1].shape[0], f["kernel"]
        weight = x[1].reshape(outputs, kernel, kernel, -1).permute(0, 3, 1, 2)
        return nhwc(F.conv2d(nchw(x[0]), weight, x[2] if f["bias"] else None, f["stride"], f["padding"]))
    if op == "group_norm":
        both = torch.cat([x[0], x[3]], -1) if f.get("concat") else x[0]
        out = nhwc(F.group_norm(nchw(both), f["groups"], x[1], x[2], f["eps"]))
        return F.silu(out) if f["silu"] else out
    if op == "layer_norm":
        return F.layer_norm(x[0], x[0].shape[-1:], x[1], x[2], f["eps"])
    if op == "attention":
        # One input is QKV fused, two are queries and fused keys and values.
        q, k, v = x if len(x) == 3 else x[0].chunk(3, -1) if len(x) == 1 else (x[0], *x[1].chunk(2, -1))
        return attention(q, k, v, f["heads"], f["causal"])
    if op == "unary":
        if f["function"] == "silu":
            return F.silu(x[0])
        if f["function"] == "gelu":
            return F.gelu(x[0])
        if f["function"] == "leaky_relu":
            return F.leaky_relu(x[0], 0.2)
        return x[0] * torch.sigmoid(1.702 * x[0])
    if op == "add":
        y = x[1]
        if f["broadcast"] == "pixels":
            y = y.reshape(y.shape[0], 1, 1, y.shape[1])
        return x[0] + y
    if op == "axpy":
        return x[0] + (1 if f.get("gate") else NUMBER) * f["factor"] * x[1]
    if op == "concat":
        return torch.cat(x, -1)
    if op == "geglu":
        hidden, gate = x[0].chunk(2, -1)
        return hidden * F.gelu(gate)
    if op == "upsample":
        return nhwc(F.interpolate(nchw(x[0]), size=(f["height"], f["width"]), mode="nearest"))
    if op == "prelu":
        return torch.where(x[0] < 0, x[0] * x[1], x[0])
    if op == "pixel_shuffle":
        return nhwc((F.pixel_unshuffle if f["inverse"] else F.pixel_shuffle)(nchw(x[0]), f["factor"]))
    if op == "rows":
        return torch.cat([map[:, start : start + count] for map, (start, count) in zip(x, f["parts"])], 1)
    if op == "moments":
        strip = x[0][:, f["start"] : f["start"] + f["count"]]
        grouped = strip.reshape(strip.shape[0], -1, f["groups"], strip.shape[-1] // f["groups"]).permute(0, 2, 1, 3).flatten(2)
        n, mean = grouped.shape[2], grouped.mean(2)
        squares = ((grouped - mean[..., None]) ** 2).sum(2)
        if len(x) == 2:
            before, m, s = x[1].unbind(-1)
            squares = s + squares + (mean - m) ** 2 * before * n / (before + n)
            mean, n = (m * before + mean * n) / (before + n), before + n
        return torch.stack([torch.zeros_like(mean) + n, mean, squares], -1)
    if op == "normalize":
        each = lambda t: t.repeat_interleave(x[0].shape[-1] // x[1].shape[1], 1)[:, None, None]
        count, mean, squares = (each(t) for t in x[1].unbind(-1))
        out = (x[0] - mean) / (squares / count + f["eps"]).sqrt() * x[2] + x[3]
        return F.silu(out) if f["silu"] else out
    if op == "rotate" and f.get("axis") == "columns":
        # The transpose, with a kernel's positions as the faster axis of the rows.
        (count, columns), area = x[1].shape, f["area"]
        y = x[1].T.reshape(area, -1, count).transpose(0, 1).reshape(columns, count)
        y = run(op, {"stride": f["stride"]}, [x[0], y])
        return y.reshape(-1, area, count).transpose(0, 1).reshape(columns, count).T.contiguous()
    if op == "rotate":
        rows, columns = x[1].shape
        size, stride = x[0].shape[-1], f["stride"]
        y = x[1] if stride == 0 else x[1].reshape(-1, 2, stride, columns).transpose(1, 2).reshape(rows, columns)
        y = (x[0] @ y.reshape(-1, size, columns)).reshape(rows, columns)
        return y if stride == 0 else y.reshape(-1, stride, 2, columns).transpose(1, 2).reshape(rows, columns)
    if op == "scale":
        return x[0] * (x[1][:, None] if f["axis"] == "rows" else x[1].repeat(x[0].shape[-1] // x[1].shape[0]))
    if op == "renorm":
        if f["axis"] == "rows":
            return x[2][:, None] * x[1] / x[1].norm(dim=1, keepdim=True) - x[0]
        y = x[1].reshape(x[1].shape[0], -1, x[2].shape[0])
        return (x[2] * y / y.norm(dim=(0, 1), keepdim=True)).reshape(x[0].shape) - x[0]
    raise ValueError(op)


def cases():
    """Yields (operation, fields, input shapes): production shapes of SD 1.5 first, then unaligned ones."""
    for m, k, n, bias in [(1024, 640, 640, True), (77, 768, 320, False), (2, 1280, 320, True), (1, 3, 5, True), (65, 17, 129, True), (130, 1, 1, False), (63, 64, 66, False)]:
        yield "matmul", {"transpose_b": True, "bias": bias}, [[1, m, k], [n, k]] + ([[n]] if bias else [])
    for m, k, n in [(640, 16, 640), (320, 4, 2880), (7, 3, 65), (1, 1, 1)]:
        yield "matmul", {"transpose_b": False, "bias": False}, [[m, k], [k, n]]
    for b, h, w, c, o, kernel, stride, padding, bias in [
        (1, 16, 16, 320, 320, 3, 1, 1, True), (2, 16, 16, 320, 320, 3, 2, 1, True), (1, 32, 32, 4, 320, 3, 1, 1, True),
        (1, 24, 24, 128, 3, 3, 1, 1, True), (1, 9, 13, 5, 7, 3, 1, 1, True), (2, 5, 3, 24, 24, 3, 1, 1, False),
        (1, 7, 5, 3, 66, 3, 2, 1, True), (1, 1, 1, 40, 40, 3, 1, 1, True), (1, 6, 6, 3, 2, 5, 1, 2, False),
    ]:
        yield "conv2d", {"kernel": kernel, "stride": stride, "padding": padding, "bias": bias}, [[b, h, w, c], [o, kernel * kernel * c]] + ([[o]] if bias else [])
    for b, h, w, c, groups, eps, act in [
        (2, 32, 32, 320, 32, 1e-5, True), (1, 16, 16, 1280, 32, 1e-6, False), (1, 64, 64, 128, 32, 1e-6, True),
        (1, 1, 1, 40, 8, 1e-5, True), (2, 9, 13, 24, 8, 1e-6, False), (1, 5, 3, 7, 7, 1e-5, False), (1, 3, 5, 6, 1, 1e-5, True),
    ]:
        yield "group_norm", {"groups": groups, "eps": eps, "silu": act}, [[b, h, w, c], [c], [c]]
    for rows, d in [(1024, 320), (154, 768), (64, 1280), (1, 5), (3, 65), (77, 48)]:
        yield "layer_norm", {"eps": 1e-5}, [[1, rows, d], [d], [d]]
    for b, t, s, heads, size, causal in [
        (1, 256, 256, 8, 40, False), (2, 256, 77, 8, 80, False), (1, 64, 64, 8, 160, False), (1, 77, 77, 12, 64, True),
        (1, 64, 64, 1, 512, False), (1, 15, 15, 1, 24, False), (2, 117, 77, 8, 2, False), (1, 1, 1, 8, 5, False),
        (1, 33, 7, 3, 13, False), (2, 19, 19, 4, 12, True), (1, 5, 70, 1, 1000, False),
    ]:
        yield "attention", {"heads": heads, "causal": causal}, [[b, t, heads * size], [b, s, heads * size], [b, s, heads * size]]
    for function in ["silu", "gelu", "quick_gelu"]:
        for count in [77 * 3072, 1, 257]:
            yield "unary", {"function": function}, [[count]]
    yield "add", {"broadcast": "none"}, [[1, 32, 32, 320], [1, 32, 32, 320]]
    yield "add", {"broadcast": "batch"}, [[2, 77, 768], [77, 768]]
    yield "add", {"broadcast": "pixels"}, [[2, 16, 16, 320], [2, 320]]
    yield "add", {"broadcast": "pixels"}, [[3, 5, 3, 7], [3, 7]]
    yield "axpy", {"scalar": 0, "factor": 0.25}, [[640, 640], [640, 640]]
    yield "axpy", {"scalar": 0, "factor": -5.25}, [[3, 7], [3, 7]]
    yield "axpy", {"scalar": 0, "factor": 0.0}, [[5], [5]]
    yield "concat", {}, [[2, 16, 16, 640], [2, 16, 16, 320]]
    yield "concat", {}, [[1, 5, 3, 7], [1, 5, 3, 2]]
    yield "geglu", {}, [[1, 256, 2560]]
    yield "geglu", {}, [[1, 3, 10]]
    yield "upsample", {"height": 32, "width": 32}, [[1, 16, 16, 320]]
    yield "upsample", {"height": 9, "width": 13}, [[2, 5, 7, 6]]
    yield "upsample", {"height": 3, "width": 2}, [[1, 2, 1, 3]]
    for blocks, size, columns, stride in [(160, 8, 640, 0), (4, 80, 2880, 0), (160, 8, 320, 4), (160, 8, 320, 64), (3, 5, 7, 0), (2, 6, 5, 3)]:
        yield "rotate", {"stride": stride}, [[blocks, size, size], [blocks * size, columns]]
    for axis, rows, columns, count in [("rows", 640, 768, 640), ("columns", 320, 2880, 320), ("rows", 3, 5, 3), ("columns", 7, 6, 2)]:
        yield "scale", {"axis": axis}, [[rows, columns], [count]]
    for axis, rows, columns, count in [("rows", 640, 768, 640), ("columns", 320, 2880, 320), ("columns", 640, 768, 768), ("rows", 3, 5, 3), ("columns", 7, 6, 2)]:
        yield "renorm", {"axis": axis}, [[rows, columns], [rows, columns], [count]]
    for batch, width, channels, heights, parts in [
        (1, 32, 64, [16, 16, 16], [(15, 1), (0, 16), (0, 1)]), (2, 3, 5, [4], [(1, 2)]), (1, 7, 3, [2, 3, 1, 4, 2, 5], [(0, 2), (1, 2), (0, 1), (3, 1), (0, 1), (2, 3)]), (2, 2, 2, [3, 3], [(0, 3), (0, 0)]),
    ]:
        yield "rows", {"parts": parts}, [[batch, height, width, channels] for height in heights]
    for b, h, w, c, groups, start, count, goes_on in [(1, 18, 64, 128, 32, 1, 16, True), (1, 4, 64, 128, 32, 0, 4, False), (2, 5, 3, 6, 3, 2, 3, True), (1, 1, 1, 8, 8, 0, 1, False)]:
        yield "moments", {"groups": groups, "start": start, "count": count}, [[b, h, w, c]] + ([[b, groups, 3]] if goes_on else [])
    for b, h, w, c, groups, act in [(1, 16, 64, 128, 32, True), (2, 3, 5, 6, 3, False)]:
        yield "normalize", {"eps": 1e-6, "silu": act}, [[b, h, w, c], [b, groups, 3], [c], [c]]
    # Inputs read in place: two concatenated tensors, and fused QKV.
    for m, left, right, n, bias in [(70, 40, 24, 36, True), (5, 4, 12, 8, False)]:
        yield "matmul", {"transpose_b": True, "bias": bias, "prologue": "concat"}, [[1, m, left], [n, left + right]] + ([[n]] if bias else []) + [[1, m, right]]
    for b, h, w, left, right, groups in [(1, 6, 4, 80, 40, 8), (2, 3, 5, 3, 5, 4)]:
        yield "group_norm", {"groups": groups, "eps": 1e-5, "silu": True, "concat": True}, [[b, h, w, left], [left + right], [left + right], [b, h, w, right]]
    for b, t, s, heads, size, causal in [(1, 37, 37, 4, 8, True), (2, 9, 9, 3, 5, False), (1, 33, 19, 2, 12, False)]:
        shapes = [[b, t, 3 * heads * size]] if t == s else [[b, t, heads * size], [b, s, 2 * heads * size]]
        yield "attention", {"heads": heads, "causal": causal}, shapes
    # Enough tiles for Winograd: a batch of two with odd sizes, tiles in three chunks.
    for b, h, w, c, o in [(1, 32, 32, 128, 128), (2, 23, 25, 8, 12), (1, 33, 35, 4, 1024)]:
        yield "conv2d", {"kernel": 3, "stride": 1, "padding": 1, "bias": True}, [[b, h, w, c], [o, 9 * c], [o]]
    for blocks, size, rows, stride, area in [(40, 32, 320, 0, 1), (90, 32, 320, 0, 9), (80, 8, 24, 16, 1), (6, 3, 5, 0, 9), (2, 6, 5, 3, 1), (4, 6, 5, 6, 4)]:
        yield "rotate", {"axis": "columns", "stride": stride, "area": area}, [[blocks, size, size], [rows, blocks * size]]
    yield "axpy", {"scalar": 0, "factor": 0.75, "gate": True}, [[3, 7], [3, 7]]
    yield "scale", {"axis": "columns"}, [[320], [320]]
    # Upscalers: a tile of 192 pixels in parts.
    for count in [48 * 48 * 64, 1, 257]:
        yield "unary", {"function": "leaky_relu"}, [[count]]
    for shape in [[1, 48, 48, 64], [2, 5, 3, 7], [1]]:
        yield "prelu", {}, [shape, [shape[-1]]]
    for b, h, w, c, factor in [(1, 48, 48, 48, 4), (2, 5, 3, 12, 2), (1, 7, 5, 27, 3), (2, 3, 2, 5, 1)]:
        yield "pixel_shuffle", {"factor": factor, "inverse": False}, [[b, h, w, c]]
        yield "pixel_shuffle", {"factor": factor, "inverse": True}, [[b, h * factor, w * factor, c // factor**2]]


def main():
    listed, tensors = [], {}
    for index, (op, fields, shapes) in enumerate(cases()):
        # Sums stay of order 1: weights (the second input of a product) are scaled by their width.
        products = op in ("matmul", "conv2d")
        inner = shapes[1][1 if fields.get("transpose_b", True) else 0] if products else 1
        scales = [3.0 if op == "attention" and i < 2 else float(np.float32((3 / inner) ** 0.5)) if products and i == 1 else 4.0 if op in ("unary", "geglu") else 1.0 for i in range(len(shapes))]
        # Norms get a non-zero mean, which would expose a one-pass variance in f32.
        shifts = [2.0 if op.endswith("norm") and i == 0 or op == "moments" or op == "normalize" and i == 1 else 0.0 for i in range(len(shapes))]
        inputs = [numbers(index * 16 + i, shape, scales[i], shifts[i]) for i, shape in enumerate(shapes)]
        # In f64, so that PyTorch's f32 rounding (5e-6 in a group norm) does not affect the golden.
        out = run(op, fields, [x.double() for x in inputs]).float().contiguous()
        flat = out.reshape(-1).numpy()
        indices = np.unique(np.linspace(0, flat.size - 1, min(flat.size, 1024)).round().astype(np.int64))
        tensors[str(index)] = flat[indices].copy()
        listed.append({"op": op, "fields": fields, "shapes": shapes, "scales": scales, "shifts": shifts, "scalars": [NUMBER] if op == "axpy" else [], "output": list(out.shape)})
    HERE.mkdir(parents=True, exist_ok=True)
    save_file(tensors, HERE / "ops.safetensors")
    (HERE / "ops.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in listed) + "\n]\n")
    print(len(listed), "cases", sum(t.nbytes for t in tensors.values()), "bytes, torch", torch.__version__)


if __name__ == "__main__":
    main()
