"""The settings that were tried, and what choosing among them may have flattered."""

from collections.abc import Iterable
from statistics import fmean

from ..training.records import SeedFacts, Trial
from . import words
from .results import Findings


def budget(results: Findings) -> str:
    """How many settings each strategy tried."""
    counts = {len(_tried(seed)) for name in results.facts for seed in _seeds(results, name)} - {0}
    if not counts:
        return (
            "Every strategy had the same budget: one run of each seed with the one configuration "
            "that stands in `params.yaml`. No hyperparameter was searched for on these images "
            "beyond the choices named above."
        )
    return (
        f"Each seed of a strategy that descends a gradient tried {words.span(counts, 'setting')}: "
        "its own and others of rate and epochs, drawn by the seed from `tuning`; the one whose "
        "kept epoch validates best is kept. Training counts all of them. What is solved has "
        "neither rate nor epochs and tried none."
    )


def tried(results: Findings) -> list[str]:
    """What was kept, as a section; nothing where nothing was tried."""
    names = [name for name in results.facts if any(map(_tried, _seeds(results, name)))]
    if not names:
        return []
    header = [results.kind[0], "rate times, epochs (by seed; bold: not its own)"]
    header += ["validation, own setting", "validation, kept", "test accuracy", "validation - test"]
    note = (
        "How far validation lies above the test is what choosing epochs and settings on few "
        "validation images, and chance, have flattered; the test images had no part in it. Only "
        "the kept models were asked about them."
    )
    rows = [_row(results, name) for name in names]
    return ["### Settings that were tried", words.table(header, rows, left=(0, 1)), note]


def _row(results: Findings, name: str) -> list[str]:
    seeds = _seeds(results, name)
    own = _mean(_tried(seed)[0] for seed in seeds)
    kept = _mean(_kept(seed) for seed in seeds)
    test = results.summary[name]["accuracy"]
    return [
        f"`{name}`",
        "; ".join(_setting(seed) for seed in seeds),
        words.percent(own),
        words.percent(kept),
        words.percent(test),
        words.NONE if kept is None or test is None else words.signed(kept - test),
    ]


def _setting(seed: SeedFacts) -> str:
    own, kept = _tried(seed)[0], _kept(seed)
    assert own["lr"] is not None and kept["lr"] is not None
    said = f"{kept['lr'] / own['lr']:g}, {kept['epochs']}"
    return said if kept is own else f"**{said}**"


def _kept(seed: SeedFacts) -> Trial:
    return next(trial for trial in _tried(seed) if trial["key"] == seed["key"])


def _tried(seed: SeedFacts) -> list[Trial]:
    return seed.get("trials", [])


def _seeds(results: Findings, name: str) -> list[SeedFacts]:
    return list(results.facts[name]["seeds"].values())


def _mean(trials: Iterable[Trial]) -> float | None:
    """Of the validation accuracies; None where one diverged."""
    reached = [trial["validation_accuracy"] for trial in trials]
    known = [accuracy for accuracy in reached if accuracy is not None]
    return fmean(known) if len(known) == len(reached) else None
