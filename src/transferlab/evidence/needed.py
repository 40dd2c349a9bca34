"""What is too few to tell strategies apart, and how many would be enough."""

import math
from statistics import NormalDist

import numpy as np

from .crossed import Crossed, Read
from .records import Estimate, Needed, Short

POWER = 0.8


def needed(
    given: Crossed, names: list[str], *, seeds: int, single: Read, every: Read
) -> Needed | None:
    """What the pair of the two highest accuracies would need to be told apart among all pairs with
    a power of 80 %, were their difference and its spread as observed; None where they are told
    apart already.

    With N images and S seeds the difference has the variance v / N + w / S, of which the observed
    one shows v and w; the test rejects, as often as wanted, a difference of c + z standard errors:
    its critical value and the normal quantile of the power. `images` is N for the seeds of now and
    `seeds` S for the images of now, None where no number is enough; `images_low` and `images_high`
    are what the ends of the pair's own interval ask for, of which the upper one is None where 0 is
    inside.

    Args:
        given: All pairs.
        names: Of the A strategies, in the order of `given`.
        seeds: S.
        single: Of `crossed.alone`.
        every: Of `crossed.among_all`.
    """
    place = _leading(given, len(names))
    if every.halves[place] < abs(given.differences[place]):
        return None
    difference = abs(float(given.differences[place]))
    half, steps = float(single.halves[place]), float(every.critical[place])
    steps += NormalDist().inv_cdf(POWER)
    images, runs = float(given.over_images[place]), float(given.over_seeds[place])
    first, second = (names[each] for each in _better_first(given, place))
    return {
        "first": first,
        "second": second,
        "difference": difference,
        "power": POWER,
        "images": _more(given.images, images, runs, difference / steps),
        "images_low": _more(given.images, images, runs, (difference + half) / steps),
        "images_high": _more(given.images, images, runs, max(0, difference - half) / steps),
        "seeds": _more(seeds, runs, images, difference / steps) if runs else None,
    }


def _leading(given: Crossed, strategies: int) -> int:
    """The pair of the two highest accuracies; of equal ones the first."""
    first, second = given.pairs.T
    leads = np.zeros(strategies)
    leads[1:] = -given.differences[: strategies - 1]  # against the first strategy
    top = sorted(np.argsort(-leads, kind="stable")[:2])
    return int(np.flatnonzero((first == top[0]) & (second == top[1]))[0])


def _better_first(given: Crossed, place: int) -> list[int]:
    first, second = given.pairs[place].tolist()
    return [first, second] if given.differences[place] >= 0 else [second, first]


def _more(count: int, own: float, other: float, error: float) -> int | None:
    """How many of what shows the variance `own` bring the standard error down to `error`, were
    what shows `other` left as it is.
    """
    left = error**2 - other
    return math.ceil(count * own / left) if left > 0 and math.isfinite(error) else None


def short(estimate: Estimate, margin: float) -> Short | None:
    """What would have to be more for a pair to be told apart; None where it is, and where the two
    are closer than `margin`, so that more may only show that they are as good.

    Args:
        estimate: Of the pair.
        margin: Accuracy that may be lost at most.
    """
    size = abs(estimate["difference"])
    if size <= margin or not estimate["low_all"] <= 0 <= estimate["high_all"]:
        return None
    too_few_images, too_few_seeds = (
        size <= half for half in (estimate["images_half"], estimate["seeds_half"])
    )
    if too_few_images == too_few_seeds:
        return "both"  # or neither alone
    return "images" if too_few_images else "seeds"
