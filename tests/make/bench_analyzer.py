"""Times NumPy on a kohya file, for tests/tools/bench_analyzer.rs: the analyzer's computations in plain NumPy.

    python tests/make/bench_analyzer.py FILE

Reads one command per line from standard input, runs it once and prints the milliseconds: `norms` (of
every layer, by the Gram matrices of both factors) or `spectra` (norms and all singular values, by QR of
both factors and the singular values of the small product). One BLAS thread, f32, one layer at a time.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import json
import struct
import sys
import time

import numpy


def layers(path):
    """Yields (up, down, scale) of every layer, read lazily."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))

        def tensor(key):
            entry = header[key]
            start, end = entry["data_offsets"]
            file.seek(8 + length + start)
            numbers = numpy.frombuffer(file.read(end - start), numpy.float16).astype(numpy.float32)
            return numbers.reshape(entry["shape"][0], -1) if entry["shape"] else numbers[0]

        for key in header:
            if key.endswith(".lora_up.weight"):
                stem = key.removesuffix(".lora_up.weight")
                up, down = tensor(key), tensor(stem + ".lora_down.weight")
                yield up, down, tensor(stem + ".alpha") / down.shape[0]


def norms(path):
    return [scale * numpy.sqrt(numpy.sum((up.T @ up) * (down @ down.T))) for up, down, scale in layers(path)]


def spectra(path):
    result = []
    for up, down, scale in layers(path):
        small = numpy.linalg.qr(up, mode="r") @ numpy.linalg.qr(down.T, mode="r").T
        values = scale * numpy.linalg.svd(small, compute_uv=False)
        result.append((numpy.sqrt(numpy.sum(values**2)), values))
    return result


if __name__ == "__main__":
    for line in sys.stdin:
        start = time.perf_counter()
        {"norms": norms, "spectra": spectra}[line.strip()](sys.argv[1])
        print((time.perf_counter() - start) * 1000, flush=True)
