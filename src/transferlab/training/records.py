"""What stands in `runs/<strategy>/facts.json` and `costs.json`, key by key; no torch, because
comparison and report read them.
"""

from typing import Any, Literal, NotRequired, TypedDict


class Outcome(TypedDict):
    """How one seed ended."""

    status: Literal["finished", "diverged"]
    diverged_epoch: int | None  # whose loss was no longer finite
    best_epoch: int | None  # the one that was kept
    validation_accuracy: float | None  # of that epoch; None where nothing was kept
    validation_loss: float | None


class Trial(TypedDict):
    """One setting that a seed tried (`experiments.trials`)."""

    key: str  # of its training
    lr: float | None  # None: what is solved has none
    epochs: int | None
    validation_accuracy: float | None  # None where it diverged
    validation_loss: float | None


class SeedFacts(Outcome):
    """One seed in `facts.json`."""

    key: str  # names this training for ever
    model_sha256: str
    fit_images: int
    validation_images: int
    operations: int  # of all that was trained, see `experiments.work`
    trials: NotRequired[list[Trial]]  # in the order of trying, where there were several


class Described(TypedDict):
    """What a strategy's models were trained with, and how each seed ended."""

    strategy: str
    title: str
    learner: str
    backbone: str
    classes: list[str]
    preprocessing: dict[str, Any]
    params: dict[str, Any]  # the sections of `params.yaml` that were used, and `strategy`
    start_sha256: str  # of the starting weights
    trainable_parameters: int
    device: str
    threads: int
    precision: str
    memory_format: str
    versions: dict[str, str]
    seeds: dict[str, SeedFacts]
    views: NotRequired[int | None]  # that `views: auto` came to


class Facts(Described):
    """`facts.json`."""

    dataset: str


class Costs(TypedDict):
    """`costs.json`: measured, and so never twice the same."""

    train_seconds: float  # all seeds together, shared tables once
    seconds_per_seed: dict[str, float]
    shared_seconds: float
    peak_memory_mb: float
    device: str
