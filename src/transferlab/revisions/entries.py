"""One strategy of an experiment, read and checked; whether two were asked about the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.images import read_classes
from ..evidence.numbers import finished
from ..pipeline import files
from ..prediction.reading import read_tables, seed_accuracies
from ..training.records import Costs, Facts

KINDS = ("predictions", "predictions/validation", "predictions/tta")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One strategy of one experiment.

    Args:
        label: Names it in the report.
        strategy: Its key there.
        params: `params.yaml` of the experiment.
        classes: In their order.
        test: Label and sha256 of the file of every test image by its id.
        facts: `facts.json`.
        costs: `costs.json`.
        tables: Predictions by `KINDS`.
    """

    label: str
    strategy: str
    params: Mapping[str, Any]
    classes: Sequence[str]
    test: Mapping[str, tuple[str, str]]
    facts: Facts
    costs: Costs
    tables: Mapping[str, pd.DataFrame]


def read_entry(folder: Path, label: str, strategy: str, params: Mapping[str, Any]) -> Entry:
    """Read and check one strategy of an experiment.

    Args:
        folder: Holds its files as a checkout does.
        label: Names it in the report.
        strategy: Its key there.
        params: `params.yaml` of the experiment.

    Raises:
        ValueError: A file is damaged, or of another version.
    """
    classes = read_classes(folder)
    return Entry(
        label=label,
        strategy=strategy,
        params=params,
        classes=classes,
        test=read_test(folder / "data/processed/test/manifest.csv"),
        facts=files.read_json(folder / f"runs/{strategy}/facts.json", Facts),
        costs=files.read_json(folder / f"runs/{strategy}/costs.json", Costs),
        tables={kind: read_tables(folder / kind, [strategy], classes)[strategy] for kind in KINDS},
    )


def accuracy_of(entry: Entry) -> float | None:
    """Mean test accuracy over seeds, as in `metrics/summary.json`; None where one diverged."""
    name, table = entry.strategy, entry.tables["predictions"]
    if not finished({name: table}, {name: entry.facts}):
        return None
    return float(np.mean(list(seed_accuracies(table).values())))


def read_test(path: Path) -> dict[str, tuple[str, str]]:
    """Label and sha256 of the file of every test image by its id."""
    rows = files.read_csv(path, ("id", "label", "sha256"))
    return {row["id"]: (row["label"], row["sha256"]) for row in rows}


def require_same_test(entries: Sequence[Entry]) -> None:
    """Refuse what was not asked about the same images.

    Raises:
        ValueError: The first difference.
    """
    for first, second in pairwise(entries):
        for what, one, other in (
            ("classes", first.classes, second.classes),
            ("test images", list(first.test), list(second.test)),
        ):
            if one != other:
                raise ValueError(
                    f"compare: expected the same {what}, got {_difference(one, other)} "
                    f"({first.label}, then {second.label})."
                )
        for id, known in first.test.items():
            if known != second.test[id]:
                raise ValueError(
                    "compare: expected the same test images, got another picture or label of "
                    f"{id} ({first.label}, then {second.label})."
                )


def _difference(one: Sequence[str], other: Sequence[str]) -> str:
    for mine, theirs, word in ((one, other, "first"), (other, one, "second")):
        if alone := [item for item in mine if item not in set(theirs)]:
            more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
            return f"{alone[0]}{more} only in the {word}"
    return "another order"
