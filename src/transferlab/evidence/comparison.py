"""Predictions tables to what can be said about every pair of strategies: the same images, the same
seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, count

import numpy as np
import pandas as pd

from ..prediction.reading import common_ids
from . import components, intervals, measures
from .components import seeds_share
from .measures import Outcomes
from .records import Compared, Estimate, LeastSplit, Pair, Split, Verdict

DIGITS = 12  # of a drawn difference; what is left of equal sums in another order is no difference

Tables = Mapping[str, pd.DataFrame]


def compare(tables: Tables, *, confidence: float, resamples: int, margin: float) -> Compared:
    """The numbers of `metrics/comparison.json`: every pair of strategies, in the order of the
    tables.

    Of a pair: `difference`, mean accuracy of `first` less that of `second`, with the ends `low` and
    `high` (see `differences`); `probability`, share of draws in which `first` is better, ties half;
    `wins` and `losses`, images that only the first or only the second recognises when each
    strategy's probabilities are averaged over seeds, and McNemar's exact p-value of them
    (Psychometrika 12 (1947), 153-157), alone and by Holm's method over all pairs (Scandinavian
    Journal of Statistics 6 (1979), 65-70); `first_as_good` and `second_as_good`, non-inferiority:
    the interval excludes a loss of `margin`; `detectable`, half the interval, about what a
    difference would have to exceed. `verdict` tells what the first is, seen from the second:
    `better` or `worse` where Holm's p-value is at most 1 - `confidence` and the interval lies on
    the same side of 0, else `indistinguishable`; then `short` says what is too few for a difference
    of more than `margin`, by `images_half` and `seeds_half`, what the interval's half would be if
    the images alone or the seeds alone were a sample (see `components`).

    Args:
        tables: Checked tables of strategies that finished, see `numbers.finished`.
        confidence: Coverage of the intervals; 1 minus it is the level of the tests.
        resamples: Of the bootstrap.
        margin: Accuracy that may be lost at most, between 0 and 1.

    Raises:
        ValueError: Tables of different images, or strategies without a common seed.
    """
    images, level = len(common_ids(tables)), 1 - confidence
    compared = shared_seeds({name: measures.outcomes(table) for name, table in tables.items()})
    tests = _tests(compared)
    right = {name: given.right.astype(float) for name, given in compared.items()}
    draws = differences(right, resamples)
    estimates = {
        (first, second): _estimate(right[first] - right[second], draws[first, second], confidence)
        for first, second in tests
    }
    return {
        "images": images,
        "seeds": len(next(iter(compared.values())).seeds) if compared else 0,
        "confidence": confidence,
        "resamples": resamples,
        "margin": margin,
        "least_split": least_split(images, level),
        "least_split_holm": least_split(images, level / max(1, len(tests))),
        "pairs": [
            _conclude(pair, estimates[pair], split, images=images, level=level, margin=margin)
            for pair, split in tests.items()
        ],
    }


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


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What chance makes of the accuracies of A strategies, R times: the same chance for all of
    them.
    """

    images: np.ndarray  # [R, A], accuracies with other images
    unseen: np.ndarray  # [R], what a disagreement that these images do not show would add
    seeds: np.ndarray  # [R, A], what other seeds would add


def differences(
    right: Mapping[str, np.ndarray], resamples: int
) -> dict[tuple[str, str], np.ndarray]:
    """Draws of the difference in accuracy of every pair, with images and seeds as crossed samples.

    The correctness of the first less that of the second is m + a_s + b_i + e_si: a mean, an effect
    of the seed, one of the image, and the rest. Resampling images alone gives the variance of b and
    e; resampling seeds as well (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1
    (2007), 386-411) counts e twice, and five seeds drawn from five spread too little. So seeds
    contribute only the share of their variance that e does not explain, 1 - var(e) / (N var(a)), or
    nothing where that is negative, and their effects are not resampled but multiplied by normal
    variates over a common chi variate: were they all there is, the result would be Student's
    interval of the seeds' differences. Simulated coverage at 95 % with five seeds and 153 images is
    94 to 97 %, whether seeds, images or the rest dominate (test_comparison.py). It is more
    where now and then a seed fails outright, as Student's interval is too wide for such tails, and
    sinks to 90 % where about two images make the whole difference. With one seed the seeds' share
    is unknown and left out: the interval is about these very models.

    Two images are added on which one seed of one strategy alone is right, one for either side:
    without them two strategies that never differ on 12 images would be equal beyond doubt. For one
    seed this is the proposal of Bonett and Price, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data", Journal of Educational and Behavioral
    Statistics 37 (2012), 479-488.

    Args:
        right: By strategy 1 where a seed's model recognises an image and else 0, float64 [S, N].
        resamples: R.

    Returns:
        For each pair, in the order of `itertools.combinations`, 2 R draws in [-1, 1]: of each both
        ways round in which the two images may lie, so that swapping the strategies changes the sign
        and nothing else.
    """
    if len(right) < 2:
        return {}
    draws = _draw(np.stack(list(right.values())), resamples)
    return {
        (first, second): _difference(draws, i, j, seeds_share(right[first] - right[second]))
        for (i, first), (j, second) in combinations(enumerate(right), 2)
    }


