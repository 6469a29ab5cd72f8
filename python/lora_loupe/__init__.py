"""Inspects, compares, converts and repairs LoRA files.

A file is a path, an ``https`` URL (only the bytes that are needed are transferred), a folder of PEFT, or the bytes of a
file. Results are the JSON of the command line as dictionaries; docs/report.md describes them. While Rust works, other
threads of Python run.

>>> import lora_loupe
>>> report = lora_loupe.inspect("panda.safetensors")
>>> report["base"]["family"], [problem["message"]["text"] for problem in report["problems"]]
('sd15', [])
"""

from __future__ import annotations

import json
from os import PathLike
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Optional, Union

from . import _native
from ._errors import LoraLoupeError

if TYPE_CHECKING:
    import numpy

    from .types import Comparison, Edited, Fix, Metadata, Report, Signature

__all__ = [
    "LoraLoupeError",
    "compare",
    "convert",
    "cosine",
    "delta",
    "fix",
    "fixes",
    "inspect",
    "layers",
    "merge",
    "metadata",
    "resize",
    "set_metadata",
    "signature",
]

Path = Union[str, "PathLike[str]"]
#: A path, a URL, a folder of PEFT, or the bytes of a file.
Place = Union[Path, bytes, bytearray]


def inspect(
    file: Place, base: Optional[Path] = None, *, config: Optional[str] = None, headers: bool = False
) -> Report:
    """Return the report on a file.

    Every failure of reading the file becomes a problem of the report, as in the command line.

    :param base: the base model, a checkpoint or a folder of diffusers: norms are then relative to its weights
    :param config: the text of the ``adapter_config.json`` of a file of PEFT that is passed as bytes
    :param headers: read the header only, which takes milliseconds: no norms, scales or hashes
    """
    return json.loads(_native.inspect(file, base, config, headers))


def layers(file: Place) -> list[str]:
    """Return the paths of the layers that an adapter changes, which :func:`delta` takes."""
    return _native.layers(file)


def delta(file: Place, layer: str) -> numpy.ndarray:
    """Return the change of a layer's weight at strength 1, in float32 and in PyTorch's shape. Needs numpy.

    :param layer: a path of :func:`layers`, for instance ``unet.mid_block.attentions.0.proj_in``
    """
    import numpy

    data, shape = _native.delta(file, layer)
    return numpy.frombuffer(data, dtype="<f4").reshape(shape).copy()


def signature(file: Place) -> Optional[Signature]:
    """Return the 64 numbers by whose cosine copies of an adapter are found; see docs/signature.md.

    ``None`` if every change depends on the base model.
    """
    return json.loads(_native.signature(file))


def cosine(a: Signature, b: Signature) -> float:
    """Return the cosine of two signatures: 1 for copies at any strength, about 0 for unrelated adapters."""
    if a["version"] != b["version"]:
        raise ValueError(f"signatures of versions {a['version']} and {b['version']} cannot be compared")
    return sum(x * y for x, y in zip(a["values"], b["values"]))


def compare(a: Place, b: Place) -> Comparison:
    """Compare two adapters: identical, rescaled, resized, or one merged into the other."""
    return json.loads(_native.compare(a, b))


def metadata(file: Place) -> Metadata:
    """Return the header's metadata and the hashes of a safetensors file."""
    return json.loads(_native.metadata(file))


def fixes(file: Place, *, config: Optional[str] = None) -> list[Fix]:
    """Return the fixes for a file's problems, the most useful first."""
    return json.loads(_native.fixes(file, config))


def fix(file: Place, name: str, output: Optional[Path] = None, *, overwrite: bool = False) -> Edited:
    """Write the file with a fix of :func:`fixes` applied; ``name`` is its ``id``."""
    offered = fixes(file)
    for candidate in offered:
        if candidate["id"] == name:
            return _edit(candidate["edit"], [file], output, overwrite)
    raise ValueError(f"{name!r} is no fix for this file; it has {[candidate['id'] for candidate in offered]}")


def convert(
    file: Place,
    output: Optional[Path] = None,
    *,
    to: Optional[str] = None,
    dtype: Optional[str] = None,
    base: Optional[Path] = None,
    overwrite: bool = False,
    **options: Any,
) -> Edited:
    """Write an adapter with other keys or another dtype. Without ``output``, say what would change.

    :param to: ``kohya``, ``peft``, ``diffusers``, ``comfy``, ``onetrainer`` or ``aitoolkit``; the file's own if absent
    :param dtype: ``F32``, ``F16`` or ``BF16``
    :param base: the base model, for algorithms that depend on its weights
    :param options: other fields of ``ConvertOptions`` in web/engine/types.d.ts: ``as_lora``, ``rank``, ``drop``, …
    """
    return _edit(_given(kind="convert", to=to, dtype=dtype, **options), [file], output, overwrite, base)


def resize(
    file: Place,
    output: Optional[Path] = None,
    *,
    rank: Optional[int] = None,
    energy: Optional[float] = None,
    ratio: Optional[float] = None,
    overwrite: bool = False,
    **options: Any,
) -> Edited:
    """Write an adapter at other ranks. Without ``output``, say what would change.

    Give one of ``rank``, ``energy`` (the share of Σσ² to keep) and ``ratio`` (of a singular value to the largest).
    """
    rule = _given(fixed=rank, energy=energy, ratio=ratio)
    if len(rule) != 1:
        raise ValueError("give one of rank, energy and ratio")
    return _edit({"kind": "resize", "rule": rule, **options}, [file], output, overwrite)


def merge(
    files: Union[Mapping[str, float], Iterable[tuple[Place, float]]],
    output: Optional[Path] = None,
    *,
    rank: Optional[int] = None,
    energy: Optional[float] = None,
    ratio: Optional[float] = None,
    overwrite: bool = False,
    **options: Any,
) -> Edited:
    """Write one adapter that is the sum of several, each at a strength; exact unless a rank is given.

    >>> lora_loupe.merge({"style.safetensors": 0.7, "panda.safetensors": 0.5}, "both.safetensors")  # doctest: +SKIP
    """
    pairs = list(files.items() if isinstance(files, Mapping) else files)
    rule = _given(fixed=rank, energy=energy, ratio=ratio)
    if len(rule) > 1:
        raise ValueError("give one of rank, energy and ratio, or none")
    parts = [{"strength": strength} for _, strength in pairs]
    edit = {"kind": "merge", "parts": parts, "options": _given(rule=rule or None, **options)}
    return _edit(edit, [place for place, _ in pairs], output, overwrite)


def set_metadata(
    file: Place,
    output: Optional[Path] = None,
    *,
    set: Optional[Mapping[str, str]] = None,
    remove: Iterable[str] = (),
    strip_private: bool = False,
    repair_hashes: bool = False,
    overwrite: bool = False,
) -> Edited:
    """Write a safetensors file with other metadata; its tensors stay as they are."""
    edit = {
        "kind": "metadata",
        "set": list((set or {}).items()),
        "remove": list(remove),
        "strip_private": strip_private,
        "repair_hashes": repair_hashes,
    }
    return _edit(edit, [file], output, overwrite)


def _edit(
    edit: Mapping[str, Any], files: list[Place], output: Optional[Path], overwrite: bool, base: Optional[Path] = None
) -> Edited:
    return json.loads(_native.edit(json.dumps(edit), files, base, output, overwrite))


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that are not ``None``."""
    return {name: value for name, value in options.items() if value is not None}
