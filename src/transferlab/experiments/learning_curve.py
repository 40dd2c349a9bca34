"""One strategy on parts of the training images."""

from pathlib import Path
from typing import Any

import numpy as np

from ..data.chance import stratified_split
from ..params.whole import Params
from ..prediction.table import columns, table
from ..training.task import Log
from .divisions import Division, Trainings


def learning_curve(root: Path, name: str, params: Params, code: str, log: Log) -> None:
    """Write `predictions/learning_curve/<name>.csv`: the test images, by models that saw parts of
    the training images.

    The parts are stratified and nested: a larger one holds all of a smaller one of the same seed.
    Validation images are set aside inside each part. The arguments are those of `Trainings`.
    """
    trainings = Trainings(root, name, params, code, log)
    images = trainings.images
    training = images.labels[: len(images.first)]
    lines: list[dict[str, Any]] = []
    for fraction in params.learning_curve.fractions:
        for seed in params.seeds:
            part = stratified_split(training, fraction, seed, "learning curve")[1]
            inner = stratified_split(
                training[part], params.train.validation_fraction, seed, "validation"
            )
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
