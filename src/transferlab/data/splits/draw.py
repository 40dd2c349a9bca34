"""Draw every division of the images, each from a chance of its own, so that none moves another."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ...params.protocols import CrossValidation, LearningCurve
from ...pipeline.files import read_csv
from ..chance import stratified_split
from ..divisions import Division, write_divisions
from ..images import Images
from .enough import require_enough, require_fit, require_groups
from .folds import folds
from .near_duplicates import groups

NOBODY = np.zeros(0, dtype=np.int64)


def write_validation(path: Path, train: Images, seeds: Iterable[int], fraction: float) -> None:
    """Write which training images each seed sets aside to validate on, stratified.

    Args:
        path: Of the table, see `divisions.write_divisions`.
        train: The training split.
        seeds: One division for each.
        fraction: Share of every class that is set aside, in (0, 1).

    Raises:
        ValueError: Too few images of a class are left to fit.
    """
    require_enough(
        train.labels,
        train.classes,
        fraction,
        where="training images",
        advice="Add images of it, leave fewer to the test (dataset.test_fraction), or lower "
        "train.validation_fraction.",
    )
    divisions = {}
    for seed in seeds:
        fit, validation = stratified_split(train.labels, fraction, seed, "validation")
        divisions[f"seed={seed}"] = Division(fit=fit, validation=validation, asked=NOBODY)
    write_divisions(path, train.ids, names(train), divisions)


def write_parts(
    path: Path, train: Images, settings: LearningCurve, seeds: Sequence[int], fraction: float
) -> None:
    """Write parts of the training images for the learning curve.

    They are stratified and nested: a larger one holds all of a smaller one of the same seed.
    Validation images are set aside inside each part. The arguments are those of `write_validation`.

    Raises:
        ValueError: Too few images of a class are left to fit.
    """
    divisions = {}
    for share in settings.fractions if settings.strategies else ():
        for seed in seeds:
            part = stratified_split(train.labels, share, seed, "learning curve")[1]
            require_enough(
                train.labels[part],
                train.classes,
                fraction,
                where=f"learning_curve.fractions={share}",
                advice="Take larger fractions, add images of it, or lower "
                "train.validation_fraction.",
            )
            fit, validation = stratified_split(train.labels[part], fraction, seed, "validation")
            divisions[f"fraction={share} seed={seed}"] = Division(
                fit=part[fit], validation=part[validation], asked=NOBODY
            )
    write_divisions(path, train.ids, names(train), divisions)


def write_folds(
    path: Path,
    images: Sequence[Images],
    alike: Path,
    settings: CrossValidation,
    fraction: float,
) -> None:
    """Write the folds of cross-validation, in which near-duplicates stay on one side.

    Every choice is made on a validation split inside the images of the other folds.

    Args:
        path: Of the table.
        images: Training and test split; both take part alike.
        alike: Table of near-duplicates.
        settings: Repeats and folds.
        fraction: About the share of the other folds' images to validate on.

    Raises:
        ValueError: A class has fewer groups than there are folds, or too few to fit.
    """
    ids = [id for split in images for id in split.ids]
    labels = np.concatenate([split.labels for split in images])
    row_of = {id: row for row, id in enumerate(ids)}
    pairs = [
        (row_of[line["id"]], row_of[line["other"]]) for line in read_csv(alike, ("id", "other"))
    ]
    together, classes = groups(len(ids), pairs), images[0].classes
    everything = labels, together, classes
    divisions = {}
    for repeat in range(settings.repeats if settings.strategies else 0):
        require_groups(
            labels,
            together,
            classes,
            settings.folds,
            what=f"cross_validation.folds={settings.folds}",
            advice="Use fewer folds, or add images of it.",
        )
        fold_of = folds(labels, together, settings.folds, repeat)
        for fold in range(settings.folds):
            column = f"repeat={repeat} fold={fold}"
            divisions[column] = _fold(everything, fold_of == fold, fraction, repeat)
            where = f"cross_validation.folds={settings.folds}, {column}"
            require_fit(divisions[column].fit, labels, classes, where=where)
    write_divisions(path, ids, [name for split in images for name in names(split)], divisions)


def _fold(
    everything: tuple[np.ndarray, np.ndarray, Sequence[str]],
    asked: np.ndarray,
    fraction: float,
    repeat: int,
) -> Division:
    """The division that asks about one fold; inner folds say what validates."""
    labels, together, classes = everything
    inside, count = np.flatnonzero(~asked), max(2, round(1 / fraction))
    require_groups(
        labels[inside],
        together[inside],
        classes,
        count,
        what=f"cross_validation: {count} parts outside a fold, which "
        f"train.validation_fraction={fraction} asks for",
        advice="Raise train.validation_fraction, use more cross_validation.folds, or add images "
        "of it.",
    )
    inner = folds(labels[inside], together[inside], count, repeat)
    return Division(
        fit=inside[inner != 0], validation=inside[inner == 0], asked=np.flatnonzero(asked)
    )


def names(images: Images) -> list[str]:
    """The class of each image."""
    return [images.classes[label] for label in images.labels]
