"""What chance makes of the differences between strategies: images and seeds as crossed samples,
every pair from the same draws.

Intervals, p-values, verdicts and the set that may be best are four readings of one table of draws,
so that they cannot contradict each other.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

from .intervals import CELLS
from .seeds import over_seeds

DIGITS = 10  # of a statistic; what is left of equal sums in another order is no difference


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """P pairs of A strategies, in the order of `itertools.combinations`, and R draws of each.

    A statistic is a difference in accuracy over its standard error; `drawn` is what it would be
    were the two strategies equally good.
    """

    pairs: np.ndarray  # int64 [P, 2], places of the first and the second strategy
    images: int
    differences: np.ndarray  # [P], mean accuracy of the first less that of the second
    over_images: np.ndarray  # [P], variance of it that other images would show
    over_seeds: np.ndarray  # [P], variance of it that other seeds would add
    statistics: np.ndarray  # [P]
    drawn: np.ndarray  # [R, P], symmetric about 0


def crossed(right: np.ndarray, resamples: int) -> Crossed:
    """Differences of every pair, and what they would be by chance.

    The correctness of the first less that of the second is m + a_s + b_i + e_si: a mean, an effect
    of the seed, one of the image, and the rest. Were both equally good, the mean over seeds of an
    image's difference would as likely have the other sign: the images' part of a draw turns signs
    by tosses of a coin, the same for all pairs, which keeps how they depend on each other (for one
    seed this is McNemar's exact test; Fisher, "The design of experiments", 1935, section 21). It
    holds var(b) and var(e) / S. Other seeds add var(a) / S, see `seeds.over_seeds`, times a variate
    of Student's distribution. With one seed their part is unknown and left out: what is said is
    about these very models.

    Two images are added to each variance, though not to the draws, on which one seed of one
    strategy alone is right, one for either side: without them two strategies that never differ on
    12 images would be equal beyond doubt. For one seed this is the proposal of Bonett and Price,
    Journal of Educational and Behavioral Statistics 37 (2012), 479-488.

    Args:
        right: 1 where a seed's model recognises an image and else 0, float64 [A, S, N], A >= 2.
        resamples: R.
    """
    strategies, seeds, images = right.shape
    pairs = np.array(list(combinations(range(strategies), 2)))
    first, second = pairs.T
    shares, (variances, freedom) = right.mean(axis=1), over_seeds(right)
    total = np.array([((shares[i] - shares[j]) ** 2).sum() for i, j in pairs])
    differences = np.round(shares.mean(axis=1)[first] - shares.mean(axis=1)[second], DIGITS + 2)
    unseen = 2 / seeds**2
    by_seeds = variances[first] + variances[second]
    error = np.sqrt((total + unseen) / images**2 + by_seeds)
    drawn = _turned(shares, resamples) + _student(variances, freedom, resamples)
    return Crossed(
        pairs=pairs,
        images=images,
        differences=differences,
        over_images=(total - images * differences**2 + unseen) / images**2,
        over_seeds=by_seeds,
        statistics=np.round(differences / error, DIGITS),
        drawn=np.round((drawn[:, first] - drawn[:, second]) / error, DIGITS),
    )


def _turned(shares: np.ndarray, resamples: int) -> np.ndarray:
    """Mean accuracies [R, A] of images whose signs are turned at random, always the same table.

    Args:
        shares: Of an image's seeds that are right, [A, N].
        resamples: R.
    """
    chance, images = np.random.default_rng(0), shares.shape[1]
    rows = max(1, CELLS // images)
    signs = (
        2.0 * chance.integers(2, size=(min(rows, resamples - done), images)) - 1
        for done in range(0, resamples, rows)
    )
    return np.asarray(np.concatenate([each @ shares.T for each in signs]) / images)


def _student(variances: np.ndarray, freedom: int, resamples: int) -> np.ndarray:
    """What other seeds would do to mean accuracies, [R, A]: normal variates over a common chi
    variate, always the same.
    """
    chance = np.random.default_rng(1)
    chi = np.sqrt(chance.chisquare(freedom, size=(resamples, 1)) / freedom)
    drawn = chance.standard_normal((resamples, len(variances))) / chi
    return np.asarray(drawn * np.sqrt(variances))


@dataclass(frozen=True, kw_only=True)
class Read:
    """What the draws say of every pair, alone or among all, each [P]."""

    p_values: np.ndarray
    critical: np.ndarray  # the statistic that is just not significant
    halves: np.ndarray  # of the intervals that belong to the p-values, in accuracy


def alone(given: Crossed, confidence: float) -> Read:
    """Of a pair that was chosen beforehand: two-sided, and never more certain than the normal
    distribution, which draws of few different images would be.
    """
    size, drawn = np.abs(given.statistics), np.abs(given.drawn)
    normal = NormalDist()
    p_values = np.maximum((drawn >= size).mean(axis=0), [2 * normal.cdf(-value) for value in size])
    critical = np.maximum(_upper(drawn, 1 - confidence), normal.inv_cdf((1 + confidence) / 2))
    return Read(p_values=p_values, critical=critical, halves=_halves(given, critical))


def among_all(given: Crossed, single: Read, confidence: float) -> Read:
    """Of all pairs at once: the chance that any of them is told apart wrongly, or that any interval
    misses, is 1 - `confidence`.

    The largest statistic of each draw is what a pair's own is held against (Westfall and Young,
    "Resampling-based multiple testing", 1993, section 2.3; the single step, because the intervals
    of a further step would not say what its p-values say), and never more certain than it is
    `alone`.
    """
    largest = np.abs(given.drawn).max(axis=1)
    p_values = (largest[:, None] >= np.abs(given.statistics)).mean(axis=0)
    critical = np.maximum(_upper(largest, 1 - confidence), single.critical)
    return Read(
        p_values=np.maximum(p_values, single.p_values),
        critical=critical,
        halves=_halves(given, critical),
    )


def _halves(given: Crossed, critical: np.ndarray) -> np.ndarray:
    """Half the interval of differences that a test with these critical values [P] does not reject.

    The statistic's variance holds the square of the difference itself, which cancels for the
    difference that is asked about: d² (1 - c² / N) = c² (variance). Up to c² images say nothing.
    A statistic that equals its critical value is not significant: its interval ends at 0.
    """
    left, size = 1 - critical**2 / given.images, np.abs(given.differences)
    variance = given.over_images + given.over_seeds
    halves = critical * np.sqrt(variance / np.where(left > 0, left, np.nan))
    halves = np.where(left > 0, halves, np.inf)
    within = np.abs(given.statistics) <= critical
    return np.asarray(np.where(within, np.maximum(halves, size), halves))


def _upper(drawn: np.ndarray, level: float) -> np.ndarray:
    """The least value that at most the share `level` of draws [R, ...] exceeds."""
    exceeding = math.floor(level * len(drawn) + 1e-9)
    return np.asarray(np.sort(drawn, axis=0)[len(drawn) - 1 - exceeding])


def being_best(given: Crossed, place: int) -> float:
    """The p-value of a strategy's being the best: that of the largest lead that another one has
    over it, were all others as good as it is; one-sided.

    Those that a level does not exceed are a set that holds the best one, whichever it is, with the
    confidence of 1 minus the level (Hsu, "Simultaneous confidence intervals for all distances from
    the 'best'", Annals of Statistics 9 (1981), 1026-1034, with the draws of all pairs).

    Args:
        given: All pairs.
        place: Of the strategy, from 0 to A - 1.
    """
    sign = np.where(given.pairs[:, 1] == place, 1, -1)
    own = (given.pairs == place).any(axis=1)
    lead = float((sign * given.statistics)[own].max())
    drawn = (sign * given.drawn)[:, own].max(axis=1)
    return max(float((drawn >= lead).mean()), NormalDist().cdf(-lead))
