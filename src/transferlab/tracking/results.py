"""What the stages left of one strategy and of the comparison, as MLflow's runs need it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..evidence import measures
from ..evidence.intervals import wilson
from ..pipeline.files import read_csv, read_json
from ..prediction.reading import read_predictions

MEASURES = {
    "accuracy": "test_accuracy",
    "macro_f1": "test_macro_f1",
    "nll": "test_log_loss",
    "ece": "test_calibration_error",
}
"""A measure of metrics/numbers.json -> its name in MLflow, the same for one seed and for all."""


class Results:
    """The files of one strategy; those that a diverged training lacks are empty.

    Args:
        root: the checkout.
        strategy: name.
        compare: section of params.yaml: `confidence` and `calibration_bins`.
    """

    def __init__(self, root: Path, strategy: str, compare: Mapping[str, Any]) -> None:
        self.strategy = strategy
        self.models = root / "models" / strategy
        self.facts_file = root / "runs" / strategy / "facts.json"
        self.facts = read_json(self.facts_file)
        self.history = read_csv(root / "runs" / strategy / "history.csv")
        self.costs = read_json(root / "runs" / strategy / "costs.json")
        predictions = root / "predictions" / f"{strategy}.csv"
        self.predictions = read_csv(predictions) if predictions.exists() else []
        self._measured = _measured(predictions, self.facts["classes"], compare)

    def tables(self, seed: str) -> dict[str, list[dict[str, str]]]:
        """The rows of one seed, by name of the table."""
        tables = {"history": self.history, "predictions": self.predictions}
        return {name: [row for row in rows if row["seed"] == seed] for name, rows in tables.items()}

    def params(self, seed: str) -> dict[str, Any]:
        """The parameters that one seed was trained with: where several settings were tried, those
        that it kept.
        """
        known, given = self.facts["seeds"][seed], self.facts["params"]
        kept = [trial for trial in known.get("trials", []) if trial["key"] == known["key"]]
        setting = {name: trial[name] for trial in kept for name in ("lr", "epochs")}
        return {**given, "strategy": {**given["strategy"], **setting}}

    def finals(self, seed: str) -> dict[str, float | None]:
        """The numbers of one seed that have one value."""
        outcome = self.facts["seeds"][seed]
        seconds = self.costs["seconds_per_seed"].get(seed)
        return {
            **self._measured.get(seed, {}),
            "best_validation_accuracy": outcome["validation_accuracy"],
            "best_epoch": outcome["best_epoch"],
            "train_seconds": seconds,
            "images_per_second": self._rate(seed, seconds),
        }

    def _rate(self, seed: str, seconds: float | None) -> float | None:
        """Images that were fitted a second, those of every epoch counted; None without epochs, and
        where the seconds are those of several settings.
        """
        several = "trials" in self.facts["seeds"][seed]
        if not seconds or several or self.facts["learner"] != "gradient":
            return None
        epochs = len(self.tables(seed)["history"])
        return float(self.facts["seeds"][seed]["fit_images"]) * epochs / seconds


def _measured(
    path: Path, classes: list[str], compare: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """What each seed's predictions give, by seed."""
    table = read_predictions(path, classes) if path.exists() else None
    if table is None or table.empty:
        return {}
    given = measures.outcomes(table)
    once = np.ones((1, len(given.labels)))
    values = {
        "accuracy": measures.accuracy(given, once)[0],
        "macro_f1": measures.macro_f1(given, once)[0],
        "nll": measures.negative_log_likelihood(given, once)[0],
        "ece": measures.calibration_error(given, once, bins=compare["calibration_bins"])[0],
    }
    found = {}
    for place, seed in enumerate(given.seeds):
        own = {MEASURES[name]: float(each[place]) for name, each in values.items()}
        hits, images = float(given.right[place].sum()), len(given.labels)
        found[str(seed)] = own | interval(*wilson(hits, images, compare["confidence"]))
    return found


def interval(low: float | None, high: float | None) -> dict[str, Any]:
    """The ends of an accuracy's interval, by their names in MLflow."""
    return {"test_accuracy_low": low, "test_accuracy_high": high}


def of_comparison(root: Path) -> tuple[str | None, dict[str, float | None]]:
    """The recommended strategy, and the numbers of a comparison: those of the recommended one, and
    the accuracy of each.
    """
    recommended = read_json(root / "metrics/comparison.json")["recommended"]
    numbers = read_json(root / "metrics/numbers.json")
    found: dict[str, float | None] = {
        f"accuracy/{name}": it["measures"]["accuracy"]["mean"] for name, it in numbers.items()
    }
    if recommended is None:
        return None, found
    best = recommended["strategy"]
    own = numbers[best]["measures"]
    found |= {MEASURES[name]: own[name]["mean"] for name in MEASURES}
    found |= interval(own["accuracy"]["images_low"], own["accuracy"]["images_high"])
    found["train_seconds"] = read_json(root / f"runs/{best}/costs.json")["train_seconds"]
    return best, found
