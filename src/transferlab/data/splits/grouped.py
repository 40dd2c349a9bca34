"""Hold out a share of every class without dividing what belongs together."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..chance import named_generator, stratified_split

Rows = npt.NDArray[np.int64]


def grouped_split(
    labels: Rows,
    fraction: float,
    seed: int,
    purpose: str,
    *,
    levels: Sequence[Rows],
    classes: Sequence[str],
    least: int = 1,
) -> tuple[Rows, Rows]:
    """Hold out about `fraction` of every class, in whole groups; see `chance.stratified_split`.

    Where every image is a group of its own, the result is that of `stratified_split`.

    Args:
        labels: class of each image, [N].
        fraction: share to hold out, in (0, 1).
        seed: with `purpose`, the only source of chance.
        purpose: what the split is for, such as "validation".
        levels: groups of each image [N], the widest first. A class that is one single group is
            divided by the next ones.
        classes: their names, for the message.
        least: images that every class keeps; where that is impossible, the last level alone holds.

    Returns:
        Sorted indices of the kept and of the held-out images.

    Raises:
        ValueError: a class has fewer than two images, or is one group of the last level too.
    """
    if all(len(np.unique(groups)) == len(labels) for groups in levels):
        return stratified_split(labels, fraction, seed, purpose)
    draws = named_generator(seed, purpose).random(len(labels))
    held_out = HeldOut(labels)
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        wanted = wanted_of(len(members), fraction)
        for kept, groups in zip([least] * (len(levels) - 1) + [1], levels, strict=True):
            held_out.take(label, wanted, kept, list(_in_order(members, groups, draws)))
            if held_out.left[label] < len(members):
                break
        else:
            raise ValueError(
                f"{purpose} split: expected at least two groups of class {classes[label]!r}, got "
                f"{len(members)} images of one, and a group is never divided. Add images of "
                "another group, or leave the class out."
            )
    return np.flatnonzero(~held_out.mask), np.flatnonzero(held_out.mask)


def leading_part(labels: Rows, fraction: float, seed: int, purpose: str, *, groups: Rows) -> Rows:
    """About `fraction` of every class, in whole groups; a larger fraction holds all of a smaller.

    Where every image is a group of its own, this is what `stratified_split` holds out.

    Args:
        labels: class of each image, [N].
        fraction: share to take, in (0, 1).
        seed: with `purpose`, the only source of chance.
        purpose: what the part is for.
        groups: group of each image, [N].
    """
    if len(np.unique(groups)) == len(labels):
        return stratified_split(labels, fraction, seed, purpose)[1]
    draws = named_generator(seed, purpose).random(len(labels))
    part = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        left = wanted_of(len(members), fraction)
        for rows in _in_order(members, groups, draws):
            if left <= 0:
                break
            part[rows] = True
            left -= int((labels[rows] == label).sum())
    return np.flatnonzero(part)


class HeldOut:
    """Which images are held out so far, and how many of each class are left."""

    def __init__(self, labels: Rows) -> None:
        self.labels = labels
        self.mask = np.zeros(len(labels), dtype=bool)
        self.left = Counter(labels.tolist())

    def take(self, label: int, wanted: int, least: int, groups: Sequence[Rows]) -> None:
        """Hold out groups as long as they fit, and one if that leaves `least` images."""
        room = wanted - int(self.mask[self.labels == label].sum())
        for rows in groups:
            size = int((self.labels[rows] == label).sum())
            if size <= room and self._may_take(rows, least):
                self._take(rows)
                room -= size
        free = [rows for rows in groups if self._may_take(rows, least)]
        if free and not self.mask[self.labels == label].any():
            self._take(min(free, key=len))

    def _may_take(self, rows: Rows, least: int) -> bool:
        """Whether every class keeps so many images."""
        counts = Counter(self.labels[rows].tolist())
        fits = all(self.left[label] >= count + least for label, count in counts.items())
        return fits and not self.mask[rows].any()

    def _take(self, rows: Rows) -> None:
        self.mask[rows] = True
        self.left -= Counter(self.labels[rows].tolist())


def wanted_of(count: int, fraction: float) -> int:
    """So many of `count` images are `fraction`: at least one, and never all."""
    return min(max(round(fraction * count), 1), count - 1)


def _in_order(members: Rows, groups: Rows, draws: npt.NDArray[np.float64]) -> Iterator[Rows]:
    """All images of each group that has some of `members`, in the order that was drawn."""
    _, first = np.unique(groups[members], return_index=True)
    leaders = members[first]
    leaders = leaders[np.argsort(draws[leaders], kind="stable")]
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups, groups[leaders], "left", sorter=order)
    ends = np.searchsorted(groups, groups[leaders], "right", sorter=order)
    for start, end in zip(starts, ends, strict=True):
        yield order[start:end]
