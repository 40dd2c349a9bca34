"""Enough images of every class in every division, or a refusal before anything is trained."""

from collections.abc import Sequence

import numpy as np

from ..divisions import Rows

FIT = 2
"""Images of every class that a training fits: a probe holds one out to choose C."""


def require_enough(
    labels: Rows, classes: Sequence[str], fraction: float, *, where: str, advice: str
) -> None:
    """Refuse images of which a stratified split leaves too few of a class to fit.

    Args:
        labels: Class of each image that is about to be divided, [N].
        classes: Names of all classes.
        fraction: Share that is set aside to validate on.
        where: What the images are, as the beginning of a sentence.
        advice: What to do about it.

    Raises:
        ValueError: A class has too few.
    """
    for name, count in zip(classes, np.bincount(labels, minlength=len(classes)), strict=True):
        held_out = min(max(round(fraction * count), 1), max(count - 1, 0)) if fraction else 0
        if count - held_out < FIT:
            raise ValueError(
                f"{where}: expected {FIT} images or more of class {name!r} to fit and "
                f"{1 if fraction else 'none'} to validate on, got {count - held_out} and "
                f"{held_out}. {advice}"
            )


def require_groups(
    labels: Rows, groups: Rows, classes: Sequence[str], least: int, *, what: str, advice: str
) -> None:
    """Refuse classes with fewer groups of images that look the same than there are folds.

    Args:
        labels: Class of each image, [N].
        groups: Group of each image, [N].
        classes: Names of all classes.
        least: How many folds there are.
        what: The setting that asks for them, with its value.
        advice: What to do about it.

    Raises:
        ValueError: A class has fewer.
    """
    for label, name in enumerate(classes):
        count = len(np.unique(groups[labels == label]))
        if count < least:
            raise ValueError(
                f"{what}: expected at least {least} images of class {name!r} that differ, got "
                f"{count}. {advice}"
            )


def require_fit(fit: Rows, labels: Rows, classes: Sequence[str], *, where: str) -> None:
    """Refuse a fold that leaves fewer than `FIT` images of a class to fit.

    Raises:
        ValueError: It does.
    """
    for name, count in zip(classes, np.bincount(labels[fit], minlength=len(classes)), strict=True):
        if count < FIT:
            raise ValueError(
                f"{where}: expected {FIT} images or more of class {name!r} to fit, got {count}. "
                "Add images of it, or switch cross-validation off: cross_validation.strategies=[]"
            )
