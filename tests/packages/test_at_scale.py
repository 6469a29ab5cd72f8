"""The jobs of examples/at_scale/ with local Spark and local Ray: rows equal to the command line's, files per second by
workers, a killed worker, a resumed run, and DuckDB's queries.

`cargo xtask test scale` runs it in an environment with the wheel and examples/at_scale/requirements.txt. FILES is the number
of files (2,000), WORKERS the numbers of workers.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any, Iterator

import duckdb
import lora_loupe
import numpy as np
import pytest
from safetensors.numpy import save_file

JOBS = Path(__file__).resolve().parents[2] / "examples" / "at_scale"
COMMAND = str(Path(sysconfig.get_path("scripts")) / "lora-loupe")
FILES = int(os.environ.get("FILES", "2000"))
WORKERS = [int(count) for count in os.environ.get("WORKERS", "1,2").split(",")]

sys.path[:0] = [str(JOBS), str(JOBS.parents[1] / "python" / "tests")]


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a collection: adapters of two families, copies of some with other metadata, resized ones, and broken files."""
    folder = tmp_path_factory.mktemp("collection")
    for number in range(FILES):
        path = folder / f"{number % 100:02}" / f"{number:05}.safetensors"
        path.parent.mkdir(exist_ok=True)
        kind = number % 20
        if kind == 17:
            path.write_bytes(b"<!DOCTYPE html><html></html>")
        elif kind == 18:
            path.write_bytes((folder / f"{(number - 18) % 100:02}" / f"{number - 18:05}.safetensors").read_bytes()[:5000])
        elif kind == 19:
            _adapter(path, number - 19, {"copy": str(number)})
        elif kind == 16:
            original = folder / f"{(number - 16) % 100:02}" / f"{number - 16:05}.safetensors"
            lora_loupe.resize(original, path, rank=3)
        else:
            _adapter(path, number)
    return folder


def _adapter(path: Path, seed: int, metadata: dict[str, str] | None = None) -> None:
    generator = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for block in ("0", "1"):
        for part in ("attn1_to_q", "attn1_to_v", "attn2_to_q", "attn2_to_out_0"):
            stem = f"lora_unet_down_blocks_{block}_attentions_0_transformer_blocks_0_{part}"
            width = 320 if block == "0" else 640
            scales = 0.5 ** np.arange(4)
            tensors[f"{stem}.lora_up.weight"] = (generator.standard_normal((width, 4)) * scales).astype(np.float16)
            tensors[f"{stem}.lora_down.weight"] = generator.standard_normal((4, width)).astype(np.float16)
            tensors[f"{stem}.alpha"] = np.array(4, np.float16)
    save_file(tensors, str(path), metadata)


@pytest.fixture(scope="session")
def expected(collection: Path) -> dict[str, dict[str, Any]]:
    """What the command line says about each file."""
    paths = sorted(str(path) for path in collection.rglob("*.safetensors"))
    reports: dict[str, dict[str, Any]] = {}
    for at in range(0, len(paths), 200):
        portion = paths[at : at + 200]
        lines = subprocess.run([COMMAND, "inspect", "--json", *portion], capture_output=True, text=True).stdout
        reports.update(zip(portion, map(json.loads, lines.splitlines())))
    assert len(reports) == FILES
    return reports


def job(engine: str, listing: Path, output: Path, workers: int, portion: int = 100_000) -> subprocess.Popen[bytes]:
    options = [str(listing), str(output), "--portion", str(portion), "--batch", "16"]
    if engine == "ray":
        return subprocess.Popen([sys.executable, str(JOBS / "ray_job.py"), *options, "--workers", str(workers)])
    # In local mode a task is tried once, unless the second number says otherwise.
    submit = [str(Path(sysconfig.get_path("scripts")) / "spark-submit"), "--master", f"local[{workers},4]"]
    settings = ["--driver-memory", "1g", "--conf", "spark.ui.enabled=false", "--conf", "spark.log.level=WARN"]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    return subprocess.Popen([*submit, *settings, str(JOBS / "spark_job.py"), *options], env=environment)


