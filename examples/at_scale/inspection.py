"""A file -> one row, with a row for each of its layers; what the jobs for Spark and Ray share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

import lora_loupe
import pyarrow as pa

#: Endings of the files that a folder is searched for.
ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".gguf", ".zip")

LAYER = pa.struct(
    [
        ("path", pa.string()),
        ("block", pa.string()),
        ("algorithm", pa.string()),
        ("rank", pa.int32()),
        ("alpha", pa.float64()),
        ("scale", pa.float64()),
        ("dtype", pa.string()),
        ("shape", pa.list_(pa.int64())),
        ("norm", pa.float64()),
        ("spectral", pa.float64()),
        ("stable_rank", pa.float64()),
    ]
)

#: The columns of a file. `error` is set, and most others are null, where there is no report.
FILE = pa.schema(
    [
        ("path", pa.string()),
        ("error", pa.string()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("tensor_sha256", pa.string()),
        ("header_sha256", pa.string()),
        ("kind", pa.string()),
        ("refused", pa.bool_()),
        ("verdict", pa.string()),
        ("family", pa.string()),
        ("label", pa.string()),
        ("key_format", pa.string()),
        ("algorithms", pa.list_(pa.string())),
        ("problems", pa.list_(pa.string())),
        ("norm", pa.float64()),
        ("signature", pa.list_(pa.float32())),
        ("layers", pa.list_(LAYER)),
    ]
)


def row(path: str) -> dict[str, Any]:
    """Return the row of a file, whatever is wrong with it."""
    empty: dict[str, Any] = dict.fromkeys(FILE.names)
    try:
        report = lora_loupe.inspect(path)
    except Exception as error:  # noqa: BLE001: one file must not end the job
        return {**empty, "path": path, "error": f"{type(error).__name__}: {error}"}
    layers = [_layer(module) for module in report["modules"]]
    norms = [layer["norm"] for layer in layers if layer["norm"] is not None]
    hashes = report["hashes"] or {}
    unreadable = [problem for problem in report["problems"] if problem["class"] == "unreadable"]
    return {
        "path": path,
        "error": unreadable[0]["message"]["text"] if unreadable else None,
        "size": report["size"],
        "sha256": report["sha256"] or None,
        "tensor_sha256": hashes.get("model"),
        "header_sha256": report["header_sha256"] or None,
        "kind": report["kind"],
        "refused": any(problem["severity"] == "refuse" for problem in report["problems"]),
        "verdict": report["verdict"]["text"],
        "family": report["base"]["family"],
        "label": report["base"]["label"],
        "key_format": report["convention"] or None,
        "algorithms": report["algorithms"],
        "problems": [problem["class"] for problem in report["problems"]],
        "norm": sum(norm * norm for norm in norms) ** 0.5 if norms else None,
        "signature": report["signature"] and report["signature"]["values"],
        "layers": layers,
    }


def _layer(module: dict[str, Any]) -> dict[str, Any]:
    strength = module["strength"] or {}
    fields = {name: module[name] for name in ("path", "block", "algorithm", "rank", "alpha", "scale", "dtype", "shape")}
    return {
        **fields,
        "norm": module["norm"],
        "spectral": strength.get("spectral"),
        "stable_rank": strength.get("stable_rank"),
    }


def table(paths: Iterable[str]) -> pa.Table:
    """Return the rows of several files."""
    return pa.Table.from_pylist([row(path) for path in paths], schema=FILE)


def listing(source: str) -> list[str]:
    """Return the paths of a folder, recursively, or the lines of a text file: paths and https URLs."""
    if os.path.isdir(source):
        return sorted(str(path) for path in Path(source).rglob("*") if path.name.endswith(ENDINGS) and path.is_file())
    lines = Path(source).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def done(output: str) -> set[str]:
    """Return the paths that an earlier run has written to the folder `output`."""
    import pyarrow.dataset as ds

    folder = Path(output) / "files"
    parts = [part for part in _parts(folder) if _is_whole(part)]
    files = [str(file) for part in parts for file in part.glob("*.parquet")]
    if not files:
        return set()
    return set(ds.dataset(files, format="parquet").to_table(columns=["path"]).column("path").to_pylist())


def portions(paths: list[str], output: str, length: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the paths that are not done, `length` at a time, each with the name of its part of the output.

    A part that was begun and not finished has the name that the next run gives to its first, which replaces it.
    """
    finished = done(output)
    pending = [path for path in paths if path not in finished]
    numbers = [int(part.name.split("=")[1]) for part in _parts(Path(output) / "files") if _is_whole(part)]
    first = max(numbers, default=-1) + 1
    for at in range(0, len(pending), length):
        yield f"part={first + at // length:06d}", pending[at : at + length]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of what both jobs are told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("listing")
    parser.add_argument("output")
    parser.add_argument("--portion", type=int, default=20_000, help="files between two saves")
    parser.add_argument("--batch", type=int, default=32, help="files of one task")
    return parser


def save(options: argparse.Namespace, write: Callable[[list[str], str], None]) -> None:
    """Call ``write(paths, part)`` for each portion that an earlier run has not written."""
    for part, paths in portions(listing(options.listing), options.output, options.portion):
        write(paths, part)
        print(f"{part}: {len(paths)} files", flush=True)


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part=*")) if folder.is_dir() else []


def _is_whole(part: Path) -> bool:
    return (part / "_SUCCESS").exists()
