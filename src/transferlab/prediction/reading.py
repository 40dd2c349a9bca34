"""The tables of a run read and checked, for all that begins behind the narrow waist. No torch, no
statistics.

Every table is read as text, by `files`: a class, a strategy or a phase may be called `NA`, `1e3` or
`true`. What is a number is made one here, column by column.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..pipeline.files import read_rows
from ..pipeline.makers import made_by, unreadable
from ..pipeline.shapes import short
from .table import columns

HISTORY = (
    *("strategy", "seed", "phase", "epoch", "lr", "train_loss", "train_accuracy"),
    "gradient_norm",
    *("validation_loss", "validation_accuracy", "chosen"),
)
"""Columns of `runs/<strategy>/history.csv`."""

PART = ("fraction", "images")
"""Columns of `predictions/learning_curve/<strategy>.csv` before those of a predictions table."""

SUM_TOLERANCE = 1e-4  # float32 softmax over many classes, written with fewer digits


def read_tables(
    folder: Path, names: Iterable[str], classes: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The checked tables `<name>.csv` of a folder by name; only validation images differ from seed
    to seed.
    """
    same = folder.name != "validation"
    return {
        name: read_predictions(folder / f"{name}.csv", classes, same_images=same) for name in names
    }


def read_predictions(
    path: Path, classes: Sequence[str], *, same_images: bool = True
) -> pd.DataFrame:
    """Read and check one strategy's predictions table.

    A table without rows is allowed: a strategy whose seeds all diverged at once predicted nothing.

    Args:
        path: `<strategy>.csv`, rows sorted by seed.
        classes: Class names in the order of the probability columns.
        same_images: Whether every seed has to have the same images; each has its own validation
            split.

    Raises:
        ValueError: the first line that is not what evaluation writes.
    """
    table = read_table(path, columns(classes))
    _check_predictions(path, table, classes, once=("seed", "id"))
    if same_images:
        _check_seeds(path, table)
    return table