def rows(output: Path, kind: str) -> list[dict[str, Any]]:
    found = duckdb.sql(f"FROM read_parquet('{output}/{kind}/*/*.parquet', hive_partitioning = false)")
    return [dict(zip(found.columns, row)) for row in found.fetchall()]


def check(output: Path, expected: dict[str, dict[str, Any]]) -> None:
    """The rows are those of the command line, each once, column by column."""
    files = rows(output, "files")
    assert sorted(row["path"] for row in files) == sorted(expected)
    layers: dict[str, list[dict[str, Any]]] = {}
    for layer in rows(output, "layers"):
        layers.setdefault(layer.pop("file"), []).append(layer)
    for row in files:
        report = expected[row["path"]]
        hashes, signature = report["hashes"] or {}, report["signature"] or {}
        norms = [module["norm"] for module in report["modules"]]
        unreadable = [problem for problem in report["problems"] if problem["class"] == "unreadable"]
        assert row == {
            "path": row["path"],
            "error": unreadable[0]["message"]["text"] if unreadable else None,
            "size": report["size"],
            "sha256": report["sha256"] or None,
            "tensor_sha256": hashes.get("model"),
            "header_sha256": report["header_sha256"] or None,
            "kind": report["kind"],
            "refused": "refuse" in [problem["severity"] for problem in report["problems"]],
            "verdict": report["verdict"]["text"],
            "family": report["base"]["family"],
            "label": report["base"]["label"],
            "key_format": report["convention"] or None,
            "algorithms": report["algorithms"],
            "problems": [problem["class"] for problem in report["problems"]],
            "norm": pytest.approx(float(np.linalg.norm(norms))) if norms else None,
            "signature": pytest.approx(signature["values"], abs=1e-7) if signature else None,
        }
        modules = [
            {
                **{name: module[name] for name in COPIED},
                "norm": pytest.approx(module["norm"]),
                "spectral": pytest.approx(module["strength"]["spectral"]),
                "stable_rank": pytest.approx(module["strength"]["stable_rank"]),
            }
            for module in report["modules"]
        ]
        assert sorted(layers.get(row["path"], []), key=path_of) == sorted(modules, key=path_of)


#: Columns of a layer that are copied from its row of the report.
COPIED = ("path", "block", "algorithm", "rank", "alpha", "scale", "dtype", "shape")


def path_of(layer: dict[str, Any]) -> str:
    return layer["path"]


