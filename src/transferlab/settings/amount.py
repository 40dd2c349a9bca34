"""How many images a data set has, where that is known before any is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from ..data.archive.tar import is_tar
from ..params.dataset import Dataset
from ..params.record import plain
from ..pipeline.files import read_csv
from ..pipeline.places import checkout, from_home

if TYPE_CHECKING:
    from .look import Found


class Amount(NamedTuple):
    """Images, roughly where some are still to be drawn or left out."""

    train: int  # the user's own validation images among them
    test: int
    classes: int


PUBLISHED: Mapping[str, Amount] = {
    "https://download.pytorch.org/tutorial/hymenoptera_data.zip": Amount(244, 153, 2),
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": Amount(50_000, 10_000, 10),
}
"""By the address; every class has about as many."""

HELD_OUT = 0.3
"""Of all images, where nothing is known of the test."""


def known(dataset: Dataset) -> Amount | None:
    """What the last run has counted, the settings say or names tell; else None.

    A folder, a zip or a table is listed; a tar is not, since that would read all of it.
    """
    return _processed(dataset, checkout()) or said(dataset) or _listed(dataset)


def thousand(dataset: Dataset) -> Amount:
    """A thousand images, of which some are for the test."""
    test = round(1000 * (dataset.test_fraction or HELD_OUT))
    return Amount(1000 - test, test, len(dataset.classes or range(10)))


def counted(found: "Found", dataset: Dataset) -> Amount:
    """Of a data set that was looked at, with its test images as they will be drawn."""
    test = sum(count.get("test", 0) for count in found.counts.values())
    rest = sum(sum(count.values()) for count in found.counts.values()) - test
    if found.drawn:
        share, each = dataset.test_fraction or 0, found.counts.values()
        test = sum(max(1, round(share * count.get("train", 0))) for count in each)
        rest -= test
    return Amount(rest, test, len(found.counts))


def said(dataset: Dataset) -> Amount | None:
    """Of a data set that is drawn or published."""
    if (drawn := dataset.textures) is not None:
        classes = len(drawn.classes)
        return Amount(classes * drawn.train_per_class, classes * drawn.test_per_class, classes)
    published = PUBLISHED.get(dataset.url or "")
    if published is None or dataset.classes is None:
        return published
    part = len(dataset.classes) / published.classes
    train, test = (round(count * part) for count in published[:2])
    return Amount(train, test, len(dataset.classes))


def _listed(dataset: Dataset) -> Amount | None:
    if dataset.path is None:
        return None
    place = from_home(dataset.path)
    if place.is_file() and is_tar(place):
        return None
    from .look import look_at  # everything that reads images

    found = look_at(place, dataset)
    return None if found.problem else counted(found, dataset)


def _processed(dataset: Dataset, root: Path) -> Amount | None:
    """What preprocessing counted, where `dvc.lock` says that it was of this data set."""
    table = root / "data/processed/class_counts.csv"
    if not table.is_file() or _recorded(root / "dvc.lock") != plain(dataset):
        return None
    rows = read_csv(table, ("class", "train", "test"))
    train, test = (sum(int(row[split]) for row in rows) for split in ("train", "test"))
    return Amount(train, test, len(rows))


def _recorded(lock: Path) -> object:
    """The settings of the data set that was preprocessed last; None where that is not known."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        stages = yaml.load(lock.read_text(encoding="utf-8"), Loader=loader)["stages"]
        return stages["preprocess"]["params"]["params.yaml"]["dataset"]
    except (OSError, yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError):
        return None
