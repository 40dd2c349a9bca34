"""The network and the weights that it starts from."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .dataset import Dataset
from .learning.network import FAMILIES, Preprocessing, is_backbone
from .learning.strategies import GradientStrategy
from .record import Sha256, Url, section

PUBLISHED = ("official", "imagenet_v1", "imagenet_v2")
"""Weights of the library's authors; official are the first ones, version 1 where there are two."""

WORDS = (*PUBLISHED, "none", "source")
"""What `backbone.weights` may be beside a file or an address."""

SECOND = ("mobilenet_v2", "resnet50")
"""Backbones of the table of which torchvision has published a second version."""


@section
class SourceTask:
    """The task that `weights: source` trains the backbone on inside the pipeline."""

    dataset: Dataset
    strategy: GradientStrategy

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if self.strategy.start != "random":
            yield (
                "strategy.start: expected 'random', since it makes the weights, got "
                f"{self.strategy.start!r}."
            )


@section
class Backbone:
    """The network and the weights it starts from."""

    name: str  # a key of `FAMILIES`, or torchvision/<name>, or timm/<name>
    # one of `WORDS` | a path | a file name in the mirror | an address
    weights: Annotated[str, Field(min_length=1)]
    # written by composition for a file of your own, given by you for an address
    weights_sha256: Sha256 | None
    official_url: Url | None
    precision: Literal["fp32", "bf16", "auto"]  # what `engine.precision` is unless set
    preprocessing: Preprocessing
    source: SourceTask | None

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if not is_backbone(self.name):
            yield (
                f"name: expected one of {', '.join(FAMILIES)}, or torchvision/<name> or "
                f"timm/<name>, got {self.name!r}."
            )
        published = self.official_url is not None or ships(self.name, self.weights)
        if self.weights in PUBLISHED and not published:
            yield (
                f"weights: expected none, source or a file, got {self.weights!r}: {self.name} has "
                "no official weights that are known here by address and hash."
            )
        if self.weights == "imagenet_v2" and self.name in FAMILIES and self.name not in SECOND:
            yield (
                f"weights: expected imagenet_v1, got 'imagenet_v2': {self.name} has no second "
                f"version; {' and '.join(SECOND)} have."
            )
        yield from self._problems_of_address()
        if self.weights == "source" and self.source is None:
            yield (
                "source: expected a source task because weights is 'source', got null. One is in "
                "backbone=tiny_source."
            )

    def _problems_of_address(self) -> Iterator[str]:
        if self.weights.startswith("models:/"):
            yield (
                "weights: expected a file, got a model of MLflow's registry. Fetch it: mlflow "
                f"artifacts download -u {self.weights} -d FOLDER, and name the file in it."
            )
        known = self.weights_sha256 is not None or re.search(r"-[0-9a-f]{8,64}\.\w+$", self.weights)
        if is_address(self.weights) and not known:
            yield (
                "weights_sha256: expected the sha256 of the file at that address, got null. Add: "
                "-S backbone.weights_sha256=..."
            )


def ships(name: str, weights: str) -> bool:
    """Whether these weights of a backbone come with this package."""
    return (name, weights) == ("tiny", "official")


def is_address(weights: str) -> bool:
    """Whether `backbone.weights` is a file somewhere on the network."""
    return weights.startswith(("http://", "https://"))
