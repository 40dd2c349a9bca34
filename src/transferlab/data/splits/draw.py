"""Draw every division of the images, each from a chance of its own, so that none moves another."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...params.protocols import CrossValidation, LearningCurve
from ...pipeline.files import read_csv
from ..divisions import Division, write_divisions
from ..images import Images
from .enough import FIT, require_enough, require_fit, require_groups
from .few import few
from .folds import folds
from .grouped import grouped_split, leading_part
from .near_duplicates import groups

logger = logging.getLogger(__name__)

NOBODY = np.zeros(0, dtype=np.int64)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bonds:
    """What no division parts, of the training and then the test images, [N] each."""

    together: Rows  # groups of images that look the same or that the user calls a group
    given: Rows  # the user's groups alone
    validation: npt.NDArray[np.bool_]  # the images that the user gave to validate on


def read_bonds(images: Sequence[Images], alike: Path, given: Path) -> Bonds:
    """What stands in the tables of near-duplicates and of what the user gave."""
    row_of = {id: row for row, id in enumerate(id for some in images for id in some.ids)}
    lines = [
        line for line in read_csv(given, ("id", "validation", "group")) if line["id"] in row_of
    ]
    looks = [
        (row_of[line["id"]], row_of[line["other"]]) for line in read_csv(alike, ("id", "other"))
    ]
    first: dict[str, int] = {}
    named = [(line["group"], row_of[line["id"]]) for line in lines if line["group"]]
    same = [(first.setdefault(group, row), row) for group, row in named]
    validation = np.zeros(len(row_of), dtype=bool)
    validation[[row_of[line["id"]] for line in lines if line["validation"]]] = True
    return Bonds(
        together=groups(len(row_of), _pairs([*looks, *same])),
        given=groups(len(row_of), _pairs(same)),
        validation=validation,
    )


def _pairs(pairs: Sequence[tuple[int, int]]) -> Rows:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def write_validation(
    path: Path,
    train: Images,
    bonds: Bonds,
    seeds: Iterable[int],
    fraction: float,
    *,
    per_class: int | None = None,
) -> None:
    """Write which training images each seed fits and which it sets aside to validate on.

    Args:
        path: Of the table, see `divisions.write_divisions`.
        train: The training split.
        bonds: What is not parted; the user's own validation images are those of every seed.
        seeds: One division for each.
        fraction: Share of every class that is set aside, stratified, in [0, 1).
        per_class: So many images of every class are drawn by each seed, beside the user's own
            validation images, and the rest is nobody's; None: all of them.

    Raises:
        ValueError: Too few images of a class, or validation images where there should be none.
    """
    if bonds.validation.any() and not fraction:
        raise ValueError(
            "train.validation_fraction=0: expected no validation images, got "
            f"{bonds.validation.sum()} of your own. Train on them: -S dataset.validation=join, or "
            "leave them out: -S dataset.validation=ignore"
        )
    _warn_of_copies(bonds, len(train))
    divisions = {}
    for seed in seeds:
        rows = _taken(train, bonds, seed, per_class)
        if not bonds.validation.any():
            _require_enough(train, rows, fraction, per_class)
        fit, validation = _set_aside(train, bonds, rows, seed, fraction)
        divisions[f"seed={seed}"] = Division(fit=fit, validation=validation, asked=NOBODY)
    write_divisions(path, train.ids, names(train), divisions)


def _warn_of_copies(bonds: Bonds, count: int) -> None:
    """Say how many of the user's own validation images look like some of the training images."""
    own, together = bonds.validation[:count], bonds.together[:count]
    copies = np.isin(together[own], together[~own]).sum()
    if copies:
        logger.warning(
            "Validation images of your own that look like training images: %d. Choices made on "
            "them are too hopeful: remove them, or join both: -S dataset.validation=join.",
            copies,
        )


def _taken(train: Images, bonds: Bonds, seed: int, per_class: int | None) -> Rows:
    """The training images that a seed works on."""
    if per_class is None:
        return np.arange(len(train))
    own = bonds.validation[: len(train)]
    drawn = few(train.labels, train.classes, np.flatnonzero(~own), per_class, seed)
    return np.sort(np.concatenate([drawn, np.flatnonzero(own)]))


