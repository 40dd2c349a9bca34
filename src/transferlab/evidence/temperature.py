"""Temperature scaling, fitted on validation images (Guo et al. 2017)."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .measures import SMALLEST, outcomes

TEMPERATURES = (0.05, 20.0)  # what the fit chooses from

LARGEST = {"nll": math.inf, "nll_scaled": math.inf, "brier": 2.0}  # the other measures end at 1


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, within `TEMPERATURES`, that gives these images the lowest negative
    log-likelihood.

    Guo et al., "On calibration of modern neural networks", ICML 2017. Images without a mistake are
    fitted the better the lower it is, so the lower bound is what a faultless validation split
    gives.

    Args:
        probabilities: [N, K].
        labels: int64 [N].
    """
    from scipy.optimize import minimize_scalar

    each = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        """Mean negative log-likelihood of the labels, in nats."""
        truth = rescaled(probabilities, math.exp(log_temperature))[each, labels]
        return float(-np.log(np.clip(truth, SMALLEST, None)).mean())

    bounds = tuple(math.log(end) for end in TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def rescaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [..., K] as if the logits had been divided by the temperature.

    A log-probability is the logit less what all classes of the row share, so dividing it and
    normalising is the same.
    """
    from scipy.special import softmax

    return np.asarray(
        softmax(np.log(np.clip(probabilities, SMALLEST, None)) / temperature, axis=-1)
    )


def temperature_of(name: str, validation: pd.DataFrame, seeds: Sequence[int]) -> float:
    """One temperature for the models of all given seeds, fitted on the validation images of each of
    them together.

    The images of one seed are few, and hold too few mistakes to fit one on: of those without any
    the lowest temperature would seem the best, so where there is none at all it is 1. So it is
    where nothing was set aside to validate on and the table has no rows.

    Args:
        name: Key of the strategy.
        validation: Its table of validation images, see `read_predictions`.
        seeds: Those that need one.

    Raises:
        ValueError: A seed without validation images, where others have some.
    """
    if validation.empty:
        return 1.0
    found = set(validation["seed"])
    if not set(seeds) <= found:
        raise ValueError(
            f"validation/{name}.csv: expected the seeds {list(seeds)}, got {sorted(found)}. "
            f"Run: dvc repro -f -s evaluate@{name}"
        )
    own = [outcomes(validation[validation["seed"] == seed]) for seed in seeds]
    if all(given.right.all() for given in own):
        return 1.0
    return fit_temperature(
        np.concatenate([given.probabilities[0] for given in own]),
        np.concatenate([given.labels for given in own]),
    )
