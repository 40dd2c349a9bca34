"""A model as one file: the tensors of a whole network, and in the header what using it takes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..network import models
from ..params.learning.network import FAMILIES, Preprocessing, is_backbone
from ..params.record import Count, Fraction, NotNegative, Pixels, Positive, Share, plain, section

HEADER = "transferlab"  # key of the safetensors header that holds the facts, as JSON
FORMAT: Final = "transferlab model 1"
SMALLEST = 1e-12  # probability whose logarithm is taken instead of that of 0

Number = Annotated[int, Field(ge=0)]


@section
class Pictures:
    """How a file becomes what the network sees."""

    max_megapixels: Count  # larger files are refused
    store_px: Pixels  # the shorter side is brought to this first
    contrast: tuple[Number, Number]  # of 16 bits of grey, what becomes black and what white
    preprocessing: Preprocessing


@section
class Unsure:
    """Below which probability an answer is called unsure, and what that rests on."""

    threshold: Share | None  # of the calibrated probability; null: every answer is unsure
    error: Fraction  # of the answers that might be wrong
    predictions: Number  # about validation images, by the models of all seeds
    answered: Number  # of them at least as sure as the threshold
    wrong: Number  # of those

    def gives(self, sure: np.ndarray) -> np.ndarray:
        """Which answers of such calibrated probabilities [N] are not unsure, bool [N]."""
        return np.zeros(len(sure), bool) if self.threshold is None else sure >= self.threshold


@section
class Known:
    """What is known of this very model, from images that did not train it."""

    validation_images: Number
    validation_accuracy: Share | None  # None: nothing was set aside
    test_images: Number
    test_right: Number
    test_answered: Number  # not unsure
    test_answered_right: Number


@section
class Facts:
    """What stands in the header."""

    format: Literal["transferlab model 1"]
    dataset: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    strategy: str
    title: str
    seed: Number
    key: str  # names the training for ever
    backbone: str  # a key of `FAMILIES`
    head_hidden: Count | None  # width of a hidden layer of the head
    head_dropout: NotNegative | None
    head_neighbours: Count | None = None  # training images that vote in place of a linear layer
    pictures: Pictures
    device: str  # that trained it
    precision: Literal["fp32", "bf16"]  # there
    memory_format: Literal["contiguous", "channels_last"]
    temperature: Positive  # divides the logits
    unsure: Unsure
    known: Known
    versions: dict[str, str]
    start_sha256: str  # of the starting weights
    tensors_sha256: str  # of all tensors, see `models.tensors_sha256`


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network's tensors, all of them, and the facts about it.

    Args:
        facts: What stands in the header.
        tensors: By the names `stem..head` of `backbones.build`, on the CPU.
    """

    facts: Facts
    tensors: Mapping[str, Tensor]


def write(model: Model, path: Path) -> None:
    """Write a model, atomically.

    Raises:
        OSError: There is no room for it.
    """
    models.save(model.tensors, path, header(model.facts))


def header(facts: Facts) -> dict[str, str]:
    """The facts as a safetensors header holds them."""
    return {HEADER: json.dumps(plain(facts), ensure_ascii=False)}


def read(path: Path) -> Model:
    """Read a model that `write` wrote; nothing in a file is ever run.

    Raises:
        ValueError: It is something else, or damaged.
    """
    facts = _facts(path, _header(path))
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: {_not_a_model(str(error))}") from error
    if models.tensors_sha256(tensors) != facts.tensors_sha256:
        raise ValueError(
            f"{path}: expected tensors of sha256 {facts.tensors_sha256[:12]}..., got others. The "
            "file is damaged, or one by torchvision's names: take a whole model.safetensors."
        )
    return Model(facts=facts, tensors=tensors)


def _header(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path}: {_not_a_model('no file')}")
    try:
        with safe_open(path, "pt") as opened:
            found: dict[str, str] = opened.metadata() or {}
    except SafetensorError:
        raise ValueError(f"{path}: {_other_kind(path)}") from None
    if HEADER not in found:
        raise ValueError(f"{path}: {_not_a_model('tensors without its header')}")
    return found[HEADER]


def _other_kind(path: Path) -> str:
    """What a file without tensors is; safetensors' own begin with a number, which may be any."""
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK" or start[:1] == b"\x80":
        pickle = _not_a_model("a pickle, or a zip of one")
        return f"{pickle} A pickle runs whatever code is in it, so it was not opened."
    return _not_a_model("another kind of file")


def _not_a_model(got: str) -> str:
    return f"expected a model.safetensors that the stage champion wrote, got {got}."


def _facts(path: Path, text: str) -> Facts:
    try:
        facts = TypeAdapter(Facts).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the header"
        raise ValueError(
            f"{path}: expected facts of {FORMAT!r}, got {place}: {first['msg']}. It was written "
            "by another version of transferlab, or by something else."
        ) from None
    if not is_backbone(facts.backbone):
        raise ValueError(
            f"{path}: expected one of the backbones {', '.join(FAMILIES)}, got {facts.backbone!r}."
        )
    return facts


def calibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [N, K] as if the logits had been divided by the temperature, float64.

    As `evidence.temperature.rescaled`, without the packages of that room.
    """
    logits = np.log(np.clip(probabilities, SMALLEST, None).astype(float)) / temperature
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: np.ndarray = chances / chances.sum(axis=1, keepdims=True)
    return scaled
