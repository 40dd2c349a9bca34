"""The tables that `dvc plots` draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..pipeline import files
from ..prediction.reading import confusion_counts, seed_accuracies

CURVES = ("validation_accuracy", "validation_loss", "train_loss")

LEARNING = ("strategy", "fraction", "images", "seed", "accuracy")


def learning_rows(
    root: Path,
    params: Mapping[str, Any],
    classes: Sequence[str],
    predictions: Mapping[str, pd.DataFrame],
) -> list[dict[str, Any]]:
    """Accuracy per strategy, part of the training images and seed; the last part, all of them, is
    the run itself.
    """
    train = sum(
        int(row["train"]) for row in files.read_csv(root / "data/processed/class_counts.csv")
    )
    rows: list[dict[str, Any]] = []
    for name in params["learning_curve"]["strategies"]:
        parts = pd.read_csv(
            root / f"predictions/learning_curve/{name}.csv", dtype={"label": str, "predicted": str}
        )
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
    files.write_csv(path, ("strategy", "seed", "epoch", "measure", "value"), rows)


def write_confusion(path: Path, predictions: Mapping[str, pd.DataFrame]) -> None:
    """Write the confusions as a long table `strategy, seed, actual, predicted, images`, of the
    pairs that occur.
    """
    rows = (
        {
            "strategy": name,
            "seed": seed,
            "actual": _cell(actual),
            "predicted": _cell(predicted),
            "images": images,
        }
        for name, table in predictions.items()
        for seed, actual, predicted, images in confusion_counts(table).itertuples(index=False)
    )
    files.write_csv(path, ("strategy", "seed", "actual", "predicted", "images"), rows)


def _cell(text: str) -> str:
    """Text that a spreadsheet does not run as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
