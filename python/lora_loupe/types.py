"""The dictionaries that the functions return. docs/report.md and web/engine/types.d.ts say what each field means."""

from __future__ import annotations

from typing import Any, Optional, TypedDict, Union


class Sentence(TypedDict):
    """A sentence: ``text`` is English and may be reworded; match on ``id`` and read ``values``."""

    id: str
    values: dict[str, Any]
    text: str


class Base(TypedDict):
    """A family of base models."""

    family: str
    label: str
    evidence: list[Sentence]
    others: list[Base]


class Strength(TypedDict):
    """Statistics of the singular values of a layer's change."""

    spectral: float
    stable_rank: float
    effective_rank: float
    rank_90: int
    rank_98: int


class Module(TypedDict):
    """A changed layer."""

    path: str
    algorithm: str
    rank: Optional[int]
    alpha: Optional[float]
    scale: float
    dtype: str
    norm: Optional[float]
    base_norm: Optional[float]
    strength: Optional[Strength]
    shape: list[int]
    block: str


class Leftover(TypedDict):
    """An unused key."""

    key: str
    reason: Sentence


class Coverage(TypedDict):
    """A block of the network."""

    component: str
    block: str
    label: Sentence
    covered: int
    total: int
    norm: float


class Import(TypedDict):
    """A global that a pickle would import."""

    name: Union[str, Sentence]
    place: Union[str, Sentence]
    verdict: str


# `class` cannot be written as the name of an attribute.
Problem = TypedDict("Problem", {"class": str, "severity": str, "message": Sentence, "modules": "list[str]"})


class Signature(TypedDict):
    """64 numbers by whose cosine copies of an adapter are found."""

    version: int
    values: list[float]


class Report(TypedDict):
    """The report on a file."""

    version: int
    file: str
    size: int
    headers_only: bool
    sha256: str
    header_sha256: str
    container: str
    kind: str
    verdict: Sentence
    convention: str
    algorithms: list[str]
    base: Base
    modules: list[Module]
    leftovers: list[Leftover]
    coverage: list[Coverage]
    loaders: list[dict[str, Any]]
    imports: list[Import]
    health: Optional[dict[str, Any]]
    signature: Optional[Signature]
    hashes: Optional[dict[str, Any]]
    training: Optional[dict[str, Any]]
    metadata: dict[str, str]
    problems: list[Problem]


class Metadata(TypedDict):
    """The header's metadata, and the hashes by which programs and sites know the file."""

    file: str
    metadata: dict[str, str]
    hashes: dict[str, Any]


class Fix(TypedDict):
    """An edit that repairs something."""

    id: str
    title: Sentence
    why: Sentence
    problems: list[str]
    loaders: list[str]
    effect: list[dict[str, Any]]
    edit: dict[str, Any]


class Comparison(TypedDict):
    """The relation of two files."""

    files: list[str]
    sentence: Sentence
    comparison: dict[str, Any]


class Edited(TypedDict):
    """What an edit changes, and what it wrote; ``outcome`` is ``None`` if it wrote nothing."""

    preview: dict[str, Any]
    outcome: Optional[dict[str, Any]]
