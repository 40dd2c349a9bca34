"""Where features lie in the plane, and how well they tell the classes apart."""

import numpy as np


def in_two_dimensions(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places of the rows in the plane, neighbours near each other: t-SNE (van der Maaten and
    Hinton, 2008).

    Args:
        features: float `[N, F]`, finite, N at least 4.
        seed: Of the optimisation; the start is the rows' first two principal components.

    Returns:
        float `[N, 2]`; all at one place where all rows are alike, as those of a network that
        collapsed: t-SNE would divide by their spread, and end the process.
    """
    if not np.ptp(features, axis=0).any():
        return np.zeros((len(features), 2))
    from sklearn.manifold import TSNE  # takes seconds to import, and few figures need it
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    perplexity = min(30.0, (len(features) - 1) / 3)
    # on a busy machine, threads that wait for each other take 50 times as long
    with threadpool_limits(1):
        places = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(features)
    return np.asarray(places, dtype=float)


def recognised(features: np.ndarray, labels: np.ndarray, count: int = 5) -> float | None:
    """Share of the rows whose nearest others vote for their class: leave-one-out accuracy of the
    k nearest neighbours by the cosine of the features, ties to the nearer. None where all rows are
    alike.

    Args:
        features: float `[N, F]`, finite.
        labels: Class of each, `[N]`.
        count: Neighbours that vote; all others where there are fewer.
    """
    if not np.ptp(features, axis=0).any():
        return None
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.maximum(lengths, np.finfo(float).tiny)
    alike = directions @ directions.T
    np.fill_diagonal(alike, -np.inf)
    count = min(count, len(labels) - 1)
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :count]
    classes, own = np.unique(labels, return_inverse=True)
    weights = 1 + 1e-3 * np.arange(count, 0, -1)  # of equal counts, the nearer decide
    votes = (np.eye(len(classes))[own[nearest]] * weights[:, None]).sum(axis=1)
    return float((votes.argmax(axis=1) == own).mean())