def _require_enough(train: Images, rows: Rows, fraction: float, per_class: int | None) -> None:
    where, advice = (
        "training images",
        (
            "Add images of it, leave fewer to the test (dataset.test_fraction), or lower "
            "train.validation_fraction."
        ),
    )
    if per_class is not None:
        where = f"images_per_class={per_class}"
        advice = "Take more, or lower train.validation_fraction."
    require_enough(train.labels[rows], train.classes, fraction, where=where, advice=advice)


def write_parts(
    path: Path,
    train: Images,
    bonds: Bonds,
    settings: LearningCurve,
    *,
    seeds: Sequence[int],
    fraction: float,
) -> None:
    """Write parts of the training images for the learning curve.

    They are stratified and nested: a larger one holds all of a smaller one of the same seed.
    Validation images are set aside inside each part. The arguments are those of `write_validation`.

    Raises:
        ValueError: Too few images of a class are left to fit.
    """
    divisions = {}
    own = bonds.validation[: len(train)]
    rows = np.flatnonzero(~own)
    labels, together = train.labels[rows], bonds.together[rows]
    for share in settings.fractions if settings.strategies else ():
        for seed in seeds:
            part = rows[leading_part(labels, share, seed, "learning curve", groups=together)]
            if not own.any():
                require_enough(
                    train.labels[part],
                    train.classes,
                    fraction,
                    where=f"learning_curve.fractions={share}",
                    advice="Take larger fractions, add images of it, or lower "
                    "train.validation_fraction.",
                )
            part = np.sort(np.concatenate([part, np.flatnonzero(own)]))
            fit, validation = _set_aside(train, bonds, part, seed, fraction)
            divisions[f"fraction={share} seed={seed}"] = Division(
                fit=fit, validation=validation, asked=NOBODY
            )
    write_divisions(path, train.ids, names(train), divisions)


def _set_aside(
    train: Images, bonds: Bonds, rows: Rows, seed: int, fraction: float
) -> tuple[Rows, Rows]:
    """What to fit and what to validate on, of some training images."""
    if not fraction:
        return rows, NOBODY
    own = bonds.validation[rows]
    if own.any():
        _require_fit(train, rows[~own])
        return rows[~own], rows[own]
    fit, validation = grouped_split(
        train.labels[rows],
        fraction,
        seed,
        "validation",
        levels=[bonds.together[rows], bonds.given[rows]],
        classes=train.classes,
        least=FIT,
    )
    return rows[fit], rows[validation]


def _require_fit(train: Images, fit: Rows) -> None:
    """Refuse to fit fewer than `FIT` images of a class beside the user's own validation images."""
    counts = np.bincount(train.labels[fit], minlength=len(train.classes))
    for name, count in zip(train.classes, counts, strict=True):
        if count < FIT:
            raise ValueError(
                f"training images: expected {FIT} or more of class {name!r} beside the validation "
                f"images, got {count}. Add images of it, or join both: -S dataset.validation=join"
            )


def write_folds(
    path: Path,
    images: Sequence[Images],
    bonds: Bonds,
    settings: CrossValidation,
    fraction: float,
) -> None:
    """Write the folds of cross-validation, in which what belongs together stays on one side.

    Every choice is made on a validation split inside the images of the other folds.

    Args:
        path: Of the table.
        images: Training and test split; both take part alike.
        bonds: What is not parted.
        settings: Repeats and folds.
        fraction: About the share of the other folds' images to validate on.

    Raises:
        ValueError: A class has fewer groups than there are folds, or too few to fit.
    """
    ids = [id for split in images for id in split.ids]
    labels = np.concatenate([split.labels for split in images])
    together, classes = bonds.together, images[0].classes
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
    inside = np.flatnonzero(~asked)
    if not fraction:
        return Division(fit=inside, validation=NOBODY, asked=np.flatnonzero(asked))
    count = max(2, round(1 / fraction))
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
