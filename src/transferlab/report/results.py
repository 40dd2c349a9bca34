"""The files of a finished run, read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evidence.records import Comparison, Line, Numbers


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that the Markdown is made of."""

    params: Mapping[str, Any]
    defaults: Mapping[str, Any]  # what `conf/` composes to without overrides
    baseline: str | None  # the commit that the run started from
    summary: Mapping[str, Line]  # metrics/summary.json
    numbers: Mapping[str, Numbers]  # metrics/numbers.json
    comparison: Comparison  # metrics/comparison.json
    facts: Mapping[str, Mapping[str, Any]]  # runs/<strategy>/facts.json
    counts: Sequence[Mapping[str, str]]  # data/processed/class_counts.csv
    skipped: Sequence[Mapping[str, str]]  # data/processed/skipped.csv
    alike: Sequence[Mapping[str, str]]  # data/splits/near_duplicates.csv
    archive: Mapping[str, Any]  # data/raw/archive.json
    start: Mapping[str, Any]  # data/weights/start.json

    @property
    def dataset(self) -> str:
        """What a person calls the images: their own folder or zip by its name."""
        dataset = self.params["dataset"]
        if dataset["name"] != "folder":
            return str(dataset["name"])
        return Path(dataset["path"]).name.removesuffix(".zip") or str(dataset["path"])

    @property
    def recommended(self) -> str | None:
        """Key of the strategy to use; None where nothing finished."""
        found = self.comparison["recommended"]
        return found and found["strategy"]

    @property
    def viewed(self) -> str | None:
        """The strategy whose training views are shown: the recommended one if it has any, else the
        first.
        """
        gradient = [
            name
            for name, section in self.params["strategies"].items()
            if section["learner"] == "gradient"
        ]
        return self.recommended if self.recommended in gradient else next(iter(gradient), None)


def shared_by(results: Results, key: str) -> str:
    """A fact of all strategies, or each value with the strategies it belongs to."""
    groups: dict[str, list[str]] = {}
    for name, fact in results.facts.items():
        value = fact[key]
        text = (
            ", ".join(f"{k} {v}" for k, v in value.items())
            if isinstance(value, Mapping)
            else str(value)
        )
        groups.setdefault(text, []).append(name)
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(f"{text} ({', '.join(names)})" for text, names in groups.items())


def those_finished(results: Results) -> list[str]:
    """Names of the strategies that have an accuracy."""
    return [name for name, row in results.summary.items() if row["accuracy"] is not None]


def confidence_of(results: Results) -> str:
    """The level of all intervals, such as `95 %`."""
    return f"{100 * results.params['compare']['confidence']:g} %"
