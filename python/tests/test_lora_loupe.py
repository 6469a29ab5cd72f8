"""The module beside safetensors, numpy and the command line that the wheel installs."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import threading
import time
from pathlib import Path

import lora_loupe
import lora_loupe.types
import numpy as np
import pytest
from ranges import serving
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

COMMAND = str(Path(sysconfig.get_path("scripts")) / "lora-loupe")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True)


def test_a_report_is_that_of_the_command(adapter):
    path = adapter(metadata={"ss_output_name": "panda"})
    report = lora_loupe.inspect(path)
    assert report == json.loads(command("inspect", path, "--json").stdout)
    assert report["base"]["family"] == "sd15"
    assert len(report["modules"]) == 16
    assert set(report) == set(lora_loupe.types.Report.__annotations__)
    assert set(report["modules"][0]) == set(lora_loupe.types.Module.__annotations__)
    [problem] = lora_loupe.inspect(b"<!DOCTYPE html><html></html>")["problems"]
    assert set(problem) == set(lora_loupe.types.Problem.__annotations__)


def test_a_file_may_be_a_text_a_path_or_bytes(adapter):
    path = adapter()
    reports = [lora_loupe.inspect(place) for place in (str(path), path, path.read_bytes(), bytearray(path.read_bytes()))]
    assert len({report["sha256"] for report in reports}) == 1
    assert lora_loupe.inspect(path, headers=True)["headers_only"]


def test_the_header_of_a_url_is_read_by_ranges(adapter):
    data = adapter().read_bytes()
    with serving({"panda.safetensors": data}) as (address, sent):
        url = f"{address}/panda.safetensors"
        report = lora_loupe.inspect(url, headers=True)
        assert report["base"]["family"] == "sd15" and report["file"] == "panda.safetensors"
        assert sum(sent) < len(data) / 10, f"{sum(sent)} of {len(data)} bytes were sent"
        assert lora_loupe.signature(url) == lora_loupe.signature(data)


def test_deltas_are_those_of_numpy(adapter):
    path = adapter()
    tensors = load_file(path)
    layers = lora_loupe.layers(path)
    assert len(layers) == 16
    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    expected = tensors[f"{stem}.lora_up.weight"] @ tensors[f"{stem}.lora_down.weight"] * (2 / 4)
    delta = lora_loupe.delta(path, layer)
    assert delta.dtype == np.float32 and delta.shape == (640, 640) and delta.flags.writeable
    np.testing.assert_allclose(delta, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(KeyError):
        lora_loupe.delta(path, "unet.nothing")


def test_conversions_are_read_by_safetensors(adapter, tmp_path):
    path, output = adapter(), tmp_path / "peft.safetensors"
    edited = lora_loupe.convert(path, output, to="peft", dtype="F16")
    assert edited["outcome"]["size"] == output.stat().st_size
    with safe_open(output, "numpy") as file:
        assert all(".lora_" in key and file.get_tensor(key).dtype == np.float16 for key in file.keys())
    assert lora_loupe.compare(path, output)["comparison"]["relation"]["kind"] == "same"
    for layer in lora_loupe.layers(path):
        np.testing.assert_allclose(lora_loupe.delta(output, layer), lora_loupe.delta(path, layer), atol=0.02)


def test_merges_are_sums(adapter, tmp_path):
    a, b, output = adapter("a", 1), adapter("b", 2), tmp_path / "both.safetensors"
    lora_loupe.merge({str(a): 0.7, str(b): 0.3}, output, dtype="F32")
    for layer in lora_loupe.layers(a)[:3]:
        expected = 0.7 * lora_loupe.delta(a, layer) + 0.3 * lora_loupe.delta(b, layer)
        np.testing.assert_allclose(lora_loupe.delta(output, layer), expected, atol=1e-4)
    assert lora_loupe.cosine(lora_loupe.signature(a), lora_loupe.signature(output)) > 0.7


def test_resized_copies_have_nearly_the_signature(adapter, tmp_path):
    path, output = adapter(rank=8), tmp_path / "small.safetensors"
    assert lora_loupe.resize(path, rank=6)["outcome"] is None
    lora_loupe.resize(path, output, rank=6)
    assert lora_loupe.inspect(output)["modules"][0]["rank"] == 6
    signature = lora_loupe.signature(path)
    assert len(signature["values"]) == 64
    assert lora_loupe.cosine(signature, lora_loupe.signature(output)) > 0.8
    with pytest.raises(ValueError, match="one of rank, energy and ratio"):
        lora_loupe.resize(path, rank=2, energy=0.5)


def test_fixes_are_listed_and_applied(adapter, tmp_path):
    path, output = adapter(metadata={"sshs_model_hash": "0" * 64}), tmp_path / "fixed.safetensors"
    assert "repair_hashes" in [fix["id"] for fix in lora_loupe.fixes(path)]
    lora_loupe.fix(path, "repair_hashes", output)
    hashes = lora_loupe.metadata(output)["hashes"]
    assert {claim["verdict"] for claim in hashes["claims"]} == {"right"}
    with pytest.raises(ValueError, match="is no fix"):
        lora_loupe.fix(path, "repair_everything")


def test_metadata_is_edited(adapter, tmp_path):
    path, output = adapter(), tmp_path / "tagged.safetensors"
    lora_loupe.set_metadata(path, output, set={"modelspec.title": "Panda"})
    assert lora_loupe.metadata(output)["metadata"]["modelspec.title"] == "Panda"
    with safe_open(output, "numpy") as file:
        assert file.metadata()["modelspec.title"] == "Panda"


def test_errors_have_the_sentences_of_the_command(adapter, tmp_path):
    empty = tmp_path / "weights.safetensors"
    save_file({"weight": np.zeros((2, 2), np.float32)}, str(empty))
    with pytest.raises(lora_loupe.LoraLoupeError) as raised:
        lora_loupe.convert(empty, to="kohya")
    assert raised.value.id == "edit.no_adapter" and raised.value.values["n"] == 1
    said = command("convert", empty, "--to", "kohya", "--preview").stderr
    assert said.removeprefix("lora-loupe: ").strip().rstrip(".") == str(raised.value).rstrip(".")
    with pytest.raises(lora_loupe.LoraLoupeError) as raised:
        lora_loupe.compare(tmp_path / "none.safetensors", empty)
    assert raised.value.id == "file.unreadable"
    report = lora_loupe.inspect(tmp_path / "none.safetensors")
    assert [problem["class"] for problem in report["problems"]] == ["unreadable"]
    path = adapter()
    with pytest.raises(FileExistsError):
        lora_loupe.convert(path, empty, to="peft")
    with pytest.raises(ValueError):
        lora_loupe.convert(path, path, to="peft", overwrite=True)
    assert lora_loupe.convert(path, empty, to="peft", overwrite=True)["outcome"]


def test_other_threads_run_meanwhile(adapter):
    data = adapter(rank=256).read_bytes()
    longest, stop = 0.0, threading.Event()

    def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not stop.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    thread = threading.Thread(target=tick)
    thread.start()
    started = time.perf_counter()
    for _ in range(3):
        lora_loupe.inspect(data)
    took = time.perf_counter() - started
    stop.set()
    thread.join()
    assert longest < took / 3 / 2, f"a thread waited {longest:.3f} s of {took:.3f} s"


def test_the_command_checks_files(adapter, tmp_path):
    path = adapter()
    good = command("check", path)
    assert good.returncode == 0 and "| panda" not in good.stdout and "Stable Diffusion 1" in good.stdout, good
    (tmp_path / "page.safetensors").write_text("<!DOCTYPE html><html></html>")
    bad = command("check", tmp_path)
    assert bad.returncode == 1 and "**error**" in bad.stdout and "1 of 2 files have errors." in bad.stdout, bad
    assert command("--version").stdout.startswith("lora-loupe ")
    assert command("nonsense").returncode == 2
