"""The same trainings on other divisions of the images: cross-validation, and parts of the training images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from . import device, duplicates, runs, train
from .data import Images, load_images, named_generator, stratified_split
from .features import Shared
from .files import cache_folder, content_hash, read_csv, read_json, write_csv
from .params import Params
from .predict import Observer, columns, first_part, table


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined(Images):
    """The images of two splits, one after the other."""

    first: Images
    second: Images

    def __getitem__(self, index: int) -> np.ndarray:
        """One image, uint8 [H, W, 3]."""
        return self.first[index] if index < len(self.first) else self.second[index - len(self.first)]


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

    def __init__(self, root: Path, name: str, params: Params, code: str, log: runs.Log):
        self.name, self.params, self.log = name, params, log
        self.classes = read_json(root / "data/processed/classes.json")["classes"]
        self.images = join(
            *(load_images(root / f"data/processed/{split}", self.classes) for split in ("train", "test"))
        )
        self.place = device.prepare(params.engine, read_json(root / "data/engine.json"))
        start = read_json(root / "data/weights/start.json")["sha256"]
        self.identity = [runs.describe(name, params, self.images, start, self.place), self.images.digest, code]
        random = runs.starts_random(params.strategies[name])
        self.weights = {} if random else runs.starting_weights(root, start)
        self.shared = Shared(whole=True)
        self.net: nn.Sequential | None = None
        self.checkpoints: list[train.Checkpoint] = []

    def predictions(self, division: Division) -> np.ndarray:
        """Train on one division; probabilities [n, K] of the rows it is asked about.

        Raises:
            ValueError: The training diverged.
        """
        rows, strategy = (division.fit, division.validation), self.params.strategies[self.name]
        key = content_hash([*self.identity, division.seed, *(part.tolist() for part in rows)])
        every = self.params.engine.checkpoint_seconds
        self.checkpoints.append(train.Checkpoint(cache_folder("resume") / f"{key}.pt", every))
        task = runs.Task(
            params=self.params,
            images=self.images,
            rows=rows,
            seed=division.seed,
            place=self.place,
            shared=self.shared,
        )
        self.net = runs.starting_model(self.weights, self.name, task, self.net)
        done, _ = runs.learn(self.net, self.name, task, self.checkpoints[-1], self.log)
        if done.status == "diverged":
            raise ValueError(
                f"{self.name}: expected losses that are numbers, got one in epoch {done.epoch} that is none. "
                f"Lower strategies.{self.name}.lr, or leave {self.name} out."
            )
        tensors = runs.own_tensors(self.net, strategy, done)
        self.weights = runs.changed(self.weights, tensors)
        observer = Observer(
            net=self.net, cut=first_part(tensors), params=self.params, place=self.place, shared=self.shared
        )
        return observer.predict(self.images, division.asked)

    def write(self, path: Path, columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> None:
        """Write a table, and remove what a killed run would have needed to go on."""
        write_csv(path, columns, lines)
        for checkpoint in self.checkpoints:
            checkpoint.remove()


def cross_validate(root: Path, name: str, params: Params, code: str, log: runs.Log) -> None:
    """Write `predictions/cross_validation/<name>.csv`: every image predicted once per repeat, which stands as its seed.

    Training and test images take part alike, so this is for ranking; near-duplicates stay on one side of every
    division, and every choice is made on a validation split inside the images of the other folds. The arguments are
    those of `Trainings`.
    """
    trainings = Trainings(root, name, params, code, log)
    images, settings = trainings.images, params.cross_validation
    place = {id: row for row, id in enumerate(images.ids)}
    alike = [(place[row["id"]], place[row["other"]]) for row in read_csv(root / "data/processed/near_duplicates.csv")]
    groups = duplicates.groups(len(images), alike)
    lines: list[dict[str, Any]] = []
    for repeat in range(settings.repeats):
        fold_of = folds(images.labels, groups, settings.folds, repeat)
        found = np.zeros((len(images), len(trainings.classes)))
        for fold in range(settings.folds):
            inside = np.flatnonzero(fold_of != fold)
            aside = max(2, round(1 / params.train.validation_fraction))
            inner = folds(images.labels[inside], groups[inside], aside, repeat)
            division = Division(
                seed=repeat,
                fit=inside[inner != 0],
                validation=inside[inner == 0],
                asked=np.flatnonzero(fold_of == fold),
            )
            found[division.asked] = trainings.predictions(division)
        lines += table(name, str(repeat), images, np.arange(len(images)), found)
    trainings.write(root / f"predictions/cross_validation/{name}.csv", columns(trainings.classes), lines)


def folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each image [N]: groups stay together, and every class is spread as evenly as they allow.

    Groups come in random order, and each goes to the fold that has fewest images of its first image's class.

    Raises:
        ValueError: A class has fewer groups than there are folds.
    """
    fold_of, filled = np.empty(len(labels), dtype=np.int64), np.zeros((labels.max() + 1, count))
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    few = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if few < count:
        raise ValueError(
            f"cross_validation.folds: expected at most {few}, what the smallest class has of images that differ, "
            f"got {count}. Use fewer folds, or a larger train.validation_fraction."
        )
    for group in named_generator(seed, "cross-validation").permutation(len(first)):
        rows, label = np.flatnonzero(members == group), labels[first[group]]
        fold = int(filled[label].argmin())
        fold_of[rows] = fold
        filled[:, fold] += np.bincount(labels[rows], minlength=len(filled))
    return fold_of


def learning_curve(root: Path, name: str, params: Params, code: str, log: runs.Log) -> None:
    """Write `predictions/learning_curve/<name>.csv`: the test images, by models that saw parts of the training images.

    The parts are stratified and nested: a larger one holds all of a smaller one of the same seed. Validation images
    are set aside inside each part. The arguments are those of `Trainings`.
    """
    trainings = Trainings(root, name, params, code, log)
    images = trainings.images
    training = images.labels[: len(images.first)]
    lines: list[dict[str, Any]] = []
    for fraction in params.learning_curve.fractions:
        for seed in params.seeds:
            part = stratified_split(training, fraction, seed, "learning curve")[1]
            inner = stratified_split(training[part], params.train.validation_fraction, seed, "validation")
            division = Division(
                seed=seed,
                fit=part[inner[0]],
                validation=part[inner[1]],
                asked=np.arange(len(training), len(images)),
            )
            used = {"fraction": fraction, "images": len(part)}
            found = table(name, str(seed), images, division.asked, trainings.predictions(division))
            lines += [{**used, **line} for line in found]
    table_columns = ["fraction", "images", *columns(trainings.classes)]
    trainings.write(root / f"predictions/learning_curve/{name}.csv", table_columns, lines)
