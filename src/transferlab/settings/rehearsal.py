"""The divisions that a run will draw, drawn by names alone, so that too few images of a class are
refused before anything is written.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..data.images import Images
from ..data.ingest.hold_out import given_pairs, held_out
from ..data.ingest.layout import Entry
from ..data.splits import draw
from ..data.splits.near_duplicates import groups
from ..params.whole import Params
from .look import Found


def divide(found: Found, values: Params, bad: Collection[str] = ()) -> None:
    """Draw hold-out, validation, folds and parts as if no two images looked the same.

    Args:
        found: The images.
        values: How they are divided.
        bad: The ids of those that take part in the hold-out and are left out then.

    Raises:
        ValueError: There are too few images or groups of a class, with the setting that helps.
    """
    classes, tested = list(found.counts), set[str]()
    if found.drawn:
        open_ = [entry for entry in found.entries if not entry.validation]
        fraction, seed = values.dataset.test_fraction, values.dataset.split_seed
        assert fraction is not None  # params: it is there where a test folder may not be
        tested = held_out(open_, [None] * len(open_), classes, fraction, seed)
    train, test = (
        [it for it in found.entries if it.id not in bad and _is_test(it, tested) is asked]
        for asked in (False, True)
    )
    pairs, count = given_pairs([*train, *test]), len(train) + len(test)
    given = groups(count, pairs)
    own = np.array([entry.validation for entry in [*train, *test]], dtype=bool)
    bonds = draw.Bonds(together=given, given=given, validation=own)
    images, seeds = [_named(some, classes) for some in (train, test)], values.seeds
    fraction = values.train.validation_fraction
    with TemporaryDirectory(prefix="transferlab-") as folder:
        path = Path(folder) / "division.csv"
        few = values.images_per_class
        draw.write_validation(path, images[0], bonds, seeds, fraction, per_class=few)
        draw.write_folds(path, images, bonds, values.cross_validation, fraction)
        curve = values.learning_curve
        draw.write_parts(path, images[0], bonds, curve, seeds=seeds, fraction=fraction)


def _is_test(entry: Entry, tested: set[str]) -> bool:
    return entry.split == "test" or entry.id in tested


def _named(entries: Sequence[Entry], classes: Sequence[str]) -> Images:
    """Images of which nothing is known but their names."""
    labels = np.array([classes.index(entry.label) for entry in entries], dtype=np.int64)
    return Images(
        ids=tuple(entry.id for entry in entries),
        labels=labels,
        classes=tuple(classes),
        digest="",
        pixels=np.zeros(0, dtype=np.uint8),
        places=np.zeros((0, 3), dtype=np.int64),
    )
