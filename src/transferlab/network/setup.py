"""What the stages before a network have settled: where it runs, on which images, from where."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..data.images import Images, load_images
from ..params.learning.engine import Engine
from ..params.learning.network import Preprocessing
from ..params.learning.recipe import Recipe
from ..params.learning.training import Augment
from ..pipeline.files import read_json
from . import device, models
from .device import Compute
from .views import resident


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How networks run and see images here.

    Args:
        compute: Where the arithmetic runs, and how.
        preprocessing: Of the weights.
        augment: Ranges of the random views; None where there are only test views.
        memory_mb: What the features of frozen layers may occupy.
    """

    compute: Compute
    preprocessing: Preprocessing
    augment: Augment | None
    memory_mb: int


def setup_for(recipe: Recipe, compute: Compute) -> Setup:
    """What a recipe says of it."""
    return Setup(
        compute=compute,
        preprocessing=recipe.preprocessing,
        augment=recipe.train.augment,
        memory_mb=recipe.engine.memory_mb,
    )


def settled_compute(root: Path, engine: Engine) -> Compute:
    """The device that was asked for, in the precision that the stage before has settled."""
    return device.prepare(engine, read_json(root / "data/precision.json"))


def classes_of(root: Path) -> list[str]:
    """Names of the classes, in the order of their indices."""
    classes: list[str] = read_json(root / "data/processed/classes.json")["classes"]
    return classes


def images_of(root: Path, split: str, compute: Compute) -> Images:
    """The images of one split, on the device where they fit."""
    return resident(load_images(root / f"data/processed/{split}", classes_of(root)), compute.device)


def start_sha256(root: Path) -> str:
    """Names the starting weights."""
    sha256: str = read_json(root / "data/weights/start.json")["sha256"]
    return sha256


def starting_weights(root: Path) -> dict[str, Tensor]:
    """The tensors of `data/weights`, the head of their own task included.

    Raises:
        ValueError: The file is not the one that was recorded.
    """
    return models.read(root / "data/weights/start.safetensors", start_sha256(root))


def without_head(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of all other parts."""
    return {key: value for key, value in weights.items() if not key.startswith("head.")}
