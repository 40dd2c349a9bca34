"""One strategy on parts of the training images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.divisions import named, read_divisions
from ..params.learning.recipe import Recipe
from ..pipeline import heartbeat
from ..pipeline.awaited import await_record
from ..pipeline.files import write_csv
from ..prediction.table import columns, table
from ..training.task import Log
from .trainings import Trainings


def learning_curve(root: Path, recipe: Recipe, code: str, log: Log) -> None:
    """Write `predictions/learning_curve/<name>.csv`: the test images, by models that saw parts of
    the training images.

    The arguments are those of `Trainings`.
    """
    trainings = Trainings(root, recipe, code, log)
    images, training = trainings.images, trainings.images.first.ids
    test = np.arange(len(training), len(images))
    lines: list[dict[str, Any]] = []
    divisions = read_divisions(root / "data/splits/parts.csv", training)
    for column, part in heartbeat.each(divisions.items(), "trainings", len(divisions)):
        words = named(column)
        division = replace(part, asked=test)
        probabilities = trainings.predictions(int(words["seed"]), division)
        used = {"fraction": words["fraction"], "images": sum(map(len, division.training))}
        rows = table(recipe.name, words["seed"], images, test, probabilities)
        lines += [{**used, **row} for row in rows]
    path = root / f"predictions/learning_curve/{recipe.name}.csv"
    write_csv(path, ["fraction", "images", *columns(images.classes)], lines)
    await_record(trainings.keys, path)
