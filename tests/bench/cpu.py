"""Times the benchmark cases on this machine's processor in turns: ours, onnxruntime and PyTorch, with all cores.

Prints one JSON object. Arguments: the folder that write.mjs wrote, and the command of our program.
`cargo xtask bench --cpu` makes what it needs and runs it.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import diffusers
import diffusers.models.resnet
import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F

PASSES = 5
SECONDS = 0.4
# Maximum relative distance of two correct f32 results.
LIKE = 1e-5
# The cores that this process may use: `taskset -c 0` compares one thread.
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
DEMO = Path(__file__).parents[2] / "web/public/demo/model/unet/config.json"


def shortest(run):
    """Returns the shortest time of many runs in milliseconds."""
    best, end = float("inf"), time.perf_counter() + SECONDS
    while True:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > end:
            return best * 1e3


class Given(torch.nn.Module):
    """A layer whose input is given once and for all."""

    def __init__(self, layer, x):
        super().__init__()
        self.layer, self.x = layer, x

    def forward(self, _):
        return self.layer(self.x)


def load(module, weights, prefix):
    """Loads weights by their names; matrices are (inputs, outputs) in ONNX and (outputs, inputs) in PyTorch."""
    named = {name.removeprefix(prefix): w.t().contiguous() if w.dim() == 2 else w for name, w in weights.items()}
    state = module.state_dict()
    module.load_state_dict({name: named[name].reshape(wanted.shape) for name, wanted in state.items()})
    return module.eval()


def layer(x, w):
    """Returns a run of SD 1.5's first layer."""
    block = "unet.down_blocks.0."
    resnet = diffusers.models.resnet.ResnetBlock2D(in_channels=320, temb_channels=1280, groups=32, eps=1e-5)
    load(resnet, w, block + "resnets.0.")
    # The time embedding is given after SiLU, which the block would apply.
    resnet.time_emb_proj = Given(resnet.time_emb_proj, x["time"])
    transformer = diffusers.Transformer2DModel(8, 40, 320, num_layers=1, cross_attention_dim=768)
    load(transformer, w, block + "attentions.0.")
    return lambda: transformer(resnet(x["x"], x["time"]), x["text"], return_dict=False)[0]


def unet(x, w):
    """Returns a run of the demo's UNet."""
    net = diffusers.UNet2DConditionModel.from_config(json.loads(DEMO.read_text()))
    load(net, w, "unet.")
    net.time_proj = Given(torch.nn.Identity(), x["time"])
    return lambda: net(x["sample"], 0, x["text"], return_dict=False)[0]


def attention(x, w, heads):
    split = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2)
    attend = F.scaled_dot_product_attention
    return lambda: attend(split(x["q"]), split(x["k"]), split(x["v"])).transpose(1, 2).flatten(2)


def in_pytorch(name, x, w):
    """Returns a run of a case."""
    kind = name.split()[0]
    if kind == "conv":
        return lambda: F.conv2d(x["x"], w["w"], w["b"], padding=1)
    if kind == "matmul":
        weight = w["w"].t().contiguous()
        return lambda: F.linear(x["x"], weight)
    if kind == "attention":
        return attention(x, w, int(name.split()[3]))
    if kind == "group":
        return lambda: F.silu(F.group_norm(x["x"], 32, w["weight"], w["bias"], 1e-5))
    if kind == "layer":
        return lambda: F.layer_norm(x["x"], x["x"].shape[-1:], w["weight"], w["bias"], 1e-5)
    return unet(x, w) if name.startswith("UNet of") else layer(x, w)


class Ours:
    """Our program, which answers names of cases with their times."""

    def __init__(self, command, output):
        self.output = output
        self.child = subprocess.Popen([*command, "--cpu", output], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def shortest(self, name):
        self.child.stdin.write(name + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())["ours_ms"]["min"]

    def result(self, dims):
        """Returns the output of the case that was asked for last, for the first time."""
        data = np.fromfile(self.output, np.float32)
        # (B, H, W, C) in ours.
        return data.reshape(dims[0], *dims[2:], dims[1]).transpose(0, 3, 1, 2) if len(dims) == 4 else data.reshape(dims)


def distance(a, b):
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b.astype(np.float64)))


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def row(folder, ours, case):
    """Times a case with each engine in turns, after checking that the results agree."""
    tensors = lambda which: {t["name"]: np.fromfile(folder / t["file"], np.float32).reshape(t["dims"]) for t in case[which]}
    inputs, weights = tensors("inputs"), tensors("weights")
    sessions = [session(folder / file) for file in case["models"]]
    torched = lambda arrays: {name: torch.from_numpy(array) for name, array in arrays.items()}
    pytorch = in_pytorch(case["name"], torched(inputs), torched(weights))
    runs = {"onnxruntime": [lambda s=s: s.run(None, inputs)[0] for s in sessions], "pytorch": [lambda: pytorch().numpy()]}
    times = {"cpu": [ours.shortest(case["name"])], **{engine: [] for engine in runs}}
    wanted = ours.result(case["output"])
    for engine, ways in runs.items():
        for run in ways:
            found = distance(run(), wanted)
            assert found < LIKE, f"{case['name']}: the result of {engine} differs by {found}"
    for _ in range(PASSES):
        times["cpu"].append(ours.shortest(case["name"]))
        for engine, ways in runs.items():
            times[engine] += [shortest(run) for run in ways]
    best = {engine: min(all) for engine, all in times.items()}
    return {"group": "kernels", "name": case["name"], "ours": {"cpu": best.pop("cpu")}, "peer": best}


def main():
    torch.set_num_threads(THREADS)
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    ours = Ours(command, str(folder / "ours.f32"))
    rows = []
    with torch.inference_mode():
        for case in json.loads((folder / "index.json").read_text()):
            print(case["name"], file=sys.stderr)
            rows.append(row(folder, ours, case))
    versions = f"onnxruntime {onnxruntime.__version__}, PyTorch {torch.__version__}"
    print(json.dumps({"adapter": f"{platform.machine()}, {THREADS} threads; {versions}", "rows": rows}))


main()
