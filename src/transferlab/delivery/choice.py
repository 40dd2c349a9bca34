"""Which model is taken home, and from which probability on its answers are given."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .model import Unsure

STEPS = 10_000  # thresholds have four digits


def strategy_of(
    wanted: str | None, recommended: str | None, finished: Collection[str]
) -> tuple[str | None, str]:
    """The strategy whose model is taken home; None, and why there is none.

    Args:
        wanted: The one that was asked for; None: the recommended one.
        recommended: What `metrics/comparison.json` says; None where nothing finished.
        finished: Strategies of which no seed diverged: only they have numbers.
    """
    name = wanted or recommended
    if name is None:
        return None, "no strategy finished with every seed"
    if name not in finished:
        return None, f"{name} did not finish with every seed"
    return name, ""


def best_seed(seeds: Mapping[str, Mapping[str, Any]]) -> str:
    """The seed that validates best; between equal accuracies the lowest loss decides. The first one
    where nothing was set aside to validate on.

    Args:
        seeds: Of a strategy's `facts.json`, all of them finished.
    """
    if any(seed["validation_accuracy"] is None for seed in seeds.values()):
        return min(seeds, key=int)
    return min(
        seeds,
        key=lambda seed: (
            -seeds[seed]["validation_accuracy"],
            seeds[seed]["validation_loss"],
            int(seed),
        ),
    )


def unsure_below(sure: np.ndarray, right: np.ndarray, error: float) -> Unsure:
    """The lowest threshold at which few enough of the answers are wrong.

    An answer is given when its probability is at least the threshold. It is never below the least
    sure prediction that was seen: less sure ones were not measured. Where no threshold is high
    enough it is 1, and every answer is unsure.

    Args:
        sure: Calibrated probabilities of the predicted classes of validation images, [N].
        right: Which of these predictions are, [N].
        error: Share of the answers that may be wrong.
    """
    # Counted with the rounded threshold, so that the numbers are those of what is used.
    for threshold in [*(np.unique(np.floor(sure * STEPS)) / STEPS).tolist(), None]:
        found = Unsure(threshold=threshold, error=error, predictions=len(sure), answered=0, wrong=0)
        given = found.gives(sure)
        wrong = int((~right[given]).sum())
        if wrong <= error * given.sum():
            break
    return replace(found, answered=int(given.sum()), wrong=wrong)
