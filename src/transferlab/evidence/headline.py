"""The handful of numbers by which people tell experiments apart in `dvc exp show`."""

from collections.abc import Mapping
from typing import Any

from .records import Comparison, Line, between

DIGITS = 2  # of percentages: a hundredth of a point is one image of 10,000


def headline(summary: Mapping[str, Line], comparison: Comparison) -> dict[str, Any]:
    """The numbers of `metrics/headline.json`: what the report recommends, and one accuracy a
    strategy.

    `use` holds the recommended `strategy`, its mean test `accuracy` with the ends `low` and `high`
    of the interval over images, its `lead` over the runner-up and the `seconds` of its training,
    all seeds together. The runner-up is the one of the others that validates best, so no test image
    chose it; between equals it is the better one in the test. Without validation images there is
    none. All but seconds are in percent or points. What does not exist is None.

    Args:
        summary: Of `numbers.summarise`.
        comparison: Of the same strategies.
    """
    best = comparison["recommended"]
    accuracies = {name: _percent(line["accuracy"]) for name, line in summary.items()}
    return {"use": _use(best and best["strategy"], summary, comparison), **accuracies}


def _use(name: str | None, summary: Mapping[str, Line], comparison: Comparison) -> dict[str, Any]:
    if name is None:
        return dict.fromkeys(("strategy", "accuracy", "low", "high", "lead", "seconds"))
    line, second = summary[name], _runner_up(name, summary)
    lead = None if second is None else between(comparison, name, second)["difference"]
    return {
        "strategy": name,
        "accuracy": _percent(line["accuracy"]),
        "low": _percent(line["accuracy_low"]),
        "high": _percent(line["accuracy_high"]),
        "lead": _percent(lead),
        "seconds": round(line["train_seconds"], 1),
    }


def _runner_up(name: str, summary: Mapping[str, Line]) -> str | None:
    others = {
        other: (line["validation_accuracy"], line["accuracy"])
        for other, line in summary.items()
        if other != name and None not in (line["accuracy"], line["validation_accuracy"])
    }
    return max(others, key=lambda other: others[other], default=None)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, DIGITS)