def read_parts(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read and check the predictions of one strategy after training on parts of the images.

    Returns:
        A predictions table with two more columns: `fraction` and `images`.

    Raises:
        ValueError: see `read_predictions`.
    """
    table = read_table(path, [*PART, *columns(classes)])
    for column in PART:
        table[column] = _number(path, table, column, low=0)
    _check_predictions(path, table, classes, once=("fraction", "seed", "id"))
    return table.astype({"images": int})


def read_history(path: Path) -> pd.DataFrame:
    """Read a strategy's history: `strategy` and `phase` as text, all else as numbers, NaN where a
    cell is empty.

    Raises:
        ValueError: It is not what training writes.
    """
    table = read_table(path, HISTORY)
    for column in HISTORY:
        if column not in ("strategy", "phase"):
            table[column] = _number(path, table, column, empty=column not in ("seed", "epoch"))
    return table.astype({"seed": int, "epoch": int})


def read_table(path: Path, expected: Sequence[str]) -> pd.DataFrame:
    """A table of text.

    Args:
        path: Of the CSV file.
        expected: Its columns.

    Raises:
        ValueError: It is damaged, or has other columns.
    """
    header, *rows = read_rows(path)
    if header != list(expected):
        said = f"the columns {', '.join(expected)}"
        raise unreadable(path, said, ", ".join(header))
    return pd.DataFrame(rows, columns=pd.Index(header), dtype=str)


def _number(
    path: Path, table: pd.DataFrame, column: str, *, low: float = -np.inf, empty: bool = False
) -> "pd.Series[float]":
    """A column as finite numbers from `low` on; NaN for an empty cell where there may be one."""
    number = pd.to_numeric(table[column], errors="coerce").astype(float)
    good = np.isfinite(number) & (number >= low) | (empty & (table[column] == ""))
    if not good.all():
        row = int(np.argmin(good))
        got = f"{short(table[column].iloc[row])} in line {row + 2}"
        raise unreadable(path, f"a number as {column}", got)
    return number


def _check_predictions(
    path: Path, table: pd.DataFrame, classes: Sequence[str], once: Sequence[str]
) -> None:
    """Check the rows, and make numbers of what is one, in place.

    Args:
        path: Of the table.
        table: Of text.
        classes: Class names in the order of the probability columns.
        once: Columns whose cells together occur once.
    """
    chances = [f"p_{name}" for name in classes]
    _require(table["strategy"] == path.stem, path, table, f"strategy {path.stem}", "strategy")
    _require(table["seed"].str.fullmatch("[0-9]+"), path, table, "a whole number as seed", "seed")
    for column in ("label", "predicted"):
        _require(
            table[column].isin(list(classes)), path, table, f"a {column} in {list(classes)}", column
        )
    for column in chances:
        number = pd.to_numeric(table[column], errors="coerce")
        _require(number.between(0, 1), path, table, f"a probability in {column}", column)
        table[column] = number.astype(float)
    table["seed"] = table["seed"].astype(int)
    _check_probabilities(path, table, chances)
    _require(~table.duplicated(list(once)), path, table, "every id once per seed", "id")


def _check_probabilities(path: Path, table: pd.DataFrame, chances: list[str]) -> None:
    """Rows sum to 1, and `predicted` is the most probable class."""
    values = table[chances].to_numpy(float)
    sums = table[["seed", "id"]].assign(sum=values.sum(axis=1))
    _require(
        (sums["sum"] - 1).abs() <= SUM_TOLERANCE, path, sums, "probabilities that sum to 1", "sum"
    )
    place = pd.Index(chances).get_indexer(pd.Index("p_" + table["predicted"]))
    largest = values[np.arange(len(table)), place] >= values.max(axis=1, initial=0)
    _require(pd.Series(largest), path, table, "the most probable class as predicted", "predicted")


def _check_seeds(path: Path, table: pd.DataFrame) -> None:
    """Every seed has the same images with the same labels in the same order."""
    seeds = table["seed"].unique()
    for seed in seeds[1:]:
        first, other = (
            table.loc[table["seed"] == value, ["id", "label"]].to_numpy()
            for value in (seeds[0], seed)
        )
        if not np.array_equal(first, other):
            raise ValueError(
                f"{made_by(path)[0]}: expected the same ids and labels in the same order for "
                f"every seed, got others for seed {seed} than for seed {seeds[0]}. {_again(path)}"
            )


def _require(
    good: "pd.Series[bool]", path: Path, table: pd.DataFrame, expected: str, column: str
) -> None:
    if not good.all():
        row = int(np.argmin(good))
        where = f"line {row + 2} (seed {table['seed'].iloc[row]}, {table['id'].iloc[row]})"
        got = table[column].tolist()[row]
        raise ValueError(
            f"{made_by(path)[0]}, {where}: expected {expected}, got {got!r}. {_again(path)}"
        )


def _again(path: Path) -> str:
    stage = made_by(path)[1]
    return f"Run: dvc repro -f -s {stage or f'evaluate@{path.stem}'}"


def seed_accuracies(table: pd.DataFrame) -> dict[int, float]:
    """Share of images that each seed's model got right."""
    right = (table["label"] == table["predicted"]).groupby(table["seed"]).mean()
    return {int(seed): float(share) for seed, share in right.items()}  # type: ignore[call-overload]


def confusion_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Long table `seed, actual, predicted, images` of the pairs that occur."""
    counts = table.groupby(["seed", "label", "predicted"]).size()
    return counts.rename("images").reset_index().rename(columns={"label": "actual"})


def common_ids(predictions: Mapping[str, pd.DataFrame]) -> list[str]:
    """The test images, which must be the same in every table: strategies are compared image by
    image.

    Args:
        predictions: Checked tables by strategy; those without rows are passed over.

    Raises:
        ValueError: Two tables hold different images, or the same in another order.
    """
    tables = {name: table for name, table in predictions.items() if len(table)}
    ids = {
        name: table.loc[table["seed"] == table["seed"].iloc[0], "id"].tolist()
        for name, table in tables.items()
    }
    first, expected = next(iter(ids.items()), ("", []))
    for name, found in ids.items():
        if found != expected:
            odd = sorted(set(expected) ^ set(found))
            got = f"{odd[0]!r} in one of them alone" if odd else "another order"
            raise ValueError(
                f"predictions of {name}: expected the images of {first} in their order, got {got}. "
                f"Run: dvc repro -f -s evaluate@{first} evaluate@{name}"
            )
    return list(expected)
