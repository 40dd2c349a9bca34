"""A few images of every class, drawn anew by each seed."""

from collections.abc import Sequence

import numpy as np

from ..chance import named_generator
from ..divisions import Rows


def few(labels: Rows, classes: Sequence[str], rows: Rows, count: int, seed: int) -> Rows:
    """So many rows of every class, ascending; more of the same seed hold all of fewer.

    What looks the same is not kept together: of a group that is parted, the rest is left out of
    everything.

    Args:
        labels: Class of each image, [N].
        classes: Their names.
        rows: What is drawn from.
        count: Of every class.
        seed: Draws them.

    Raises:
        ValueError: A class has fewer.
    """
    draws, drawn = named_generator(seed, "few images").random(len(labels)), []
    for label, name in enumerate(classes):
        members = rows[labels[rows] == label]
        if len(members) < count:
            raise ValueError(
                f"images_per_class={count}: expected so many training images of class {name!r}, "
                f"got {len(members)}. Take fewer, or add images of it."
            )
        drawn.append(members[np.argsort(draws[members], kind="stable")[:count]])
    return np.sort(np.concatenate(drawn))
