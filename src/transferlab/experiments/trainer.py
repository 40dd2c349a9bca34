"""One training after the other, in the same network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..data.images import Images
from ..network import auxiliary
from ..network.activations import Shared
from ..network.setup import (
    auxiliary_weights,
    settled_compute,
    setup_for,
    start_sha256,
    starting_weights,
    without_head,
)
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import starts_random
from ..pipeline.files import content_hash
from ..training.checkpoint import Progress, checkpoint_of
from ..training.facts import describe, what_names
from ..training.records import Described
from ..training.task import (
    Log,
    Task,
    changed_tensors,
    learn,
    own_tensors,
    starting_model,
)

Begins = Callable[[str, Described], Log]
"""Hears that a training begins, by the name that it has for ever and what it is trained with; gives
what hears of its epochs.
"""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One training that is done."""

    key: str  # names it for ever
    task: Task
    facts: Described
    done: Progress
    tensors: Mapping[str, Tensor]  # that the starting weights do not hold
    values: int  # that could change


@dataclass(kw_only=True)
class Trainer:
    """What the trainings of one strategy have in common.

    Args:
        root: Checkout that holds data/.
        recipe: The strategy, and what else its training depends on.
        images: To learn from.
        split: Number of images of the training split.
        code: Digest of the code that trains.
        shared: What the activations of all trainings have in common.
    """

    root: Path
    recipe: Recipe
    images: Images
    split: int
    code: str
    shared: Shared = field(default_factory=Shared)

    def __post_init__(self) -> None:
        self.compute = settled_compute(self.root, self.recipe.engine)
        self.setup = setup_for(self.recipe, self.compute)
        random = starts_random(self.recipe.strategy)
        self.start = start_sha256(self.root)
        self.weights = {} if random else without_head(starting_weights(self.root))
        has = self.recipe.backbone["name"] == auxiliary.NETWORK and not random
        self.auxiliary = auxiliary_weights(self.root) if has else {}
        self.net: nn.Sequential | None = None

    def describe(self, recipe: Recipe) -> Described:
        """What a training of this recipe is trained with."""
        return describe(recipe, self.images, self.start, self.compute)

    def key(self, recipe: Recipe, seed: int, rows: tuple[np.ndarray, np.ndarray]) -> str:
        """Names a training for ever; the arguments are those of `train`."""
        identity: list[Any] = [
            *what_names(self.describe(recipe)),
            self.images.digest,
            self.code,
        ]
        return content_hash([*identity, seed, *(part.tolist() for part in rows)])

    def train(
        self, recipe: Recipe, seed: int, rows: tuple[np.ndarray, np.ndarray], begins: Begins
    ) -> Trained:
        """Train once; the network ends with the result.

        Args:
            recipe: The strategy as it stands, or with other settings.
            seed: Draws everything.
            rows: Indices of the images to fit and of those to validate on.
            begins: Hears of it.
        """
        facts, key = self.describe(recipe), self.key(recipe, seed, rows)
        checkpoint = checkpoint_of(key, recipe.engine.checkpoint_seconds)
        task = Task(
            recipe=recipe.settled(self.split),
            setup=self.setup,
            images=self.images,
            rows=rows,
            seed=seed,
            shared=self.shared,
            auxiliary=self.auxiliary,
        )
        log = begins(key, facts)
        self.net = starting_model(self.weights, task, self.net)
        done, values = learn(self.net, task, checkpoint, log)
        tensors = own_tensors(self.net, recipe.strategy, done)
        self.weights = changed_tensors(self.weights, tensors)
        return Trained(key=key, task=task, facts=facts, done=done, tensors=tensors, values=values)
