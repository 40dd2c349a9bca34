"""The tables that `dvc plots` draws."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..pipeline import files
from ..prediction.reading import confusion_counts, read_parts, seed_accuracies
from ..prediction.spreadsheet import cell
from .label_errors import Candidate

CURVES = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss")

LEARNING = ("strategy", "fraction", "images", "seed", "accuracy")

LABEL_ERRORS = ("id", "label", "suggested", "label_probability", "suggested_probability")


def label_rows(found: Iterable[Candidate]) -> list[dict[str, Any]]:
    """The images of `reports/label_errors.csv`, the clearest first."""
    return [
        {
            key: f"{value:.6g}" if isinstance(value, float) else value
            for key, value in vars(it).items()
        }
        for it in found
    ]


def learning_rows(
    root: Path,
    params: Mapping[str, Any],
    counts: Sequence[Mapping[str, str]],
    classes: Sequence[str],
    predictions: Mapping[str, pd.DataFrame],
) -> list[dict[str, Any]]:
    """Accuracy per strategy, part of the training images and seed; the last part, all of them, is
    the run itself.
    """
    train = sum(int(row["train"]) for row in counts)
    rows: list[dict[str, Any]] = []
    for name in params["learning_curve"]["strategies"]:
        parts = read_parts(root / f"predictions/learning_curve/{name}.csv", classes)
        whole = predictions[name].assign(fraction=1.0, images=train)
        for (fraction, images), table in pd.concat([parts, whole]).groupby(["fraction", "images"]):
            shares = seed_accuracies(table)
            rows += [
                {
                    "strategy": name,
                    "fraction": fraction,
                    "images": images,
                    "seed": seed,
                    "accuracy": share,
                }
                for seed, share in shares.items()
            ]
    return rows


def write_curves(path: Path, histories: Mapping[str, pd.DataFrame]) -> None:
    """Write the histories as a long table `strategy, seed, epoch, measure, value`, finite values
    only.
    """
    rows = (
        {
            "strategy": name,
            "seed": row["seed"],
            "epoch": row["epoch"],
            "measure": measure,
            "value": f"{row[measure]:.6g}",
        }
        for name, history in histories.items()
        for measure in CURVES
        for row in history[np.isfinite(history[measure].astype(float))].to_dict("records")
    )
    write_sheet(path, ("strategy", "seed", "epoch", "measure", "value"), rows)


def write_confusion(path: Path, predictions: Mapping[str, pd.DataFrame]) -> None:
    """Write the confusions as a long table `strategy, seed, actual, predicted, images`, of the
    pairs that occur.
    """
    rows = (
        {
            "strategy": name,
            "seed": seed,
            "actual": actual,
            "predicted": predicted,
            "images": images,
        }
        for name, table in predictions.items()
        for seed, actual, predicted, images in confusion_counts(table).itertuples(index=False)
    )
    write_sheet(path, ("strategy", "seed", "actual", "predicted", "images"), rows)


def write_sheet(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table that a person opens: text that begins a formula gets an apostrophe before it,
    so that a spreadsheet shows it and runs nothing.

    Manifests and predictions keep every name as it is: programs read them.
    """
    cells = ({name: cell(value) for name, value in row.items()} for row in rows)
    files.write_csv(path, columns, cells)
