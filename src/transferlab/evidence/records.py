"""What stands in the JSON files of `metrics/`, key by key, and one pair seen from either side.

Numbers are described where they are made: `numbers`, `measures`, `comparison`, `recommendation`.
"""

from typing import Any, Literal, TypedDict

Verdict = Literal["better", "worse", "indistinguishable"]

Short = Literal["seeds", "images", "both"]
"""What would have to be more for a pair to be told apart."""

REVERSED: dict[Verdict, Verdict] = {
    "better": "worse",
    "worse": "better",
    "indistinguishable": "indistinguishable",
}


class Measured(TypedDict):
    """A measure of one strategy; all None where there are no predictions."""

    mean: float | None
    images_low: float | None
    images_high: float | None
    seeds_low: float | None
    seeds_high: float | None
    sd: float | None


class ClassRow(TypedDict):
    """One class of one strategy."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


class Confusion(TypedDict):
    """One class taken for another; images are counted per seed."""

    actual: str
    predicted: str
    images: float


class Bin(TypedDict):
    """One bin of a reliability table."""

    low: float
    high: float
    images: float
    confidence: float | None
    accuracy: float | None


class Numbers(TypedDict):
    """A strategy in `metrics/numbers.json`, where only those that finished stand."""

    measures: dict[str, Measured]
    temperature: float
    classes: dict[str, ClassRow]
    confusions: list[Confusion]
    reliability: list[Bin]
    reliability_scaled: list[Bin]
    bins: int


class Measures(TypedDict):
    """The measures of a strategy in `metrics/summary.json`; None where a seed diverged."""

    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    accuracy_sd: float | None
    accuracy_seeds_low: float | None
    accuracy_seeds_high: float | None
    balanced_accuracy: float | None
    balanced_accuracy_low: float | None
    balanced_accuracy_high: float | None
    macro_f1: float | None
    auroc: float | None
    nll: float | None
    brier: float | None
    ece: float | None
    ece_scaled: float | None
    tta_accuracy: float | None
    validation_accuracy: float | None


class Line(Measures):
    """A strategy in `metrics/summary.json`."""

    seeds: int
    images: int
    operations: int  # counted, all seeds together: what orders the strategies by cost
    train_seconds: float  # measured, all seeds together
    trainable_parameters: int
    status: str


class Control(TypedDict):
    """Accuracy of predictions that nothing was trained for."""

    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    balanced_accuracy: float
    macro_f1: float


class Estimate(TypedDict):
    """How far apart two strategies are."""

    difference: float
    low: float  # of this pair alone, as `high` and `p_value`
    high: float
    p_value: float
    low_all: float  # of all pairs at once, as `high_all` and `p_all`
    high_all: float
    p_all: float
    images_half: float  # half the interval of all pairs, were images alone a sample
    seeds_half: float  # were seeds alone a sample; 0 of one seed
    probability: float


class Split(TypedDict):
    """Images that only one of two strategies recognises, and how likely so uneven a split is."""

    wins: int
    losses: int
    mcnemar_p: float
    holm_p: float


class Pair(Estimate, Split):
    """Two strategies on the same images and seeds."""

    first: str
    second: str
    verdict: Verdict
    short: Short | None
    first_as_good: bool
    second_as_good: bool
    detectable: float


class Needed(TypedDict):
    """What would tell the two leading strategies apart, see `needed.needed`."""

    first: str  # the better one
    second: str
    difference: float
    power: float
    images: int | None
    images_low: int | None
    images_high: int | None
    seeds: int | None


class Settled(TypedDict):
    """What follows from the draws of some strategies, see `comparison.compare`."""

    pairs: list[Pair]
    best: dict[str, float]
    needed: Needed | None


class Compared(Settled):
    """Every pair of some strategies, see `comparison.compare`."""

    images: int
    seeds: int
    confidence: float
    resamples: int
    margin: float
    may_be_best: list[str]


class Recommended(TypedDict):
    """The strategy to use, see `recommendation.recommend`."""

    strategy: str
    best_validation: str | None  # None where nothing was set aside to validate on


class CrossValidated(Compared):
    """The strategies that were cross-validated."""

    accuracy: dict[str, Control]


class Front(TypedDict):
    """By what is paid, the strategies that nothing beats, see `recommendation.front`."""

    operations: list[str]
    trainable_parameters: list[str]


class Comparison(Compared):
    """`metrics/comparison.json`."""

    recommended: Recommended | None
    front: Front
    controls: dict[str, Control]
    cross_validation: CrossValidated


class Evidence(TypedDict):
    """The files of `metrics/` by name."""

    numbers: dict[str, Numbers]
    summary: dict[str, Line]
    comparison: Comparison
    headline: dict[str, Any]


def between(comparison: Settled, first: str, second: str) -> Pair:
    """The pair's record seen from `first`, whichever of the two came first when they were compared.

    Args:
        comparison: Of `comparison.compare`.
        first: Key of a strategy.
        second: Key of another.

    Raises:
        KeyError: They were not compared.
    """
    pairs = {(pair["first"], pair["second"]): pair for pair in comparison["pairs"]}
    if (first, second) in pairs:
        return pairs[first, second]
    return _reversed(pairs[second, first])


def _reversed(pair: Pair) -> Pair:
    """The same record seen from the second strategy."""
    return {
        **pair,
        "first": pair["second"],
        "second": pair["first"],
        "difference": -pair["difference"],
        "low": -pair["high"],
        "high": -pair["low"],
        "low_all": -pair["high_all"],
        "high_all": -pair["low_all"],
        "probability": 1 - pair["probability"],
        "wins": pair["losses"],
        "losses": pair["wins"],
        "verdict": REVERSED[pair["verdict"]],
        "first_as_good": pair["second_as_good"],
        "second_as_good": pair["first_as_good"],
    }