def descendants(process: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have."""
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        if parent == process:
            yield int(entry.name)
            yield from descendants(int(entry.name))


def workers_of(engine: str, process: int) -> list[int]:
    """The processes of an engine that run Python's part of a task."""
    mark = b"ray::" if engine == "ray" else b"pyspark.daemon"
    found = []
    for child in descendants(process):
        try:
            line = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if mark in line and (engine == "spark" or b"inspected" in line):
            found.append(child)
    # The first process of Spark's is the one that the others are forked from.
    return found[1:] if engine == "spark" else found


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("engine", ["spark", "ray"])
def test_rows_are_the_command_lines(engine, workers, collection, expected, tmp_path):
    started = time.perf_counter()
    assert job(engine, collection, tmp_path / "out", workers).wait() == 0
    took = time.perf_counter() - started
    print(f"\n{engine}, {workers} workers: {FILES} files in {took:.1f} s, {FILES / took:.0f} files/s with the start")
    check(tmp_path / "out", expected)


@pytest.mark.parametrize("engine", ["spark", "ray"])
def test_nothing_is_lost_when_a_worker_dies(engine, collection, expected, tmp_path):
    process = job(engine, collection, tmp_path / "out", 2)
    killed = None
    while process.poll() is None and killed is None:
        time.sleep(0.2)
        found = workers_of(engine, process.pid)
        if found:
            time.sleep(0.5)
            killed = random.choice(found)
            try:
                os.kill(killed, signal.SIGKILL)
            except ProcessLookupError:
                killed = None
    assert process.wait() == 0
    assert killed, "the job ended before a worker was killed"
    check(tmp_path / "out", expected)


@pytest.mark.parametrize("engine", ["spark", "ray"])
def test_a_run_that_was_ended_is_resumed(engine, collection, expected, tmp_path):
    import inspection

    paths = inspection.listing(str(collection))
    half = tmp_path / "half.txt"
    half.write_text("\n".join(paths[: FILES // 2]))
    output = tmp_path / "out"
    assert job(engine, half, output, 2).wait() == 0
    marks = {path: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}
    # As if a second run had died before its mark.
    (output / "layers" / "part=000001").mkdir()
    (output / "layers" / "part=000001" / "half.parquet").write_bytes(b"")
    assert job(engine, collection, output, 2, portion=FILES // 4).wait() == 0
    assert all(path.stat().st_mtime_ns == mark for path, mark in marks.items()), "finished parts are not written again"
    check(output, expected)
    assert job(engine, collection, output, 2).wait() == 0
    check(output, expected)


@pytest.mark.parametrize("engine", ["spark", "ray"])
def test_files_at_urls_are_rows_too(engine, collection, expected, tmp_path):
    import ranges

    paths = sorted(expected)[:40]
    names = [str(Path(path).relative_to(collection)) for path in paths]
    with ranges.serving({name: Path(path).read_bytes() for name, path in zip(names, paths)}) as (address, _):
        urls = [f"{address}/{name}" for name in names]
        (tmp_path / "listing.txt").write_text("\n".join([*urls, f"{address}/none.safetensors"]))
        assert job(engine, tmp_path / "listing.txt", tmp_path / "out", 2).wait() == 0
    found = {row["path"]: row for row in rows(tmp_path / "out", "files")}
    assert sorted(found) == sorted([*urls, f"{address}/none.safetensors"])
    for url, path in zip(urls, paths):
        assert found[url]["sha256"] == (expected[path]["sha256"] or None)
        assert found[url]["problems"] == [problem["class"] for problem in expected[path]["problems"]]
    missing = found[f"{address}/none.safetensors"]
    assert missing["problems"] == ["unreadable"] and "404" in missing["error"]


def test_the_queries_find_copies_and_broken_files(collection, expected, tmp_path):
    import inspection
    import pyarrow.parquet as pq

    table = inspection.table(inspection.listing(str(collection)))
    for kind in ("files", "layers"):
        (tmp_path / kind / "part=000000").mkdir(parents=True)
    pq.write_table(table.drop_columns(["layers"]), tmp_path / "files" / "part=000000" / "a.parquet")
    layers = [{"file": row["path"], **layer} for row in table.select(["path", "layers"]).to_pylist() for layer in row["layers"]]
    pq.write_table(inspection.pa.Table.from_pylist(layers), tmp_path / "layers" / "part=000000" / "a.parquet")
    database = duckdb.connect()
    database.execute(f"SET VARIABLE output = '{tmp_path}'")
    results = []
    for statement in database.extract_statements((JOBS / "queries.sql").read_text()):
        result = database.execute(statement)
        results.append(result.fetchall() if result.description else [])
    _, _, families, broken, copies, neighbours, strongest = results
    groups = FILES // 20
    assert families[0][:2] == ("sd15", 18 * groups)
    assert {problem for problem, _, _ in broken} >= {"html"} or len(broken) >= 2
    assert len(copies) == groups and all(count == 2 for _, count, _ in copies)
    pairs = {(Path(a).stem, Path(b).stem) for a, b, _ in neighbours}
    number = lambda at: f"{at:05}"  # noqa: E731
    for group in range(groups):
        first = 20 * group
        assert (number(first), number(first + 16)) in pairs, "the resized copy"
        assert (number(first), number(first + 19)) in pairs, "the copy with other metadata"
    unrelated = [pair for pair in pairs if int(pair[0]) // 20 != int(pair[1]) // 20]
    assert len(unrelated) <= FILES * FILES / 2 * 1e-5, unrelated
    assert len(strongest) == 20
