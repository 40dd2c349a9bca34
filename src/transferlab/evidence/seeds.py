"""What other seeds would add to the accuracies of strategies."""

import numpy as np


def over_seeds(right: np.ndarray) -> tuple[np.ndarray, int]:
    """How much the mean accuracy of each strategy would vary with other seeds, beside what seeds do
    to all strategies alike, and the degrees of freedom of that estimate.

    With few seeds a strategy's own variance is hardly known: of two seeds Student's distribution
    has one degree of freedom, and no difference would ever be told. So the strategies are pooled as
    in an analysis of variance with seeds as blocks, whose interaction has (A - 1) (S - 1) degrees
    of freedom (Fisher, "Statistical methods for research workers", 1925); of two strategies that is
    Student's test of the seeds' differences. A strategy whose seeds vary more than the pool keeps
    its own variance (Grubbs, Journal of the American Statistical Association 43 (1948), 243-264).
    What images and seeds explain together is taken off.

    Args:
        right: Correctness, float64 [A, S, N], A >= 2. With one seed nothing is known, and the
            variances are 0.

    Returns:
        Variances [A] of the means over S seeds, and the degrees of freedom.
    """
    strategies, seeds, images = right.shape
    freedom = (strategies - 1) * (seeds - 1)
    if not freedom:
        return np.zeros(strategies), 1
    apart = right - right.mean(axis=0)
    effects = apart.mean(axis=2) - apart.mean(axis=(1, 2))[:, None]
    rest = apart - apart.mean(axis=1)[:, None] - effects[:, :, None]
    noise = (rest**2).sum(axis=(1, 2)) / max(1, images - 1) / images
    spread = (effects**2).sum(axis=1) - noise
    pool = max(0.0, float(spread.sum()) / freedom)
    if strategies == 2:
        return np.full(2, pool / seeds), freedom
    own = spread - spread.sum() / strategies / (strategies - 1)
    own *= strategies / (strategies - 2) / (seeds - 1)
    return np.asarray(np.maximum(own, pool) / seeds), freedom
