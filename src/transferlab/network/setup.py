"""What the stages before a network have settled: where it runs, on which images, from where."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from torch import Tensor

from ..data.images import Images, load_images, read_classes
from ..params.learning.engine import Engine
from ..params.learning.network import Preprocessing
from ..params.learning.recipe import Recipe
from ..params.learning.training import Augment
from ..pipeline.files import read_json
from . import device, models
from .auxiliary import PREFIX
from .device import Compute
from .views import resident

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How networks run and see images here.

    Args:
        compute: Where the arithmetic runs, and how.
        preprocessing: Of the weights.
        augment: Ranges of the random views; None where there are only test views.
        memory_mb: What the features of frozen layers may occupy, and a regression on them.
    """

    compute: Compute
    preprocessing: Preprocessing
    augment: Augment | None
    memory_mb: int


class Settled(TypedDict):
    """`data/precision.json`."""

    precision: Literal["fp32", "bf16"]
    memory_format: Literal["channels_last", "contiguous"]


class Start(TypedDict):
    """What networks need of `data/weights/start.json`."""

    sha256: str


def setup_for(recipe: Recipe, compute: Compute) -> Setup:
    """What a recipe says of it."""
    return Setup(
        compute=compute,
        preprocessing=recipe.preprocessing,
        augment=recipe.augment,
        memory_mb=recipe.engine.memory_mb,
    )


def settled_compute(root: Path, engine: Engine) -> Compute:
    """The device that was asked for, in the precision that the stage before has settled; says so
    where the verdict of another machine is slow on this one.
    """
    compute = device.prepare(engine, read_json(root / "data/precision.json", Settled))
    if compute.precision == "bf16" and not device.has_bf16(compute.device):
        log.warning(
            "data/precision.json says bf16, for which this %s has no instructions: it may take "
            "many times as long as fp32. Results stay comparable so; to train anew in fp32: "
            "-S engine.precision=fp32",
            device.describe(compute.device),
        )
    return compute


def images_of(root: Path, split: str, compute: Compute) -> Images:
    """The images of one split, on the device where they fit."""
    return resident(
        load_images(root / f"data/processed/{split}", read_classes(root)), compute.device
    )


def start_sha256(root: Path) -> str:
    """Names the starting weights."""
    return read_json(root / "data/weights/start.json", Start)["sha256"]


def starting_weights(root: Path) -> dict[str, Tensor]:
    """The tensors of `data/weights`, the head of their own task included, but no auxiliary one.

    Raises:
        ValueError: The file is not the one that was recorded.
    """
    return {name: it for name, it in _held(root).items() if not name.startswith(PREFIX)}


def auxiliary_weights(root: Path) -> dict[str, Tensor]:
    """Those of the auxiliary classifier, under its own names; none where no file gave any.

    Raises:
        ValueError: The file is not the one that was recorded.
    """
    held = _held(root).items()
    return {name.removeprefix(PREFIX): it for name, it in held if name.startswith(PREFIX)}


def _held(root: Path) -> dict[str, Tensor]:
    return models.read(root / "data/weights/start.safetensors", start_sha256(root))


def without_head(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of all other parts."""
    return {key: value for key, value in weights.items() if not key.startswith("head.")}
