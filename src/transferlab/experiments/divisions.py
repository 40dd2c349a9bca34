"""The same trainings on other divisions of the images: cross-validation, and parts of the training
images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..data.images import Images, load_images
from ..network import device, models
from ..network.activations import Shared
from ..params.strategies import starts_random
from ..params.whole import Params
from ..pipeline.files import content_hash, read_json, write_csv
from ..pipeline.places import cache_folder
from ..prediction.observer import Observer, first_part
from ..training.checkpoint import Checkpoint
from ..training.facts import describe
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


@dataclass(frozen=True, kw_only=True)
class Division:
    """What one training learns from, and what it is asked afterwards.

    Args:
        seed: Draws the training.
        fit: Rows to learn from.
        validation: Rows that every choice is made on.
        asked: Rows to predict.
    """

    seed: int
    fit: np.ndarray
    validation: np.ndarray
    asked: np.ndarray


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
        name: Key of the strategy.
        params: All parameters.
        code: Digest of the code that trains.
        log: Receives each epoch.
    """

    def __init__(self, root: Path, name: str, params: Params, code: str, log: Log):
        self.name, self.params, self.log = name, params, log
        self.classes = read_json(root / "data/processed/classes.json")["classes"]
        self.images = join(
            *(
                load_images(root / f"data/processed/{split}", self.classes)
                for split in ("train", "test")
            )
        )
        self.place = device.prepare(params.engine, read_json(root / "data/engine.json"))
        start = read_json(root / "data/weights/start.json")["sha256"]
        self.identity = [
            describe(name, params, self.images, start, self.place),
            self.images.digest,
            code,
        ]
        random = starts_random(params.strategies[name])
        self.weights = {} if random else models.starting_weights(root, start)
        self.shared = Shared(whole=True)
        self.net: nn.Sequential | None = None
        self.checkpoints: list[Checkpoint] = []

    def predictions(self, division: Division) -> np.ndarray:
        """Train on one division; probabilities [n, K] of the rows it is asked about.

        Raises:
            ValueError: The training diverged.
        """
        rows, strategy = (division.fit, division.validation), self.params.strategies[self.name]
        key = content_hash([*self.identity, division.seed, *(part.tolist() for part in rows)])
        every = self.params.engine.checkpoint_seconds
        self.checkpoints.append(Checkpoint(cache_folder("resume") / f"{key}.pt", every))
        task = Task(
            params=self.params,
            images=self.images,
            rows=rows,
            seed=division.seed,
            place=self.place,
            shared=self.shared,
        )
        self.net = starting_model(self.weights, self.name, task, self.net)
        done, _ = learn(self.net, self.name, task, self.checkpoints[-1], self.log)
        if done.status == "diverged":
            raise ValueError(
                f"{self.name}: expected losses that are numbers, got one in epoch {done.epoch} "
                "that is none. "
                f"Lower strategies.{self.name}.lr, or leave {self.name} out."
            )
        tensors = own_tensors(self.net, strategy, done)
        self.weights = changed_tensors(self.weights, tensors)
        observer = Observer(
            net=self.net,
            cut=first_part(tensors),
            params=self.params,
            place=self.place,
            shared=self.shared,
        )
        return observer.predict(self.images, division.asked)

    def write(self, path: Path, columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> None:
        """Write a table, and remove what a killed run would have needed to go on."""
        write_csv(path, columns, lines)
        for checkpoint in self.checkpoints:
            checkpoint.remove()
