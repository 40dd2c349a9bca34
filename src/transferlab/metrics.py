"""Predictions tables to numbers with intervals.

The predictions table is the narrow waist of the pipeline: torch ended before it, pandas is enough from here on.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("strategy", "seed", "id", "label", "predicted")
"""Of a predictions table, before one column `p_<class>` for each class."""

SUM_TOLERANCE = 1e-4  # float32 softmax over many classes, written with fewer digits


def read_predictions(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read and check one strategy's predictions table.

    A table without rows is allowed: a strategy whose seeds all diverged at once predicted nothing.

    Args:
        path: `<strategy>.csv`, rows sorted by seed.
        classes: Class names in the order of the probability columns.

    Raises:
        ValueError: the first line that is not what evaluation writes.
    """
    chances = [f"p_{name}" for name in classes]
    # As text first: a class may be called "NA" or "01", and each bad cell has to be shown as it stands.
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != [*COLUMNS, *chances]:
        raise ValueError(
            f"{path.name}: expected the columns {', '.join([*COLUMNS, *chances])}, got {', '.join(table.columns)}. "
            f"{_again(path)}"
        )
    _require(table["strategy"] == path.stem, path, table, f"strategy {path.stem}", "strategy")
    _require(table["seed"].str.fullmatch("[0-9]+"), path, table, "a whole number as seed", "seed")
    for column in ("label", "predicted"):
        _require(table[column].isin(list(classes)), path, table, f"a {column} in {list(classes)}", column)
    for column in chances:
        number = pd.to_numeric(table[column], errors="coerce")
        _require(number.between(0, 1), path, table, f"a probability in {column}", column)
        table[column] = number.astype(float)
    table["seed"] = table["seed"].astype(int)
    _check_probabilities(path, table, chances)
    _check_seeds(path, table)
    return table


def _check_probabilities(path: Path, table: pd.DataFrame, chances: list[str]) -> None:
    """Rows sum to 1, and `predicted` is the most probable class."""
    values = table[chances].to_numpy(float)
    table = table.assign(sum=values.sum(axis=1))
    _require((table["sum"] - 1).abs() <= SUM_TOLERANCE, path, table, "probabilities that sum to 1", "sum")
    place = pd.Index(chances).get_indexer(pd.Index("p_" + table["predicted"]))
    largest = values[np.arange(len(table)), place] >= values.max(axis=1, initial=0)
    _require(pd.Series(largest), path, table, "the most probable class as predicted", "predicted")


def _check_seeds(path: Path, table: pd.DataFrame) -> None:
    """Every seed has the same images with the same labels in the same order, each once."""
    _require(~table.duplicated(["seed", "id"]), path, table, "every id once per seed", "id")
    seeds = table["seed"].unique()
    for seed in seeds[1:]:
        first, other = (table.loc[table["seed"] == value, ["id", "label"]].to_numpy() for value in (seeds[0], seed))
        if not np.array_equal(first, other):
            raise ValueError(
                f"{path.name}: expected the same ids and labels in the same order for every seed, "
                f"got others for seed {seed} than for seed {seeds[0]}. {_again(path)}"
            )


