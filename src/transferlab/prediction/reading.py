"""The predictions table read and checked, for all that begins behind the narrow waist. No torch, no
statistics.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .table import COLUMNS

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
    chances = [f"p_{name}" for name in classes]
    # As text first: a class may be called "NA" or "01", and each bad cell has to be shown as it
    # stands.
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != [*COLUMNS, *chances]:
        raise ValueError(
            f"{path.name}: expected the columns {', '.join([*COLUMNS, *chances])}, got "
            f"{', '.join(table.columns)}. "
            f"{_again(path)}"
        )
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
    _require(~table.duplicated(["seed", "id"]), path, table, "every id once per seed", "id")
    if same_images:
        _check_seeds(path, table)
    return table


def _check_probabilities(path: Path, table: pd.DataFrame, chances: list[str]) -> None:
    """Rows sum to 1, and `predicted` is the most probable class."""
    values = table[chances].to_numpy(float)
    table = table.assign(sum=values.sum(axis=1))
    _require(
        (table["sum"] - 1).abs() <= SUM_TOLERANCE, path, table, "probabilities that sum to 1", "sum"
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
                f"{path.name}: expected the same ids and labels in the same order for every seed, "
                f"got others for seed {seed} than for seed {seeds[0]}. {_again(path)}"
            )


def _require(
    good: "pd.Series[bool]", path: Path, table: pd.DataFrame, expected: str, column: str
) -> None:
    if not good.all():
        row = int(np.argmin(good))
        place = (
            f"{path.name}, line {row + 2} (seed {table['seed'].iloc[row]}, {table['id'].iloc[row]})"
        )
        got = table[column].tolist()[row]
        raise ValueError(f"{place}: expected {expected}, got {got!r}. {_again(path)}")


def _again(path: Path) -> str:
    stage = {"controls": "controls", "cross_validation": f"cross_validate@{path.stem}"}
    return f"Run: dvc repro --force {stage.get(path.parent.name, f'evaluate@{path.stem}')}"


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
            raise ValueError(
                f"the two tables have different ids: {first} and {name} "
                f"{f'do not share {odd[0]!r}' if odd else 'hold them in another order'}. "
                f"Run: dvc repro --force evaluate@{first} evaluate@{name}"
            )
    return list(expected)
