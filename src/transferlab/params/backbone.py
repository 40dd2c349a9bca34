"""The network and the weights that it starts from."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .dataset import Dataset
from .learning.network import FAMILIES, Preprocessing
from .learning.strategies import GradientStrategy
from .record import Sha256, Url, section


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

    name: str  # a key of `FAMILIES`
    # official | none | source | a path | a file name in the mirror
    weights: Annotated[str, Field(min_length=1)]
    weights_sha256: Sha256 | None  # written by composition for a file of your own
    official_url: Url | None
    precision: Literal["fp32", "bf16", "auto"]  # what `engine.precision` is unless set
    preprocessing: Preprocessing
    source: SourceTask | None

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if self.name not in FAMILIES:
            yield f"name: expected one of {', '.join(FAMILIES)}, got {self.name!r}."
        if self.weights == "official" and self.official_url is None:
            yield (
                f"weights: expected none, source or a file, got 'official': {self.name} has no "
                "official weights."
            )
        if self.weights == "source" and self.source is None:
            yield "source: expected a source task because weights is 'source', got null."
