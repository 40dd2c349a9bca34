"""One strategy on all images in repeated folds."""

from pathlib import Path
from typing import Any

import numpy as np

from ..data.splits import near_duplicates
from ..data.splits.folds import folds
from ..params.whole import Params
from ..pipeline.files import read_csv
from ..prediction.table import columns, table
from ..training.task import Log
from .divisions import Division, Trainings


def cross_validate(root: Path, name: str, params: Params, code: str, log: Log) -> None:
    """Write `predictions/cross_validation/<name>.csv`: every image predicted once per repeat, which
    stands as its seed.

    Training and test images take part alike, so this is for ranking; near-duplicates stay on one
    side of every division, and every choice is made on a validation split inside the images of the
    other folds. The arguments are those of `Trainings`.
    """
    trainings = Trainings(root, name, params, code, log)
    images, settings = trainings.images, params.cross_validation
    place = {id: row for row, id in enumerate(images.ids)}
    alike = [
        (place[row["id"]], place[row["other"]])
        for row in read_csv(root / "data/processed/near_duplicates.csv")
    ]
    groups = near_duplicates.groups(len(images), alike)
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
    trainings.write(
        root / f"predictions/cross_validation/{name}.csv", columns(trainings.classes), lines
    )
