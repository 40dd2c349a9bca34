"""All that a strategy's training depends on, as one record."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..record import plain
from .engine import Engine
from .network import Preprocessing
from .strategies import GradientStrategy, Strategy, views_of
from .training import Augment, Train


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A strategy, and the other parameters that its training depends on.

    Args:
        name: Key of the strategy.
        strategy: What it says.
        backbone: The section `backbone`, as plain data.
        preprocessing: Of the backbone's weights.
        seeds: One training for each.
        train: What all strategies share.
        engine: Where and how the arithmetic runs.
    """

    name: str
    strategy: Strategy
    backbone: Mapping[str, Any]
    preprocessing: Preprocessing
    seeds: tuple[int, ...]
    train: Train
    engine: Engine

    @property
    def augment(self) -> Augment:
        """The ranges of the random views: the strategy's own, or what all share."""
        own = self.strategy.augment if isinstance(self.strategy, GradientStrategy) else None
        return own or self.train.augment

    def settled(self, images: int) -> "Recipe":
        """With a number in the place of `views: auto`, for a training split of so many images."""
        if not isinstance(self.strategy, GradientStrategy):
            return self
        views = views_of(self.strategy, images)
        return replace(self, strategy=replace(self.strategy, views=views))

    def plain(self) -> dict[str, Any]:
        """The parameters as they stand in the facts of a training."""
        return {
            "backbone": dict(self.backbone),
            "seeds": list(self.seeds),
            "train": plain(self.train),
            "engine": plain(self.engine),
            "strategy": plain(self.strategy),
        }


class Sections(Protocol):
    """What a training depends on among all parameters: an attribute for each section."""

    @property
    def backbone(self) -> Any:
        """The network and the weights it starts from."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """One training for each."""

    @property
    def train(self) -> Train:
        """What all strategies share."""

    @property
    def engine(self) -> Engine:
        """Where and how the arithmetic runs."""

    @property
    def strategies(self) -> Mapping[str, Strategy]:
        """By name."""


def recipe_of(params: Sections, name: str) -> Recipe:
    """The recipe of one of the strategies."""
    return Recipe(
        name=name,
        strategy=params.strategies[name],
        backbone=plain(params.backbone),
        preprocessing=params.backbone.preprocessing,
        seeds=params.seeds,
        train=params.train,
        engine=params.engine,
    )
