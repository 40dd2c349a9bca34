"""Intervals: of a share, and by resampling images or seeds."""

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

CELLS = 2_000_000  # of a chunk of resamples times images: 16 MB as float64


def wilson(successes: float, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of a share; it stays within 0 and 1 and needs no large `n`.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927),
    209-212.

    Args:
        successes: Between 0 and `n`; need not be whole, because it may be a mean over seeds.
        n: Number of trials, at least 1.
        confidence: Coverage, such as 0.95.

    Returns:
        Lower and upper end.
    """
    if not (n >= 1 and 0 <= successes <= n and 0 < confidence < 1):
        raise ValueError(
            f"wilson: expected 0 <= successes <= n, n >= 1, 0 < confidence < 1, got {successes}, "
            f"{n}, {confidence}."
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    # At the ends the formula is exactly 0 or 1; floats miss it by an ulp.
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


def resampled(images: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each image is drawn in each of many samples with replacement: always the same
    table, in chunks.

    Args:
        images: N, size of a sample.
        resamples: Number of samples.

    Yields:
        Counts as float64 [R, N], of at most `CELLS` cells unless one row has more; rows sum to N.
    """
    chance = np.random.default_rng(0)
    rows = max(1, CELLS // images)
    for done in range(0, resamples, rows):
        count = min(rows, resamples - done)
        cells = chance.integers(images, size=(count, images)) + images * np.arange(count)[:, None]
        yield np.bincount(cells.ravel(), minlength=cells.size).reshape(cells.shape).astype(float)


def percentiles(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Lower and upper end of the middle share `confidence` of draws [R]."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def over_images(
    draws: np.ndarray, mean: float, *, confidence: float, mirrored: bool
) -> tuple[float | None, float | None]:
    """Bootstrap interval over images, from what resamples gave for the mean over seeds.

    Percentiles as a rule. A mean of distances (`ece`) is too large in a small sample, and twice too
    large in a resample of it, so percentiles would miss a well calibrated strategy altogether:
    there they are mirrored at the estimate (the "basic" interval: Davison and Hinkley, "Bootstrap
    methods and their application", 1997, section 5.2), which takes the excess off; cut at 0 and
    stretched to the estimate.
    """
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return None, None
    low, high = percentiles(defined, confidence)
    return (
        (max(0.0, min(mean, 2 * mean - high)), max(mean, 2 * mean - low))
        if mirrored
        else (low, high)
    )


def over_seeds(
    values: np.ndarray, confidence: float, largest: float
) -> tuple[float | None, float | None]:
    """Student's interval of the mean of values [S], cut to what the measure can be; none with one
    seed.
    """
    if len(values) == 1 or np.isnan(values).any():
        return None, None
    from scipy.stats import t

    mean = float(values.mean())
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1)) / math.sqrt(
        len(values)
    )
    return max(0.0, mean - half), min(largest, mean + half)
