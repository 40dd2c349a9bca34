"""What is known of a finished run, and what its smaller files hold, key by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from ..data.images import Grey
from ..evidence.records import Comparison, Line, Numbers
from ..training.records import Facts
from .label_errors import Candidate


class Archive(TypedDict):
    """`data/raw/archive.json`."""

    name: str
    origin: str
    sha256: str
    verified_by: str
    contents_sha256: str


class Start(TypedDict):
    """`data/weights/start.json`."""

    backbone: str
    weights: str
    origin: str
    sha256: str
    source_file_sha256: str | None


class WeightsFile(TypedDict):
    """`data/weights/file.json`: how the weights came out of a file of others."""

    name: str
    tensors_used: int
    tensors_held: int
    undone: list[str]
    source_dataset: NotRequired[dict[str, Any]]  # what weights that come with this package learned


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Images that look like another one, where the first of each group does not count."""

    images: int
    across: int  # like one on the other side of training and test
    contrary: int  # identical to one of another label
    resembling: int  # only like one of another label
    shown: Sequence[Mapping[str, str]]  # the first of those with two labels, then of those across


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """Images whose label the recommended strategy's models doubt, see `label_errors.candidates`."""

    images: int  # that were asked about, by models that did not train on them
    cross_validated: bool  # training and test images; else those of the test alone
    found: Sequence[Candidate]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the answer and the tables of numbers are made of."""

    params: Mapping[str, Any]
    summary: Mapping[str, Line]  # metrics/summary.json
    numbers: Mapping[str, Numbers]  # metrics/numbers.json
    comparison: Comparison  # metrics/comparison.json
    facts: Mapping[str, Facts]  # runs/<strategy>/facts.json
    kind: tuple[str, str] = ("strategy", "strategies")  # what is compared: one, and many

    @property
    def dataset(self) -> str:
        """What a person calls the images: their own folder or zip by its name."""
        dataset = self.params["dataset"]
        if dataset["name"] != "folder" or dataset["path"] is None:
            return str(dataset["name"])
        return Path(dataset["path"]).name.removesuffix(".zip") or str(dataset["path"])

    @property
    def recommended(self) -> str | None:
        """Key of the strategy to use; None where nothing finished."""
        found = self.comparison["recommended"]
        return found and found["strategy"]


@dataclass(frozen=True, kw_only=True)
class Results(Findings):
    """All that the Markdown is made of."""

    defaults: Mapping[str, Any]  # conf/defaults.yaml
    baseline: str | None  # the commit that the run started from
    params_sha256: str  # of params.yaml, which names the comparison in MLflow
    counts: Sequence[Mapping[str, str]]  # data/processed/class_counts.csv
    skipped: Sequence[Mapping[str, str]]  # data/processed/skipped.csv
    alike: Alike  # data/splits/near_duplicates.csv
    doubts: Doubts  # of predictions/
    contrast: Grey | None  # data/processed/classes.json, where images have 16 bits of grey
    archive: Archive  # data/raw/archive.json
    start: Start  # data/weights/start.json
    weights_file: WeightsFile | None  # data/weights/file.json

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


Shared = Literal["device", "threads", "precision", "memory_format", "versions"]


def shared_by(results: Findings, key: Shared) -> str:
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


def those_finished(results: Findings) -> list[str]:
    """Names of the strategies that have an accuracy."""
    return [name for name, row in results.summary.items() if row["accuracy"] is not None]


def excluded(results: Findings) -> list[str]:
    """Names of those that are shown not to be the best."""
    able = results.comparison["may_be_best"]
    return [name for name in those_finished(results) if name not in able]


def as_cheap(results: Findings) -> list[str]:
    """Those of the set that may be best which cost as little as the recommended one, which is one
    of them: between these alone validation decides.
    """
    best = results.recommended
    return [
        name
        for name in results.comparison["may_be_best"]
        if best and results.summary[name]["operations"] == results.summary[best]["operations"]
    ]


def confidence_of(results: Findings) -> str:
    """The level of all intervals, such as `95 %`."""
    return f"{100 * results.params['compare']['confidence']:g} %"
