"""The predictions table, the narrow waist: its columns and its rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..data.images import Images

COLUMNS = ("strategy", "seed", "id", "label", "predicted")
"""Of a predictions table, before one column `p_<class>` for each class."""


def columns(classes: Sequence[str]) -> list[str]:
    """Of a predictions table."""
    return [*COLUMNS, *(f"p_{label}" for label in classes)]


def table(
    name: str, seed: str, images: Images, rows: np.ndarray, probabilities: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Lines of a predictions table, one for each of the given rows of the manifest; made one at a
    time, for with a thousand classes each is a thousand numbers in words.
    """
    predicted = probabilities.argmax(1)
    for i, row in enumerate(rows.tolist()):
        yield {
            "strategy": name,
            "seed": seed,
            "id": images.ids[row],
            "label": images.classes[images.labels[row]],
            "predicted": images.classes[predicted[i]],
            **{
                f"p_{label}": f"{p:.9g}"
                for label, p in zip(images.classes, probabilities[i], strict=True)
            },
        }