def _require(good: "pd.Series[bool]", path: Path, table: pd.DataFrame, expected: str, column: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        place = f"{path.name}, line {row + 2} (seed {table['seed'].iloc[row]}, {table['id'].iloc[row]})"
        got = table[column].tolist()[row]
        raise ValueError(f"{place}: expected {expected}, got {got!r}. {_again(path)}")


def _again(path: Path) -> str:
    return f"Run: dvc repro --force evaluate@{path.stem}"


def wilson(successes: float, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of a share; it stays within 0 and 1 and needs no large `n`.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.

    Args:
        successes: Between 0 and `n`; need not be whole, because it may be a mean over seeds.
        n: Number of trials, at least 1.
        confidence: Coverage, such as 0.95.

    Returns:
        Lower and upper end.
    """
    if not (n >= 1 and 0 <= successes <= n and 0 < confidence < 1):
        raise ValueError(
            f"wilson: expected 0 <= successes <= n, n >= 1, 0 < confidence < 1, got {successes}, {n}, {confidence}."
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    # At the ends the formula is exactly 0 or 1; floats miss it by an ulp.
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


def seed_accuracies(table: pd.DataFrame) -> dict[int, float]:
    """Share of images that each seed's model got right."""
    right = (table["label"] == table["predicted"]).groupby(table["seed"]).mean()
    return {int(seed): float(share) for seed, share in right.items()}  # type: ignore[call-overload]


def confusion_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Long table `seed, actual, predicted, images` of the pairs that occur."""
    counts = table.groupby(["seed", "label", "predicted"]).size()
    return counts.rename("images").reset_index().rename(columns={"label": "actual"})


def summarise(
    predictions: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Mapping[str, Any]],
    costs: Mapping[str, Mapping[str, Any]],
    confidence: float,
) -> dict[str, dict[str, Any]]:
    """The numbers of `metrics/summary.json`, one record per strategy.

    `accuracy` is the mean over seeds. `accuracy_low` and `accuracy_high` are Wilson's interval around that mean, with
    the test images as the sample: what other images of the same kind would have given. An image's share of seeds that
    got it right varies at most as a coin does (Bhatia and Davis 2000), so the interval is, if anything, too wide.
    `accuracy_sd` is another thing: the standard deviation over seeds, what retraining changes on these very images.

    Args:
        predictions: Checked tables by strategy, see `read_predictions`.
        facts: `facts.json` by strategy.
        costs: `costs.json` by strategy.
        confidence: Coverage of the interval.

    Raises:
        ValueError: tables of different images, or seeds that the facts do not know.
    """
    images = len(_common_ids(predictions))
    return {
        name: {
            **_accuracy(name, table, facts[name], images, confidence),
            "seeds": len(facts[name]["seeds"]),
            "images": images,
            "train_seconds": costs[name]["train_seconds"],
            "trainable_parameters": facts[name]["trainable_parameters"],
            "status": status(facts[name]),
        }
        for name, table in predictions.items()
    }


def _accuracy(
    name: str, table: pd.DataFrame, facts: Mapping[str, Any], images: int, confidence: float
) -> dict[str, float | None]:
    shares = seed_accuracies(table)
    diverged = _diverged(facts)
    trained = {int(seed) for seed in facts["seeds"]}
    # A diverged seed may have kept an earlier epoch, or nothing that could predict.
    if not trained - diverged.keys() <= shares.keys() <= trained:
        raise ValueError(
            f"{name}.csv: expected the seeds that were trained, {sorted(trained)}, got {sorted(shares)}. "
            f"Run: dvc repro --force evaluate@{name}"
        )
    keys = ("accuracy", "accuracy_low", "accuracy_high", "accuracy_sd")
    if diverged:
        return dict.fromkeys(keys)
    mean = float(np.mean(list(shares.values())))
    spread = float(np.std(list(shares.values()), ddof=1)) if len(shares) > 1 else None
    return dict(zip(keys, (mean, *wilson(mean * images, images, confidence), spread), strict=True))


def status(facts: Mapping[str, Any]) -> str:
    """`finished`, or where training stopped: `diverged at epoch 2 (seed 1, lr 0.01)`."""
    rate = facts["params"]["strategy"].get("lr")
    where = [f"epoch {epoch} (seed {seed}, lr {rate})" for seed, epoch in _diverged(facts).items()]
    return f"diverged at {', '.join(where)}" if where else "finished"


def _diverged(facts: Mapping[str, Any]) -> dict[int, int]:
    """Seed to the epoch at which its loss stopped being finite."""
    return {int(s): record["diverged_epoch"] for s, record in facts["seeds"].items() if record["status"] == "diverged"}


def _common_ids(predictions: Mapping[str, pd.DataFrame]) -> list[str]:
    """The test images, which must be the same in every table: strategies are compared image by image."""
    tables = {name: table for name, table in predictions.items() if len(table)}
    ids = {name: table.loc[table["seed"] == table["seed"].iloc[0], "id"].tolist() for name, table in tables.items()}
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