def _draw(right: np.ndarray, resamples: int) -> Draws:
    """Draws from correctness float64 [A, S, N]."""
    strategies, seeds, images = right.shape
    sample = np.zeros((images + 2, strategies + 1))
    sample[:images, :strategies] = right.mean(axis=1).T
    sample[images:, strategies] = 1 / seeds, -1 / seeds
    drawn = np.concatenate(
        [weights @ sample for weights in intervals.resampled(images + 2, resamples)]
    ) / (images + 2)
    effects = right.mean(axis=2) - right.mean(axis=(1, 2))[:, None]
    return Draws(
        images=drawn[:, :strategies],
        unseen=drawn[:, strategies],
        seeds=_student(seeds, resamples) @ effects.T / math.sqrt(seeds * max(1, seeds - 1)),
    )


def _student(seeds: int, resamples: int) -> np.ndarray:
    """Variates [R, S] of Student's multivariate distribution with S - 1 degrees of freedom, always
    the same.
    """
    chance, freedom = np.random.default_rng(0), max(1, seeds - 1)
    chi = np.sqrt(chance.chisquare(freedom, size=(resamples, 1)) / freedom)
    return np.asarray(chance.standard_normal((resamples, seeds)) / chi)


def _difference(draws: Draws, first: int, second: int, share: float) -> np.ndarray:
    """Both ways round, [2 R], in [-1, 1]."""
    seen = draws.images[:, first] - draws.images[:, second]
    seen = seen + math.sqrt(share) * (draws.seeds[:, first] - draws.seeds[:, second])
    both = np.concatenate([seen + draws.unseen, seen - draws.unseen])
    return np.asarray(np.round(np.clip(both, -1, 1), DIGITS))


def _estimate(right: np.ndarray, draws: np.ndarray, confidence: float) -> Estimate:
    """From the correctness of the first less that of the second, [S, N], and draws of its mean."""
    low, high = intervals.percentiles(draws, confidence)
    return {
        "difference": float(right.mean()),
        "low": low,
        "high": high,
        "images_half": components.images_half(right, confidence),
        "seeds_half": components.seeds_half(right, confidence),
        "probability": float((1 + np.sign(draws)).mean() / 2),
    }


def _tests(given: Mapping[str, Outcomes]) -> dict[tuple[str, str], Split]:
    """Of every pair its `wins`, `losses`, `mcnemar_p` and `holm_p`, see `compare`."""
    right = {name: _mean_prediction(each) == each.labels for name, each in given.items()}
    splits = {
        (first, second): (
            int((right[first] & ~right[second]).sum()),
            int((right[second] & ~right[first]).sum()),
        )
        for first, second in combinations(right, 2)
    }
    p_values = [mcnemar(*split) for split in splits.values()]
    return {
        pair: {"wins": split[0], "losses": split[1], "mcnemar_p": alone, "holm_p": adjusted}
        for (pair, split), alone, adjusted in zip(
            splits.items(), p_values, holm(p_values), strict=True
        )
    }


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p-value of McNemar's test: that of so uneven a split, were each image a toss
    of a coin.
    """
    from statsmodels.stats.contingency_tables import mcnemar as test

    return float(test([[0, wins], [losses, 0]], exact=True).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted by Holm's method: the chance of one wrong rejection among all is
    kept.
    """
    from statsmodels.stats.multitest import multipletests

    return [float(value) for value in multipletests(p_values, method="holm")[1]] if p_values else []


def least_split(images: int, level: float) -> LeastSplit:
    """The fewest images that must all be one strategy's wins for McNemar's exact test to reject.

    Args:
        images: Of the test set.
        level: Of the test; for the first step of Holm's method the level over the number of pairs.

    Returns:
        `images`, and `difference`, their share of the test set, or None where it has fewer.
    """
    least = next(wins for wins in count(1) if 2 * 0.5**wins <= level)
    return {"images": least, "difference": least / images if least <= images else None}


def _mean_prediction(given: Outcomes) -> np.ndarray:
    """The class, int64 [N], that is the most probable when probabilities are averaged over
    seeds.
    """
    return np.asarray(given.probabilities.mean(axis=0).argmax(axis=1))


def _conclude(
    pair: tuple[str, str],
    estimate: Estimate,
    split: Split,
    *,
    images: int,
    level: float,
    margin: float,
) -> Pair:
    """A pair's numbers and what follows from them."""
    low, high = estimate["low"], estimate["high"]
    told_apart = split["holm_p"] <= level
    verdict = _verdict(estimate, split) if told_apart else "indistinguishable"
    split_apart = 2 * abs(split["wins"] - split["losses"]) >= images * abs(estimate["difference"])
    lacking = components.short(
        estimate["difference"],
        images=estimate["images_half"],
        seeds=estimate["seeds_half"],
        unsplit=split_apart and not told_apart,
        margin=margin,
    )
    return {
        "first": pair[0],
        "second": pair[1],
        **estimate,
        **split,
        "verdict": verdict,
        "short": lacking if verdict == "indistinguishable" else None,
        "first_as_good": low > -margin,
        "second_as_good": high < margin,
        "detectable": (high - low) / 2,
    }


def _verdict(estimate: Estimate, split: Split) -> Verdict:
    """Of a pair that the test tells apart: the interval has to say the same."""
    if split["wins"] > split["losses"] and estimate["low"] > 0:
        return "better"
    if split["wins"] < split["losses"] and estimate["high"] < 0:
        return "worse"
    return "indistinguishable"
