"""McNemar's test of two strategies' joint predictions, for those who expect it: no verdict follows
from it.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from .measures import Outcomes
from .records import Split


def splits(given: Mapping[str, Outcomes]) -> list[Split]:
    """Of every pair, in the order of `itertools.combinations`, the images that only the first or
    only the second recognises when probabilities are averaged over seeds, and their p-values.
    """
    right = [_mean_prediction(each) == each.labels for each in given.values()]
    uneven = [
        (int((first & ~second).sum()), int((second & ~first).sum()))
        for first, second in combinations(right, 2)
    ]
    p_values = [mcnemar(*each) for each in uneven]
    return [
        {"wins": wins, "losses": losses, "mcnemar_p": alone, "holm_p": adjusted}
        for (wins, losses), alone, adjusted in zip(uneven, p_values, holm(p_values), strict=True)
    ]


def _mean_prediction(given: Outcomes) -> np.ndarray:
    """The class, int64 [N], that is the most probable when probabilities are averaged over
    seeds.
    """
    return np.asarray(given.probabilities.mean(axis=0).argmax(axis=1))


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p-value: that of so uneven a split, were each image a toss of a coin
    (Psychometrika 12 (1947), 153-157).
    """
    from scipy.stats import binom

    return float(min(1.0, 2 * binom.cdf(min(wins, losses), wins + losses, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted by Holm's method: the chance of one wrong rejection among all is kept
    (Scandinavian Journal of Statistics 6 (1979), 65-70).
    """
    order = np.argsort(p_values)
    left = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(np.sort(p_values) * left).clip(max=1.0)
    return [float(value) for value in adjusted]
