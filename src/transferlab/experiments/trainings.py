"""The same trainings on other divisions of the images: cross-validation, and parts of the training
images.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from ..data.divisions import Division
from ..data.images import SPLITS, Images, load_images, read_classes
from ..network.activations import Shared
from ..network.setup import (
    settled_compute,
    setup_for,
    start_sha256,
    starting_weights,
    without_head,
)
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import starts_random
from ..pipeline.files import content_hash
from ..prediction.observer import Observer, first_part
from ..training.checkpoint import checkpoint_of
from ..training.facts import describe, what_names
from ..training.task import Log, Task, changed_tensors, learn, own_tensors, starting_model


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined(Images):
    """The images of two splits, one after the other."""

    first: Images
    second: Images

    def __getitem__(self, index: int) -> np.ndarray:
        """One image, uint8 [H, W, 3]."""
        return (
            self.first[index] if index < len(self.first) else self.second[index - len(self.first)]
        )


def join(first: Images, second: Images) -> Joined:
    """Two splits with the same classes as one."""
    return Joined(
        ids=first.ids + second.ids,
        labels=np.concatenate([first.labels, second.labels]),
        classes=first.classes,
        digest=content_hash([first.digest, second.digest]),
        pixels=first.pixels[:0],
        places=first.places[:0],
        first=first,
        second=second,
    )


class Trainings:
    """One strategy on one division of all images after the other, in the same network.

    Args:
        root: Checkout that holds data/.
        recipe: The strategy, and what else its training depends on.
        code: Digest of the code that trains.
        log: Receives each epoch.
    """

    def __init__(self, root: Path, recipe: Recipe, code: str, log: Log):
        self.recipe, self.log = recipe, log
        compute = settled_compute(root, recipe.engine)
        self.setup = setup_for(recipe, compute)
        classes = read_classes(root)
        splits = (load_images(root / f"data/processed/{split}", classes) for split in SPLITS)
        self.images = join(*splits)
        facts = describe(recipe, self.images, start_sha256(root), compute)
        self.identity = [*what_names(facts), self.images.digest, code]
        random = starts_random(recipe.strategy)
        self.weights = {} if random else without_head(starting_weights(root))
        self.shared = Shared(only_full_tables=True)
        self.net: nn.Sequential | None = None
        self.keys: list[str] = []
        """Of the trainings so far."""

    def predictions(self, seed: int, division: Division) -> np.ndarray:
        """Train on one division; probabilities [n, K] of the rows it is asked about.

        Args:
            seed: Draws the training.
            division: What it learns from, and what it is asked.

        Raises:
            ValueError: The training diverged.
        """
        name, rows = self.recipe.name, division.training
        key = content_hash([*self.identity, seed, *(part.tolist() for part in rows)])
        self.keys.append(key)
        checkpoint = checkpoint_of(key, self.recipe.engine.checkpoint_seconds)
        task = Task(
            recipe=self.recipe,
            setup=self.setup,
            images=self.images,
            rows=rows,
            seed=seed,
            shared=self.shared,
        )
        self.net = starting_model(self.weights, task, self.net)
        done, _ = learn(self.net, task, checkpoint, self.log)
        if done.status == "diverged":
            raise ValueError(
                f"{name}: expected losses that are numbers, got one in epoch {done.epoch} that is "
                f"none. Lower strategies.{name}.lr, or leave {name} out."
            )
        tensors = own_tensors(self.net, self.recipe.strategy, done)
        self.weights = changed_tensors(self.weights, tensors)
        cut = first_part(tensors)
        observer = Observer(net=self.net, cut=cut, setup=self.setup, shared=self.shared)
        return observer.predict(self.images, division.asked)
