"""Draw the test images of an archive that has none, once it is known which look the same."""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..images import Pixels
from ..splits.grouped import grouped_split
from ..splits.near_duplicates import find, groups
from .layout import Entry

logger = logging.getLogger(__name__)

LEAST = 3
"""Training images of every class: two to fit and one to validate on."""


def held_out(
    entries: Sequence[Entry],
    pictures: Sequence[Pixels | None],
    classes: Sequence[str],
    fraction: float,
    seed: int,
) -> set[str]:
    """The ids of the images to hold out of every class.

    Images that look the same and groups that the user gave stay on one side. All listed files take
    part in the draw, so that an unreadable one moves no other.

    Args:
        entries: The files to draw among.
        pictures: What each looks like, None where it cannot be used or nobody has looked.
        classes: Their names.
        fraction: Share of every class.
        seed: The only source of chance.

    Raises:
        ValueError: A class has a single group.
    """
    labels = np.array([classes.index(entry.label) for entry in entries])
    seen = np.flatnonzero([picture is not None for picture in pictures])
    links = np.zeros((0, 2), dtype=np.int64)
    if len(seen):
        alike = find([picture for picture in pictures if picture is not None], labels[seen])
        links = seen[alike.links[:, :2]].reshape(-1, 2)
    given = given_pairs(entries)
    count = len(entries)
    levels = [groups(count, np.concatenate([links, given])), groups(count, given)]
    division = grouped_split(
        labels, fraction, seed, "test", levels=levels, classes=classes, least=LEAST
    )
    tested = division[1]
    _warn_of_divided(labels, levels[0], tested, classes)
    return {entries[row].id for row in tested}


def given_pairs(entries: Sequence[Entry]) -> npt.NDArray[np.int64]:
    """Pairs of images that the user calls a group, [M, 2]."""
    first: dict[str, int] = {}
    rows = [(entry.group, row) for row, entry in enumerate(entries) if entry.group]
    pairs = [(first.setdefault(group, row), row) for group, row in rows]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _warn_of_divided(
    labels: npt.NDArray[np.int64],
    together: npt.NDArray[np.int64],
    tested: npt.NDArray[np.int64],
    classes: Sequence[str],
) -> None:
    """Say which classes look all the same, because their test is easier than it should be."""
    kept = np.setdiff1d(np.arange(len(labels)), tested)
    both = np.intersect1d(together[kept], together[tested])
    divided = np.unique(labels[np.isin(together, both)])
    if len(divided):
        names = ", ".join(repr(classes[label]) for label in divided[:10])
        more = f" and {len(divided) - 10} more" if len(divided) > 10 else ""
        logger.warning(
            "%s%s: too few images look different, so some that look the same had to go to both "
            "training and test: the test is easier than it should be.",
            names,
            more,
        )
