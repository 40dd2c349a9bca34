"""Which images a training fits, which it validates on and which it is asked about: tables that a
person can open, one column for each training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..pipeline.files import read_csv, write_csv
from ..pipeline.makers import unreadable
from ..pipeline.shapes import short

PARTS = ("fit", "validation", "asked")
"""What an image is for; an empty cell says: nothing."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Division:
    """What one training learns from, and what it is asked afterwards.

    Args:
        fit: Rows to learn from, int64 [n], ascending.
        validation: Rows that every choice is made on.
        asked: Rows to predict.
    """

    fit: Rows
    validation: Rows
    asked: Rows

    @property
    def training(self) -> tuple[Rows, Rows]:
        """What the training sees."""
        return self.fit, self.validation


def write_divisions(
    path: Path, ids: Sequence[str], labels: Sequence[str], divisions: Mapping[str, Division]
) -> None:
    """Write a table: `id`, `label`, and a column of `PARTS` for each division.

    Args:
        path: Of the CSV file.
        ids: Of all images, in the order of their rows.
        labels: Their classes.
        divisions: By column, such as `seed=0` or `repeat=0 fold=3`.
    """
    cells = {name: _cells(division, len(ids)) for name, division in divisions.items()}
    lines = (
        {"id": id, "label": label, **{name: column[row] for name, column in cells.items()}}
        for row, (id, label) in enumerate(zip(ids, labels, strict=True))
    )
    write_csv(path, ("id", "label", *divisions), lines)


def read_divisions(path: Path, ids: Sequence[str]) -> dict[str, Division]:
    """The divisions of a table by column, in its order.

    Raises:
        ValueError: It is damaged, or not about these images in this order.
    """
    lines = read_csv(path, ("id", "label"))
    if [line["id"] for line in lines] != list(ids):
        raise ValueError(
            f"{path}: expected the {len(ids)} images of data/processed in their order, got "
            "others. Run: dvc repro split"
        )
    columns = [name for name in lines[0] if name not in ("id", "label")]
    for line in lines:
        for name in columns:
            if line[name] not in ("", *PARTS):
                expected = f"{', '.join(PARTS)} or nothing in {short(name)}"
                raise unreadable(path, expected, f"{short(line[name])} ({line['id']})")
    return {name: _division([line[name] for line in lines]) for name in columns}


def division_of(path: Path, ids: Sequence[str], seed: int) -> Division:
    """That of one seed.

    Raises:
        ValueError: The table has none, or is not about these images.
    """
    divisions = read_divisions(path, ids)
    if f"seed={seed}" not in divisions:
        raise ValueError(
            f"{path}: expected a column seed={seed}, got {', '.join(divisions) or 'none'}. "
            "Run: dvc repro split"
        )
    return divisions[f"seed={seed}"]


def named(column: str) -> dict[str, str]:
    """The words of a column's name: `repeat=0 fold=3` -> `{"repeat": "0", "fold": "3"}`."""
    return dict(word.split("=") for word in column.split(" "))


def _cells(division: Division, count: int) -> list[str]:
    cells = [""] * count
    for part in PARTS:
        for row in getattr(division, part).tolist():
            cells[row] = part
    return cells


def _division(cells: Sequence[str]) -> Division:
    column = np.array(cells)
    return Division(**{part: np.flatnonzero(column == part) for part in PARTS})
