"""One strategy on all images in repeated folds."""

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


def cross_validate(root: Path, recipe: Recipe, code: str, log: Log) -> None:
    """Write `predictions/cross_validation/<name>.csv`: every image predicted once per repeat, which
    stands as its seed.

    Training and test images take part alike, so this is for ranking. The arguments are those of
    `Trainings`.
    """
    trainings = Trainings(root, recipe, code, log)
    images = trainings.images
    everything = np.arange(len(images))
    predicted: dict[int, np.ndarray] = {}
    divisions = read_divisions(root / "data/splits/folds.csv", images.ids)
    for column, division in heartbeat.each(divisions.items(), "trainings", len(divisions)):
        repeat = int(named(column)["repeat"])
        of_repeat = predicted.setdefault(repeat, np.zeros((len(images), len(images.classes))))
        of_repeat[division.asked] = trainings.predictions(repeat, division)
    lines: list[dict[str, Any]] = []
    for repeat, probabilities in predicted.items():
        lines += table(recipe.name, str(repeat), images, everything, probabilities)
    path = root / f"predictions/cross_validation/{recipe.name}.csv"
    write_csv(path, columns(images.classes), lines)
    await_record(trainings.keys, path)
