"""The same trainings on other divisions of the images: cross-validation, and parts of the training
images.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.divisions import Division
from ..data.images import SPLITS, Images, load_images, read_classes
from ..network.activations import Shared
from ..params.learning.recipe import Recipe
from ..pipeline.files import content_hash
from ..prediction.observer import Observer, first_part
from ..training.task import Log
from .trainer import Trainer


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
    """One strategy on one division of all images after the other.

    Args:
        root: Checkout that holds data/.
        recipe: The strategy, and what else its training depends on.
        code: Digest of the code that trains.
        log: Receives each epoch.
    """

    def __init__(self, root: Path, recipe: Recipe, code: str, log: Log):
        self.recipe, self.log = recipe, log
        classes = read_classes(root)
        splits = (load_images(root / f"data/processed/{split}", classes) for split in SPLITS)
        self.images = join(*splits)
        self.trainer = Trainer(
            root=root,
            recipe=recipe,
            images=self.images,
            split=len(self.images.first),
            code=code,
            shared=Shared(only_full_tables=True),
        )
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
        trainer, name = self.trainer, self.recipe.name
        made = trainer.train(self.recipe, seed, division.training, lambda key, facts: self.log)
        self.keys.append(made.key)
        if made.done.status == "diverged":
            raise ValueError(
                f"{name}: expected losses that are numbers, got one in epoch {made.done.epoch} "
                f"that is none. Lower strategies.{name}.lr, or leave {name} out."
            )
        assert trainer.net is not None
        observer = Observer(
            net=trainer.net,
            cut=first_part(made.tensors),
            setup=trainer.setup,
            shared=trainer.shared,
        )
        return observer.predict(self.images, division.asked)
