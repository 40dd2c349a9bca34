"""Predictions tables to what can be said about every pair of strategies: the same images, the same
seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from ..prediction.reading import common_ids
from . import measures
from .crossed import Crossed, Read, alone, among_all, being_best, crossed
from .mcnemar import splits
from .measures import Outcomes
from .needed import needed, short
from .records import Compared, Estimate, Pair, Settled, Split, Verdict, between

Tables = Mapping[str, pd.DataFrame]


def compare(tables: Tables, *, confidence: float, resamples: int, margin: float) -> Compared:
    """The numbers of `metrics/comparison.json`: every pair in the order of the tables, and the set
    that may be best.

    Of a pair: `difference`, mean accuracy of `first` less that of `second`. Its ends `low` and
    `high` and its `p_value` are those of this pair alone, had it been chosen beforehand;
    `low_all`, `high_all` and `p_all` those of all pairs at once, see `crossed.among_all`. A
    p-value is at most 1 - `confidence` exactly where 0 is outside its interval. `verdict` tells
    what the first is, seen from the second, among all pairs: `better`, `worse` or
    `indistinguishable`. `probability` is the share of draws, were both equally good, that are below
    the difference, ties half. `first_as_good` and `second_as_good`, non-inferiority: the pair's own
    interval excludes a loss of `margin`. `detectable` is half the interval among all pairs, about
    what a difference would have to exceed; `images_half` and `seeds_half` are what it would be if
    images alone, or seeds alone, were a sample, and `short` which of them is too few, see
    `needed.short`. `wins`, `losses`, `mcnemar_p` and `holm_p` see `mcnemar.splits`.

    `best` holds for each strategy the p-value of its being the best one, see
    `crossed.being_best`, and `may_be_best` those that `confidence` cannot exclude. `needed` see
    `needed.needed`.

    Args:
        tables: Checked tables of strategies that finished, see `numbers.finished`.
        confidence: Coverage of the intervals; 1 minus it is the level of the tests.
        resamples: Draws.
        margin: Accuracy that may be lost at most, between 0 and 1.

    Raises:
        ValueError: Tables of different images, or strategies without a common seed.
    """
    images, names = len(common_ids(tables)), list(tables)
    # Draws belong to a strategy's name, so that no number hangs on who came first.
    compared = shared_seeds({name: measures.outcomes(tables[name]) for name in sorted(tables)})
    seeds = len(next(iter(compared.values())).seeds) if compared else 0
    settled: Settled = {"pairs": [], "best": dict.fromkeys(names, 1.0), "needed": None}
    if len(names) > 1:
        right = np.stack([given.right for given in compared.values()]).astype(float)
        settled = _settle(crossed(right, resamples), compared, confidence, margin)
    return {
        "images": images,
        "seeds": seeds,
        "confidence": confidence,
        "resamples": resamples,
        "margin": margin,
        "pairs": [between(settled, first, second) for first, second in combinations(names, 2)],
        "best": {name: settled["best"][name] for name in names},
        "may_be_best": [name for name in names if settled["best"][name] > 1 - confidence],
        "needed": settled["needed"],
    }


def _settle(
    given: Crossed, compared: Mapping[str, Outcomes], confidence: float, margin: float
) -> Settled:
    """What follows from the draws of two strategies or more."""
    names, seeds = list(compared), len(next(iter(compared.values())).seeds)
    single = alone(given, confidence)
    every = among_all(given, single, confidence)
    pairs = enumerate(zip(combinations(names, 2), splits(compared), strict=True))
    return {
        "pairs": [
            _conclude(
                pair,
                split,
                _estimate(given, single, every, place),
                level=1 - confidence,
                margin=margin,
            )
            for place, (pair, split) in pairs
        ],
        "best": {name: being_best(given, place) for place, name in enumerate(names)},
        "needed": needed(given, names, seeds=seeds, single=single, every=every),
    }


def _estimate(given: Crossed, single: Read, every: Read, place: int) -> Estimate:
    """How far apart the pair at this place is, cut to what a difference can be."""
    difference = float(given.differences[place])
    low, high = _ends(difference, float(single.halves[place]))
    low_all, high_all = _ends(difference, float(every.halves[place]))
    below = np.sign(given.statistics[place] - given.drawn[:, place])
    half = min(1.0, float(every.halves[place]))
    images, seeds = float(given.over_images[place]), float(given.over_seeds[place])
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "p_value": float(single.p_values[place]),
        "low_all": low_all,
        "high_all": high_all,
        "p_all": float(every.p_values[place]),
        "images_half": half * math.sqrt(images / (images + seeds)),
        "seeds_half": half * math.sqrt(seeds / (images + seeds)),
        "probability": float((1 + below).mean() / 2),
    }


def _ends(difference: float, half: float) -> tuple[float, float]:
    return max(-1.0, difference - half), min(1.0, difference + half)


def _conclude(
    pair: tuple[str, str],
    split: Split,
    estimate: Estimate,
    *,
    level: float,
    margin: float,
) -> Pair:
    """A pair's numbers and what follows from them."""
    return {
        "first": pair[0],
        "second": pair[1],
        **estimate,
        **split,
        "verdict": _verdict(estimate, level),
        "short": short(estimate, margin),
        "first_as_good": estimate["low"] > -margin,
        "second_as_good": estimate["high"] < margin,
        "detectable": (estimate["high_all"] - estimate["low_all"]) / 2,
    }


def _verdict(estimate: Estimate, level: float) -> Verdict:
    if estimate["p_all"] > level:
        return "indistinguishable"
    return "better" if estimate["difference"] > 0 else "worse"


def shared_seeds(given: Mapping[str, Outcomes]) -> dict[str, Outcomes]:
    """The same strategies with only those seeds that all of them have.

    Raises:
        ValueError: There is none.
    """
    shared = (
        sorted(set.intersection(*(set(each.seeds) for each in given.values()))) if given else []
    )
    if given and not shared:
        seeds = "; ".join(f"{name} {list(each.seeds)}" for name, each in given.items())
        raise ValueError(
            f"comparison: expected a seed that all strategies have, got {seeds}. Run: dvc repro"
        )
    return {name: _with_seeds(each, shared) for name, each in given.items()}


def _with_seeds(given: Outcomes, seeds: Sequence[int]) -> Outcomes:
    rows = [given.seeds.index(seed) for seed in seeds]
    return replace(
        given,
        seeds=tuple(seeds),
        predicted=given.predicted[rows],
        probabilities=given.probabilities[rows],
    )
